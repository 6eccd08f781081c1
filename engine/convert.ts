/** Writes a checkpoint as firstlight's own file, or back as a folder in Hugging Face's layout. */
import { type FileHandle, mkdir, open, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { CONVERTED_FORMAT, configToJson, type Layout, type StoredPart, type StoredRows } from '../loaders/converted.ts';
import { diskError, freeBytes, isCode, syncFolder } from '../loaders/disk.ts';
import type { Checkpoint, TensorInfo } from '../loaders/types.ts';
import { encodeBf16 } from '../quant/bf16.ts';
import { assert, FirstlightError } from '../quant/errors.ts';
import { encodeF16 } from '../quant/f16.ts';
import { decodeRows, rowBytes } from '../quant/file-types.ts';
import { rowWords } from '../quant/layout.ts';
import { halfSplitRow } from '../quant/row-order.ts';
import { huggingFaceConfig } from './config-json.ts';
import { packedPieces, slicesOf } from './slices.ts';
import { describeWeights, type Weights, type WeightsOption } from './weights.ts';

export interface ConvertOptions {
  readonly onProgress?: ((doneBytes: number, totalBytes: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface Entry {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: number;
}

/**
 * Writes the matrices as they lie on the device. A file that is there already is replaced at the end, in one step; whatever
 * ends the work before, nothing half-done stays.
 *
 * @param weights format of the matrices; `native` keeps every type as it is
 * @throws `disk-full`, `bad-argument` for a place that cannot be written to, and what reading the checkpoint throws
 */
export async function convertCheckpoint(
  checkpoint: Checkpoint,
  path: string,
  weights: WeightsOption,
  options: ConvertOptions = {},
): Promise<void> {
  const described = describeWeights(checkpoint, weights, Number.POSITIVE_INFINITY);
  const files = (await checkpoint.files?.()) ?? new Map<string, Uint8Array>();
  const vectors = [...checkpoint.tensors.values()].filter(({ rows }) => rows === 1);
  const entries: Entry[] = [];
  for (const [name, bytes] of files)
    entries.push({ name: `files/${name}`, dtype: 'U8', shape: [bytes.length], bytes: bytes.length });
  const orders = [...checkpoint.tensors.values()].filter(({ order }) => order);
  for (const { name, cols } of orders)
    entries.push({ name: `${name}.order`, dtype: 'U32', shape: [cols], bytes: 4 * cols });
  for (const { name, cols } of vectors) entries.push({ name, dtype: 'F32', shape: [cols], bytes: 4 * cols });
  for (const matrix of described.matrices.values()) {
    for (const { name, format, rows } of matrix.parts) {
      const words = rowWords(format, matrix.cols);
      const add = (plane: string, count: number, each: number) =>
        entries.push({ name: `${name}.${plane}`, dtype: 'U32', shape: [count, each], bytes: 4 * count * each });
      add('codes', rows, words.codes);
      if (words.scales > 0) add('scales', rows / 4, words.scales);
    }
  }
  const metadata = {
    format: CONVERTED_FORMAT,
    config: configToJson(checkpoint.config),
    layout: JSON.stringify(layoutOf(described)),
  };
  const fill = async (write: Write) => {
    for (const [name, bytes] of files) await write(`files/${name}`, 0, bytes);
    for (const { name, order } of orders) if (order) await write(`${name}.order`, 0, order);
    for (const vector of vectors) await write(vector.name, 0, await readFloats(checkpoint, vector, 0, 1));
    for (const matrix of described.matrices.values()) {
      for (const slice of slicesOf(matrix)) {
        options.signal?.throwIfAborted();
        for (const { plane, offset, data } of await packedPieces(checkpoint, slice))
          await write(`${slice.part.name}.${plane}`, offset, data);
      }
    }
  };
  try {
    await prepareDisk(path, entries);
    await writeSafetensors(path, entries, metadata, options, fill);
  } catch (error) {
    throw writeError(error, path);
  }
}

function layoutOf({ matrices }: Weights): Layout {
  const parts: Record<string, readonly StoredPart[]> = {};
  const tensors: Record<string, StoredRows> = {};
  for (const matrix of matrices.values()) {
    parts[matrix.name] = matrix.parts;
    for (const [i, { tensor, firstRow, rows, interleaveHead, ropeDim }] of matrix.sections.entries()) {
      const part = matrix.parts.find((one) => one.firstRow <= firstRow && firstRow < one.firstRow + one.rows);
      assert(part, 'every section is in a part');
      tensors[tensor.name] = {
        rows,
        cols: matrix.cols,
        matrix: matrix.name,
        format: part.format,
        firstRow: matrix.alternate ? 0 : firstRow,
        side: matrix.alternate ? ((i + 1) as 1 | 2) : 0,
        head: interleaveHead,
        ropeDim,
      };
    }
  }
  return { matrices: parts, tensors };
}

/** Rows of F32 at once. */
const CHUNK_BYTES = 4 << 20;

/**
 * Writes a folder that transformers reads: config.json, model.safetensors with what the weights stand for, and the
 * tokenizer's files where the model came with them. GGUF's order of query and key rows becomes Hugging Face's again.
 *
 * @param type of the matrices; f32 is exact, the others round
 * @throws as convertCheckpoint
 */
export async function writeHuggingFace(
  checkpoint: Checkpoint,
  folder: string,
  type: 'f32' | 'f16' | 'bf16',
  options: ConvertOptions = {},
): Promise<void> {
  const { config, tensors } = checkpoint;
  const dtype = type.toUpperCase() as 'F32' | 'F16' | 'BF16';
  const size = type === 'f32' ? 4 : 2;
  const targets = huggingFaceTensors(checkpoint);
  const entries: Entry[] = [];
  for (const { name, firstRow, rows, cols, isVector } of targets.values()) {
    const index = entries.findIndex((entry) => entry.name === name);
    const all = firstRow + rows;
    const entry = { name, dtype, shape: isVector ? [cols] : [all, cols], bytes: all * cols * size };
    if (index < 0) entries.push(entry);
    else entries[index] = entry;
  }
  const part = `${folder}.part`;
  try {
    await prepareDisk(folder, entries);
    await mkdir(part);
    const files = (await checkpoint.files?.()) ?? new Map<string, Uint8Array>();
    const own = files.get('config.json');
    const given = own && JSON.parse(Buffer.from(own).toString());
    // of a model that sees pictures only the text part is there
    const isWhole = given !== undefined && given.text_config === undefined;
    // newer files say dtype for torch_dtype, and it would win
    const { quantization_config: _, dtype: __, ...json } = isWhole ? given : huggingFaceConfig(config, type);
    const torch_dtype = { f32: 'float32', f16: 'float16', bf16: 'bfloat16' }[type];
    for (const [name, bytes] of files)
      if (/^(tokenizer|special_tokens|added_tokens|vocab|merges|chat_template|generation)/.test(name))
        await writeFile(join(part, name), bytes);
    await writeFile(join(part, 'config.json'), `${JSON.stringify({ ...json, torch_dtype }, undefined, 2)}\n`);
    await writeSafetensors(join(part, 'model.safetensors'), entries, { format: 'pt' }, options, async (write) => {
      for (const tensor of tensors.values()) {
        const head = headOf(tensor, checkpoint);
        const unit = Math.max(1, head);
        const most = Math.max(1, Math.floor(CHUNK_BYTES / (4 * tensor.cols * unit))) * unit;
        for (let row = 0; row < tensor.rows; row += most) {
          options.signal?.throwIfAborted();
          const count = Math.min(most, tensor.rows - row);
          const values = inHalves(await readFloats(checkpoint, tensor, row, count), tensor.cols, head, config.ropeDim);
          if (tensor.rows === 1 && config.normOffset === 0 && isGemmaNorm(tensor, checkpoint))
            for (let i = 0; i < values.length; i++) values[i] = values[i]! - 1;
          const { name, firstRow } = targets.get(tensor.name)!;
          await write(name, (firstRow + row) * tensor.cols * size, encoded(values, type));
        }
      }
    });
    await replaceFolder(folder, part);
  } catch (error) {
    await rm(part, { recursive: true, force: true }).catch(() => undefined);
    throw writeError(error, folder);
  }
}

/** Moves a folder to a place where another may be. A crash leaves the one or the other there, or none, but never half of one. */
async function replaceFolder(folder: string, by: string): Promise<void> {
  const old = `${by}.old`;
  await rm(old, { recursive: true, force: true }); // of a crash
  await rename(folder, old).catch((error: unknown) => {
    if (!isCode(error, 'ENOENT')) throw error;
  });
  try {
    await rename(by, folder);
  } catch (error) {
    await rename(old, folder).catch(() => undefined);
    throw error;
  }
  await syncFolder(dirname(folder));
  await rm(old, { recursive: true, force: true });
}

interface Target {
  readonly name: string;
  readonly firstRow: number;
  readonly rows: number;
  readonly cols: number;
  readonly isVector: boolean;
}

/** Where transformers has each tensor: Phi-3's class has q, k and v in one, and gate and up. */
function huggingFaceTensors({ config, tensors }: Checkpoint): ReadonlyMap<string, Target> {
  const targets = new Map<string, Target>();
  const keys = config.kvHeads * config.headDim;
  const queries = config.heads * config.headDim;
  const fused: readonly (readonly [RegExp, string, number])[] = [
    [/\.q_proj\./, '.qkv_proj.', 0],
    [/\.k_proj\./, '.qkv_proj.', queries],
    [/\.v_proj\./, '.qkv_proj.', queries + keys],
    [/\.gate_proj\./, '.gate_up_proj.', 0],
    [/\.up_proj\./, '.gate_up_proj.', config.feedForward],
  ];
  for (const { name, rows, cols } of tensors.values()) {
    const [pattern = /^$/, whole = '', firstRow = 0] =
      config.architecture === 'phi3' ? (fused.find(([one]) => one.test(name)) ?? []) : [];
    targets.set(name, { name: name.replace(pattern, whole), firstRow, rows, cols, isVector: rows === 1 });
  }
  return targets;
}

/** GGUF files of Gemma have the one in their gains already. */
function isGemmaNorm({ name }: TensorInfo, { config }: Checkpoint): boolean {
  return config.architecture.startsWith('gemma') && name.includes('norm');
}

/** Rows (or elements) of a head whose pairs are neighbours in the checkpoint; 0 where they are in order. */
function headOf({ name }: TensorInfo, { config }: Checkpoint): number {
  if (config.ropePairs === 'half') return 0;
  return /self_attn\.[qk]_proj\./.test(name) ? config.headDim : 0;
}

/** Neighbouring pairs apart again, by rows or, in vectors, by elements. */
function inHalves(values: Float32Array, cols: number, head: number, ropeDim: number): Float32Array {
  if (head === 0) return values;
  const width = values.length === cols ? 1 : cols;
  const ordered = new Float32Array(values.length);
  for (let i = 0; i < values.length / width; i++) {
    const to = i - (i % head) + halfSplitRow(i % head, ropeDim);
    ordered.set(values.subarray(i * width, (i + 1) * width), to * width);
  }
  return ordered;
}

function encoded(values: Float32Array, type: 'f32' | 'f16' | 'bf16'): ArrayBufferView {
  if (type === 'f32') return values;
  const halves = new Uint16Array(values.length);
  if (type === 'f16') encodeF16(values, halves);
  else encodeBf16(values, halves);
  return halves;
}

/** With columns in the order of the inputs. */
async function readFloats(checkpoint: Checkpoint, { name, type, cols, order }: TensorInfo, row: number, count: number) {
  const bytes = await checkpoint.readRows(name, row, count);
  assert(bytes.length === count * rowBytes(type, cols), `${name} has rows of its size`);
  const values = decodeRows(type, bytes, count, cols);
  if (!order) return values;
  const ordered = new Float32Array(values.length);
  for (let first = 0; first < values.length; first += cols)
    for (let i = 0; i < cols; i++) ordered[first + order[i]!] = values[first + i]!;
  return ordered;
}

type Write = (name: string, offset: number, data: ArrayBufferView) => Promise<void>;

/** Writes beside the place and moves there at the end. A crash leaves PATH.part, which the next attempt takes away. */
async function writeSafetensors(
  path: string,
  entries: readonly Entry[],
  metadata: Readonly<Record<string, string>>,
  { onProgress }: ConvertOptions,
  fill: (write: Write) => Promise<void>,
): Promise<void> {
  const places = new Map<string, { readonly start: number; readonly bytes: number }>();
  const described: Record<string, unknown> = { __metadata__: metadata };
  let end = 0;
  for (const { name, dtype, shape, bytes } of entries) {
    described[name] = { dtype, shape, data_offsets: [end, end + bytes] };
    places.set(name, { start: end, bytes });
    end += bytes;
  }
  const text = Buffer.from(JSON.stringify(described));
  const header = Buffer.alloc(Math.ceil((8 + text.length) / 64) * 64, ' ');
  header.writeBigUInt64LE(BigInt(header.length - 8));
  text.copy(header, 8);

  const part = `${path}.part`;
  let handle: FileHandle | undefined;
  try {
    handle = await open(part, 'w');
    const file = handle;
    let done = 0;
    const put = async (at: number, data: ArrayBufferView) => {
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      for (let written = 0; written < bytes.length; )
        written += (await file.write(bytes, written, bytes.length - written, at + written)).bytesWritten;
    };
    await put(0, header);
    await file.truncate(header.length + end); // rows that only pad stay zero
    await fill(async (name, offset, data) => {
      const place = places.get(name);
      assert(place && offset + data.byteLength <= place.bytes, `${name} has room for what is written to it`);
      await put(header.length + place.start + offset, data);
      done += data.byteLength;
      onProgress?.(done, end);
    });
    await file.sync();
    await file.close();
    handle = undefined;
    await rename(part, path);
    await syncFolder(dirname(path));
  } catch (error) {
    await handle?.close().catch(() => undefined);
    await rm(part, { force: true }).catch(() => undefined);
    throw error;
  }
}

/** Makes the folder that `path` goes to, takes away what an attempt left that was cut off, and looks whether there is room. */
async function prepareDisk(path: string, entries: readonly Entry[]): Promise<void> {
  const there = await stat(path).catch(() => undefined);
  if (there && !there.isFile() && !there.isDirectory())
    throw new FirstlightError('bad-argument', `${path} is a device or the like: give the name of a file`);
  const bytes = entries.reduce((sum, entry) => sum + entry.bytes, 0);
  const folder = dirname(path);
  await mkdir(folder, { recursive: true });
  await rm(`${path}.part`, { recursive: true, force: true });
  const free = await freeBytes(folder);
  if (free >= bytes) return;
  const [wanted, left] = [bytes, free].map((one) => `${Math.ceil(one / 2 ** 20)} MiB`);
  throw new FirstlightError(
    'disk-full',
    `${path} takes ${wanted} where the disk has ${left} left: free some space, or write it to another disk`,
  );
}

function writeError(error: unknown, path: string): unknown {
  const known = diskError(error, path);
  if (!(known instanceof FirstlightError) || known.code !== 'disk-full' || known === error) return known;
  return new FirstlightError(
    'disk-full',
    `${path} does not fit the disk: nothing of it was kept; free some space first`,
    {
      cause: error,
    },
  );
}
