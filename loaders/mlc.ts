/**
 * MLC-LLM's own weights: mlc-chat-config.json, an index (tensor-cache.json, before 2025 ndarray-cache.json) and shards of raw
 * bytes. Group quantisation as in https://github.com/mlc-ai/mlc-llm, python/mlc_llm/quantization/group_quantization.py.
 */
import { join } from 'node:path';
import { asUint32 } from '../quant/bytes.ts';
import { FirstlightError } from '../quant/errors.ts';
import { configFromJson } from './config.ts';
import { isSizes, madeTensor, plainTensor, type StoredTensor } from './container.ts';
import { type Folder, readJson } from './folder.ts';
import { isJsonObject, type JsonObject } from './json.ts';
import type { LlamaConfig, Source } from './types.ts';

export const MLC_CONFIG = 'mlc-chat-config.json';
const INDICES = ['tensor-cache.json', 'ndarray-cache.json'];

/** By model_type; Mixtral, Gemma and others have tensors of other names. */
const CLASSES: Readonly<Record<string, string>> = {
  llama: 'LlamaForCausalLM',
  mistral: 'MistralForCausalLM',
  qwen2: 'Qwen2ForCausalLM',
};

/** Whether the matrices of a quantisation lie with their inputs outermost ([in / 8][out]); embeddings never do. */
const QUANTISATIONS: Readonly<Record<string, { readonly inputsFirst: boolean }>> = {
  q0f16: { inputsFirst: false },
  q0bf16: { inputsFirst: false },
  q0f32: { inputsFirst: false },
  q4f16_0: { inputsFirst: true },
  q4f16_1: { inputsFirst: false },
  q4f16_2: { inputsFirst: false },
  q4f32_1: { inputsFirst: false },
};

/** Weights that share a scale, and that share a word. */
const GROUP = 32;
const PER_WORD = 8;
/** Every field of a word that has the bits 1111, four bits each: the code 15, which is not written. */
const FIELDS = 0x11111111;

export interface MlcModel {
  readonly quantisation: string;
  readonly config: LlamaConfig;
  readonly stored: ReadonlyMap<string, StoredTensor>;
  /** What config.json would say of the first and last tokens. */
  readonly tokenIds: JsonObject;
}

/**
 * Reads the configuration and the index of an export.
 *
 * @param opened hears of every shard that is opened, so that the caller can close them
 * @throws `bad-file` for files that are damaged or missing, `unsupported-model` for what firstlight does not run
 */
export async function openMlc(folder: Folder, opened: (source: Source) => void): Promise<MlcModel> {
  const file = join(folder.path, MLC_CONFIG);
  const json = await readJson(folder, MLC_CONFIG);
  if (!isJsonObject(json)) throw damaged(file, 'is no JSON object');
  const quantisation = json.quantization;
  if (quantisation === undefined) await readIndex(folder); // exports of 2023 do not say it: the index tells why they are refused
  if (typeof quantisation !== 'string' || !Object.hasOwn(QUANTISATIONS, quantisation)) {
    const known = Object.keys(QUANTISATIONS).join(', ');
    throw unsupported(file, `MLC's quantisation ${JSON.stringify(quantisation)} is not run, only ${known}`);
  }
  const records = await readIndex(folder);
  const config = configFromJson(huggingFaceConfig(json, records, file), file);
  const shards = new Map<string, Source>();
  for (const { shard } of records.values()) {
    if (shards.has(shard)) continue;
    const source = await folder.open(shard);
    opened(source);
    shards.set(shard, source);
  }
  const tensors = new Map<string, StoredTensor>();
  for (const [name, record] of records) {
    const source = shards.get(record.shard)!;
    if (record.offset + record.bytes > source.size) {
      throw damaged(
        source.name,
        `has ${source.size} bytes where its tensor ${name} ends at ${record.offset + record.bytes}`,
      );
    }
    if (name.endsWith('.q_scale')) continue;
    if (!name.endsWith('.q_weight')) {
      tensors.set(name, plainTensor(source, storedType(name, record, file), record.shape, record.offset));
      continue;
    }
    const base = name.slice(0, -'.q_weight'.length);
    const scale = records.get(`${base}.q_scale`);
    if (!scale) throw damaged(file, `has ${name} without its q_scale in the index`);
    const inputsFirst = QUANTISATIONS[quantisation]!.inputsFirst && !base.endsWith('embed_tokens');
    tensors.set(`${base}.weight`, groupTensor(name, record, scale, shards, inputsFirst));
  }
  return { quantisation, config, stored: renamed(tensors, config), tokenIds: mlcTokenIds(json) };
}

interface Entry {
  readonly shard: string;
  readonly offset: number;
  readonly bytes: number;
  readonly dtype: string;
  readonly shape: readonly number[];
}

async function readIndex(folder: Folder): Promise<ReadonlyMap<string, Entry>> {
  const name = INDICES.find((index) => folder.names.has(index));
  if (name === undefined) {
    throw new FirstlightError('bad-file', `${folder.path} has neither ${INDICES.join(' nor ')}: get the weights too`);
  }
  const file = join(folder.path, name);
  const json = await readJson(folder, name);
  const entries = new Map<string, Entry>();
  for (const record of listOf(json, 'records', file)) {
    const { dataPath } = record;
    // some copies name shards as URLs with a query
    const shard = typeof dataPath === 'string' ? dataPath.replace(/\?.*$/s, '') : '';
    for (const tensor of listOf(record, 'records', file)) {
      const { name: tensorName, shape, dtype, byteOffset, nbytes } = tensor;
      if (typeof tensorName !== 'string' || typeof dtype !== 'string' || !isSizes(shape)) {
        throw damaged(file, 'has a tensor without name, dtype or shape');
      }
      if (!isSizes([byteOffset, nbytes])) throw damaged(file, `has ${tensorName} without byteOffset or nbytes`);
      if (/^param_\d+$/.test(tensorName)) {
        throw unsupported(
          file,
          `its tensors are called ${tensorName} and so on: which is which stands only in the library compiled with them; ` +
            'get an export of 2024 or later, or the original model',
        );
      }
      if (entries.has(tensorName)) throw damaged(file, `has ${tensorName} twice`);
      entries.set(tensorName, { shard, shape, dtype, offset: byteOffset as number, bytes: nbytes as number });
    }
    if (!folder.names.has(shard)) {
      const name = JSON.stringify(dataPath)?.slice(0, 100);
      throw new FirstlightError('bad-file', `${file} names ${name}, which is not beside it: get all shards`);
    }
  }
  return entries;
}

function listOf(json: unknown, key: string, file: string): readonly JsonObject[] {
  const list = isJsonObject(json) ? json[key] : undefined;
  if (Array.isArray(list) && list.every(isJsonObject)) return list;
  throw damaged(file, `has no list of ${key}`);
}

/** What config.json would say. */
function huggingFaceConfig(json: JsonObject, tensors: ReadonlyMap<string, unknown>, file: string): JsonObject {
  const { model_type: type, model_config: model } = json;
  const className = typeof type === 'string' && Object.hasOwn(CLASSES, type) ? CLASSES[type] : undefined;
  if (!className) {
    const known = Object.keys(CLASSES).join(', ');
    throw unsupported(file, `MLC's model_type ${JSON.stringify(type)} is not run, only ${known}`);
  }
  if (!isJsonObject(model)) throw damaged(file, 'has no model_config');
  if (model.tensor_parallel_shards !== undefined && model.tensor_parallel_shards !== 1) {
    throw unsupported(file, 'weights that are cut for several GPUs (tensor_parallel_shards) are not read');
  }
  const { context_window_size: context, sliding_window_size: window, position_embedding_base: base } = model;
  return {
    ...model,
    architectures: [className],
    rope_theta: model.rope_theta ?? base,
    // -1 says that a sliding window takes its place
    max_position_embeddings: typeof context === 'number' && context > 0 ? context : undefined,
    sliding_window: typeof window === 'number' && window > 0 ? window : null,
    use_sliding_window: typeof window === 'number' && window > 0,
    tie_word_embeddings: ![...tensors.keys()].some((name) => name.startsWith('lm_head.')),
  };
}

/** What config.json would say of the first and last tokens. */
export function mlcTokenIds(json: unknown): JsonObject {
  if (!isJsonObject(json)) return {};
  const { bos_token_id, eos_token_id, conv_template: template } = json;
  const stops = isJsonObject(template) ? template.stop_token_ids : undefined;
  const ends = [eos_token_id, stops].flat().filter((id) => typeof id === 'number');
  return { bos_token_id, ...(ends.length > 0 ? { eos_token_id: [...new Set(ends)] } : {}) };
}

/** Floats of 32 bits are stored in 16 where the format says f32-to-bf16: the bytes tell. */
function storedType(name: string, { dtype, shape, bytes }: Entry, file: string): string {
  const count = shape.reduce((product, length) => product * length, 1);
  if (dtype === 'float32' && bytes === 4 * count) return 'F32';
  if ((dtype === 'float32' || dtype === 'bfloat16') && bytes === 2 * count) return 'BF16';
  if (dtype === 'float16' && bytes === 2 * count) return 'F16';
  throw damaged(file, `says that ${name} is ${dtype} [${shape.join(', ')}] in ${bytes} bytes`);
}

/** A matrix as rows of codes and then scales, whatever order the file has. */
function groupTensor(
  name: string,
  codes: Entry,
  scales: Entry,
  shards: ReadonlyMap<string, Source>,
  inputsFirst: boolean,
): StoredTensor {
  const [codeSource, scaleSource] = [shards.get(codes.shard)!, shards.get(scales.shard)!];
  const [rows = 0, words = 0] = inputsFirst ? codes.shape.toReversed() : codes.shape;
  const groups = (words * PER_WORD) / GROUP;
  const scaleType = storedType(`${name}'s scale`, scales, scaleSource.name);
  const fits =
    codes.shape.length === 2 &&
    codes.dtype === 'uint32' &&
    codes.bytes === rows * words * 4 &&
    [rows, groups].every((size, i) => size === (inputsFirst ? scales.shape.toReversed() : scales.shape)[i]);
  if (!fits) {
    throw damaged(codeSource.name, `has ${name} [${codes.shape.join(', ')}] with scales [${scales.shape.join(', ')}]`);
  }
  const wide = scaleType !== 'F16';
  const scaleBytes = wide ? 4 : 2;
  const rowBytes = words * 4 + groups * scaleBytes;
  const type = wide ? 'MLC4_WIDE' : 'MLC4';
  return madeTensor(type, [rows, words * PER_WORD], async (firstRow, rowCount, into) => {
    const out = into?.subarray(0, rowCount * rowBytes) ?? new Uint8Array(rowCount * rowBytes);
    const read = (source: Source, entry: Entry, perRow: number, size: number) =>
      readPlane(source, entry.offset, { rows, perRow, size, inputsFirst }, firstRow, rowCount);
    const plane = await read(codeSource, codes, words, 4);
    if (hasCode15(plane)) {
      throw damaged(codeSource.name, `has a code 15 in ${name}, rows ${firstRow} to ${firstRow + rowCount}`);
    }
    const stored = await read(scaleSource, scales, groups, scaleType === 'F32' ? 4 : 2);
    const scalePlane = scaleType === 'BF16' ? widened(stored) : stored;
    for (let row = 0; row < rowCount; row++) {
      out.set(plane.subarray(row * words * 4, (row + 1) * words * 4), row * rowBytes);
      const from = row * groups * scaleBytes;
      out.set(scalePlane.subarray(from, from + groups * scaleBytes), row * rowBytes + words * 4);
    }
    return out;
  });
}

interface Plane {
  readonly rows: number;
  readonly perRow: number;
  /** Bytes of an element. */
  readonly size: 2 | 4 | number;
  readonly inputsFirst: boolean;
}

/** Elements [row][perRow] of some rows. */
async function readPlane(
  source: Source,
  offset: number,
  { rows, perRow, size, inputsFirst }: Plane,
  firstRow: number,
  rowCount: number,
): Promise<Uint8Array> {
  if (!inputsFirst) return source.read(offset + firstRow * perRow * size, rowCount * perRow * size);
  const out = new Uint8Array(rowCount * perRow * size);
  const to = size === 4 ? new Uint32Array(out.buffer) : new Uint16Array(out.buffer);
  const line = new Uint8Array(rowCount * size);
  const from = size === 4 ? new Uint32Array(line.buffer) : new Uint16Array(line.buffer);
  for (let i = 0; i < perRow; i++) {
    await source.read(offset + (i * rows + firstRow) * size, line.length, line);
    for (let row = 0; row < rowCount; row++) to[row * perRow + i] = from[row]!;
  }
  return out;
}

function hasCode15(bytes: Uint8Array): boolean {
  const words = asUint32(bytes);
  let found = 0;
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    const pairs = word & (word >>> 1);
    found |= pairs & (pairs >>> 2) & FIELDS;
  }
  return found !== 0;
}

/** bf16 to f32. */
function widened(bytes: Uint8Array): Uint8Array {
  const wide = new Uint8Array(bytes.length * 2);
  for (let i = 0; i < bytes.length; i += 2) {
    wide[2 * i + 2] = bytes[i]!;
    wide[2 * i + 3] = bytes[i + 1]!;
  }
  return wide;
}

/** Qwen 2's q, k and v are one matrix here under GPT's name for it, with one bias. */
function renamed(tensors: ReadonlyMap<string, StoredTensor>, config: LlamaConfig): ReadonlyMap<string, StoredTensor> {
  const { heads, kvHeads, headDim } = config;
  const parts = [
    ['q_proj', 0, heads],
    ['k_proj', heads, kvHeads],
    ['v_proj', heads + kvHeads, kvHeads],
  ] as const;
  const all = new Map<string, StoredTensor>();
  for (const [name, tensor] of tensors) {
    if (!name.endsWith('.bias') || tensor.shape.length !== 1 || !/\.(c_attn|qkv_proj)\./.test(name)) {
      all.set(name.replace('.c_attn.', '.qkv_proj.'), tensor);
      continue;
    }
    for (const [part, first, count] of parts) {
      all.set(name.replace(/\.(c_attn|qkv_proj)\./, `.${part}.`), elementsOf(tensor, first * headDim, count * headDim));
    }
  }
  return all;
}

/** Some elements of a vector. */
function elementsOf(tensor: StoredTensor, first: number, count: number): StoredTensor {
  const total = tensor.shape[0] ?? 0;
  // a vector that is too short says so by its shape
  const shape = [Math.max(0, Math.min(count, total - first))];
  return madeTensor(tensor.type, shape, async (_firstRow, rowCount, into) => {
    const bytes = await tensor.readRows(0, rowCount);
    const size = bytes.length / total;
    const found = bytes.subarray(first * size, (first + count) * size);
    into?.set(found);
    return into?.subarray(0, found.length) ?? found;
  });
}

function damaged(file: string, what: string): FirstlightError {
  return new FirstlightError('bad-file', `${file} ${what}: get the file again`);
}

function unsupported(file: string, what: string): FirstlightError {
  return new FirstlightError('unsupported-model', `${file}: ${what}`);
}
