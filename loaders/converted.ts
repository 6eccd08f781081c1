/**
 * firstlight's own files, written by `firstlight convert`: safetensors whose matrices lie as on the device (quant/layout.ts), split,
 * interleaved and reordered, so that loading is reading. Metadata say what is where:
 *
 *   format        `firstlight-1`
 *   config        LlamaConfig as JSON
 *   layout        a Layout as JSON
 *
 * and the tensors are PART.codes U32 [rows][words], PART.scales U32 [rows / 4][words], NAME.order U32 where the inputs of a tensor
 * are not in order, vectors F32 under Hugging Face's names, and files/NAME U8: the small files that the model came with, its tokenizer above all.
 */
import { asUint32 } from '../quant/bytes.ts';
import { FirstlightError } from '../quant/errors.ts';
import { type Format, isFormat, ROW_BLOCK, rowWords } from '../quant/layout.ts';
import { unpackRows } from '../quant/pack.ts';
import { devicePlace } from '../quant/row-order.ts';
import { isArchitecture } from './architectures.ts';
import { checkConfig } from './config.ts';
import { isSizes } from './container.ts';
import type { Folder } from './folder.ts';
import { readGgufHeader } from './gguf.ts';
import { isJsonObject, parseJson } from './json.ts';
import { MLC_CONFIG, mlcTokenIds } from './mlc.ts';
import { expectedTensors } from './model-tensors.ts';
import { readSafetensorsHeader, type SafetensorsEntry, type SafetensorsHeader } from './safetensors.ts';
import { memorySource } from './source.ts';
import type { Checkpoint, LlamaConfig, PackedWeights, Source, TensorInfo, Vocab } from './types.ts';
import { folderVocab } from './vocab-folder.ts';
import { vocabFromGguf } from './vocab-gguf.ts';

export const CONVERTED_FORMAT = 'firstlight-1';
/** Name of the file that keeps a GGUF file's tokenizer. */
export const GGUF_METADATA = 'metadata.gguf';

/** A run of rows of a matrix. */
export interface StoredPart {
  readonly name: string;
  readonly format: Format;
  readonly firstRow: number;
  readonly rows: number;
}

/** Where the rows of a tensor are in its matrix. */
export interface StoredRows {
  readonly rows: number;
  readonly cols: number;
  readonly matrix: string;
  readonly format: Format;
  readonly firstRow: number;
  /** 0: one after another; 1, 2: the first or second 32 rows of every 64. */
  readonly side: 0 | 1 | 2;
  /** Rows of a head whose RoPE pairs have become neighbours; 0: rows are in order. */
  readonly head: number;
  readonly ropeDim: number;
}

export interface Layout {
  readonly matrices: Readonly<Record<string, readonly StoredPart[]>>;
  readonly tensors: Readonly<Record<string, StoredRows>>;
}

/** Typed arrays survive JSON. */
export function configToJson(config: LlamaConfig): string {
  return JSON.stringify(config, (_, value) => (value instanceof Float32Array ? { float32: [...value] } : value));
}

/** Opens a converted file, which the checkpoint then owns. Throws `bad-file`. */
export async function openConverted(source: Source): Promise<Checkpoint> {
  const header = await readSafetensorsHeader(source);
  const config = readConfig(header, source.name);
  const layout = readLayout(header, source.name);
  const entries = new Map(header.entries.map((entry) => [entry.name, entry]));
  const tensors = new Map<string, TensorInfo>();
  for (const [name, { rows, cols, format }] of Object.entries(layout.tensors)) {
    const order = await readOrder(source, entries.get(`${name}.order`), cols);
    tensors.set(name, { name, type: 'F32', rows, cols, format, ...(order ? { order } : {}) });
  }
  for (const { name, dtype, shape } of header.entries) {
    if (dtype === 'F32' && shape.length === 1) tensors.set(name, { name, type: 'F32', rows: 1, cols: shape[0]! });
  }
  for (const [name, shape] of expectedTensors(config)) {
    const tensor = tensors.get(name);
    const [rows, cols] = shape.length === 1 ? [1, shape[0]] : shape;
    if (tensor?.rows !== rows || tensor.cols !== cols)
      throw damaged(source.name, `lacks ${name} [${shape.join(', ')}]`);
  }
  const packed = packedReader(source, layout, entries);
  const files = () => readFiles(source, entries);
  return {
    format: 'firstlight',
    path: source.name,
    config,
    tensors,
    packed,
    files,
    async readRows(name, firstRow, rowCount, into) {
      const place = layout.tensors[name];
      const entry = entries.get(name);
      if (!place) {
        const bytes = await source.read(entry!.offset, rowCount === 0 ? 0 : entry!.bytes);
        into?.set(bytes);
        return into?.subarray(0, bytes.length) ?? bytes;
      }
      const values = await decodedRows(place, packed, layout, firstRow, rowCount);
      const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
      into?.set(bytes);
      return into?.subarray(0, bytes.length) ?? bytes;
    },
    vocab: async () => vocabOf(await files()),
    close: () => source.close(),
  };
}

/** A permutation of the inputs. */
async function readOrder(
  source: Source,
  entry: SafetensorsEntry | undefined,
  cols: number,
): Promise<Uint32Array | undefined> {
  if (!entry) return undefined;
  if (entry.dtype !== 'U32' || entry.bytes !== 4 * cols)
    throw damaged(source.name, `has ${entry.name} of another size`);
  const order = asUint32(await source.read(entry.offset, entry.bytes));
  const seen = new Set(order);
  if (seen.size !== cols || order.some((input) => input >= cols)) {
    throw damaged(source.name, `has ${entry.name} that is no order of ${cols} inputs`);
  }
  return order;
}

function packedReader(source: Source, layout: Layout, entries: ReadonlyMap<string, SafetensorsEntry>): PackedWeights {
  return {
    async read(matrix, plane, row, start, length, into) {
      const part = partAt(layout, matrix, row);
      const entry = entries.get(`${part.name}.${plane}`);
      const bytesPerRow = (entry?.bytes ?? 0) / part.rows;
      return source.read((entry?.offset ?? 0) + (row - part.firstRow) * bytesPerRow + start, length, into);
    },
  };
}

function partAt(layout: Layout, matrix: string, row: number): StoredPart {
  const part = layout.matrices[matrix]?.find(({ firstRow, rows }) => row >= firstRow && row < firstRow + rows);
  if (!part) throw new Error(`firstlight bug: ${matrix} has no row ${row}`);
  return part;
}

/** The weights of some rows as the device sees them, [rowCount][cols]. */
async function decodedRows(
  place: StoredRows,
  packed: PackedWeights,
  layout: Layout,
  firstRow: number,
  rowCount: number,
): Promise<Float32Array> {
  const { cols, matrix, format } = place;
  const words = rowWords(format, cols);
  const values = new Float32Array(rowCount * cols);
  let quad: { readonly row: number; readonly values: Float32Array } | undefined;
  for (let i = 0; i < rowCount; i++) {
    const row = devicePlace(place, firstRow + i);
    const quadRow = row - (row % 4);
    if (quad?.row !== quadRow) {
      const codes = await packed.read(matrix, 'codes', quadRow, 0, 16 * words.codes);
      const scales =
        words.scales > 0 ? await packed.read(matrix, 'scales', quadRow, 0, 4 * words.scales) : new Uint8Array();
      quad = {
        row: quadRow,
        values: unpackRows({ format, rows: 4, cols, codes: asUint32(codes), scales: asUint32(scales) }),
      };
    }
    values.set(quad.values.subarray((row - quadRow) * cols, (row - quadRow + 1) * cols), i * cols);
  }
  // what is not asked for of the layout is not read, but a row must be where the layout has one
  partAt(layout, matrix, devicePlace(place, firstRow));
  return values;
}

async function readFiles(
  source: Source,
  entries: ReadonlyMap<string, SafetensorsEntry>,
): Promise<ReadonlyMap<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  for (const { name, dtype, offset, bytes } of entries.values()) {
    if (name.startsWith('files/') && dtype === 'U8')
      files.set(name.slice('files/'.length), await source.read(offset, bytes));
  }
  return files;
}

/** From the files that came with the model, as its own loader reads them. */
async function vocabOf(files: ReadonlyMap<string, Uint8Array>): Promise<Vocab | undefined> {
  const gguf = files.get(GGUF_METADATA);
  if (gguf) {
    const { metadata } = await readGgufHeader(memorySource(GGUF_METADATA, gguf));
    return metadata.has('tokenizer.ggml.tokens') ? vocabFromGguf(metadata, GGUF_METADATA) : undefined;
  }
  const folder: Folder = {
    path: '',
    names: new Set(files.keys()),
    open: async (name) => memorySource(name, files.get(name) ?? new Uint8Array()),
  };
  const [name, read] = files.has(MLC_CONFIG) ? ([MLC_CONFIG, mlcTokenIds] as const) : (['config.json', asIs] as const);
  const config = files.get(name);
  return folderVocab(folder, config ? read(parseJson(config, name)) : undefined);
}

function asIs(json: unknown): unknown {
  return json;
}

function readConfig({ metadata }: SafetensorsHeader, file: string): LlamaConfig {
  const json = parseJson(Buffer.from(metadata.get('config') ?? ''), `${file}: config`);
  if (!isJsonObject(json) || !isArchitecture(json.architecture)) throw damaged(file, 'has no config that makes sense');
  const config = restored(json) as unknown as LlamaConfig;
  const { norms, qkNorm, activation, ropePairs, ropeScaling, normOffset, embeddingScale } = config;
  const sound =
    ['before', 'after', 'both'].includes(norms) &&
    ['none', 'head', 'all'].includes(qkNorm) &&
    ['silu', 'gelu'].includes(activation) &&
    ['half', 'interleaved'].includes(ropePairs) &&
    typeof ropeScaling?.kind === 'string' &&
    [normOffset, embeddingScale].every((value) => typeof value === 'number');
  if (!sound) throw damaged(file, 'has no config that makes sense');
  checkConfig(config, file);
  return config;
}

function restored(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(restored);
  if (!isJsonObject(value)) return value;
  if (Array.isArray(value.float32)) return Float32Array.from(value.float32, Number);
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, restored(inner)]));
}

/** Checks that the layout and the tensors of the file are of one piece. */
function readLayout({ metadata, entries }: SafetensorsHeader, file: string): Layout {
  const json = parseJson(Buffer.from(metadata.get('layout') ?? ''), `${file}: layout`);
  if (!isJsonObject(json) || !isJsonObject(json.matrices) || !isJsonObject(json.tensors)) {
    throw damaged(file, 'has no layout');
  }
  const byName = new Map(entries.map((entry) => [entry.name, entry]));
  const layout = json as unknown as Layout;
  for (const [name, place] of Object.entries(json.tensors)) {
    if (!isPlace(place)) throw damaged(file, `has no place for ${name}`);
    const parts = Object.hasOwn(json.matrices, place.matrix) ? json.matrices[place.matrix] : undefined;
    if (!Array.isArray(parts) || !parts.every(isPart)) throw damaged(file, `has no rows for ${name}`);
    const ends = [0, place.rows - 1].map((row) => devicePlace({ ...place, head: 0 }, row));
    const holds = ({ firstRow, rows }: StoredPart) => ends.every((row) => row >= firstRow && row < firstRow + rows);
    if (!parts.some(holds)) throw damaged(file, `has no rows for ${name}`);
    for (const part of parts) {
      const words = rowWords(part.format, place.cols);
      const codes = byName.get(`${part.name}.codes`);
      const scales = byName.get(`${part.name}.scales`);
      if (codes?.bytes !== part.rows * words.codes * 4 || (scales?.bytes ?? 0) !== part.rows * words.scales) {
        throw damaged(file, `has ${part.name} of another size than its layout says`);
      }
    }
  }
  return layout;
}

function isPlace(value: unknown): value is StoredRows {
  if (!isJsonObject(value)) return false;
  const { matrix, rows, cols, firstRow, side, head, ropeDim, format } = value;
  const sizes: unknown = [rows, cols, firstRow, head, ropeDim];
  return (
    typeof matrix === 'string' &&
    isSizes(sizes) &&
    sizes.every((size) => size < 2 ** 31) &&
    rows !== 0 &&
    cols !== 0 &&
    areHeads(Number(rows), Number(head), Number(ropeDim)) &&
    (side === 0 || side === 1 || side === 2) &&
    isFormat(format)
  );
}

/** Whether rows stay among themselves when the pairs of heads become neighbours. */
function areHeads(rows: number, head: number, ropeDim: number): boolean {
  return head === 0 || (rows % head === 0 && ropeDim % 2 === 0 && ropeDim <= head);
}

function isPart(value: unknown): value is StoredPart {
  if (!isJsonObject(value)) return false;
  const { name, format, firstRow, rows } = value;
  return (
    typeof name === 'string' &&
    isFormat(format) &&
    isSizes([firstRow, rows]) &&
    rows !== 0 &&
    Number(rows) % ROW_BLOCK === 0 &&
    Number(firstRow) % ROW_BLOCK === 0
  );
}

function damaged(file: string, what: string): FirstlightError {
  return new FirstlightError('bad-file', `${file} ${what}: convert the model again`);
}
