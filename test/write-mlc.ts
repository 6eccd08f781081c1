/** MLC exports as its convert_weight writes them: https://github.com/mlc-ai/mlc-llm, group quantisation in 4 bits. */
import type { LlamaConfig } from '../loaders/types.ts';
import { f32ToBf16 } from '../quant/bf16.ts';
import { f16ToF32, f32ToF16 } from '../quant/f16.ts';
import type { Weights } from './gguf-conventions.ts';
import { configJson } from './random-model.ts';

export type MlcQuantisation = 'q0f16' | 'q0f32' | 'q4f16_0' | 'q4f16_1' | 'q4f32_1';

export interface MlcExport {
  readonly files: Map<string, Uint8Array>;
  /** What the weights stand for, by Hugging Face's names. */
  readonly values: ReadonlyMap<string, Float32Array>;
}

/** All files of an export in two shards; floats of 32 bits in 16 where `narrow`, as MLC stores them. */
export function mlcExport(
  config: LlamaConfig,
  weights: ReadonlyMap<string, Weights>,
  quantisation: MlcQuantisation,
  narrow = false,
): MlcExport {
  const values = new Map<string, Float32Array>();
  const records: { name: string; shape: readonly number[]; dtype: string; bytes: Uint8Array }[] = [];
  const isWide = quantisation.includes('f32');
  const float = (name: string, shape: readonly number[], source: Float32Array) => {
    const halves = Uint16Array.from(source, (value) => (isWide ? f32ToBf16(value) : f32ToF16(value)));
    const bytes = isWide && !narrow ? source : halves;
    records.push({ name, shape, dtype: isWide ? 'float32' : 'float16', bytes: bytesOf(bytes) });
    return source.map((value, i) => {
      if (!isWide) return f16ToF32(halves[i]!);
      return narrow ? new Float32Array(Uint32Array.of(halves[i]! << 16).buffer)[0]! : value;
    });
  };
  for (const { name, parts, shape, values: all } of fused(config, weights)) {
    const isMatrix = shape.length === 2 && quantisation.startsWith('q4');
    let exact: Float32Array;
    if (!isMatrix) exact = float(name, shape, all);
    else {
      const [rows = 0, cols = 0] = shape;
      const { codes, scales } = quantise(all, isWide, isWide && narrow);
      const base = name.slice(0, -'.weight'.length);
      const turn = quantisation === 'q4f16_0' && !base.endsWith('embed_tokens');
      const words = packed(codes);
      const place = (size: number) => (turn ? [size, rows] : [rows, size]);
      const groups = cols / 32;
      records.push({
        name: `${base}.q_weight`,
        shape: place(cols / 8),
        dtype: 'uint32',
        bytes: bytesOf(turn ? transposed(words, rows, cols / 8) : words),
      });
      const stored = turn ? transposed(scales, rows, groups) : scales;
      exact = codes.length > 0 ? all.slice() : all;
      const real = float(`${base}.q_scale`, place(groups), stored);
      const ordered = turn ? transposed(real, groups, rows) : real;
      for (let i = 0; i < all.length; i++) exact[i] = (codes[i]! - 7) * ordered[Math.floor(i / 32)]!;
    }
    let first = 0;
    for (const [part, count] of parts) {
      values.set(part, exact.slice(first, first + count));
      first += count;
    }
  }
  return { files: filesOf(config, quantisation, records), values };
}

/** q, k, v as one and gate and up as one. */
function fused(config: LlamaConfig, weights: ReadonlyMap<string, Weights>) {
  const list: { name: string; parts: [string, number][]; shape: readonly number[]; values: Float32Array }[] = [];
  const add = (name: string, names: readonly string[]) => {
    const found = names.map((part) => weights.get(part)!);
    const rows = found.reduce((sum, { shape }) => sum + shape[0]!, 0);
    const values = Float32Array.from(found.flatMap((one) => [...one.values]));
    const parts = names.map((part, i): [string, number] => [part, found[i]!.values.length]);
    list.push({ name, parts, shape: [rows, ...found[0]!.shape.slice(1)], values });
  };
  const qkv = config.architecture === 'qwen2' ? 'c_attn' : 'qkv_proj';
  for (const name of weights.keys()) {
    const [, layer, kind] = /^(.*\.)[qg]\w*_proj\.(weight|bias)$/.exec(name) ?? [];
    if (name.includes('.q_proj.')) {
      add(
        `${layer}${qkv}.${kind}`,
        ['q', 'k', 'v'].map((letter) => `${layer}${letter}_proj.${kind}`),
      );
    } else if (name.includes('.gate_proj.')) {
      add(`${layer}gate_up_proj.weight`, [`${layer}gate_proj.weight`, `${layer}up_proj.weight`]);
    } else if (!/\.(k|v|up)_proj\./.test(name)) add(name, [name]);
  }
  return list;
}

function quantise(values: Float32Array, isWide: boolean, narrow: boolean) {
  const codes = new Uint8Array(values.length);
  const scales = new Float32Array(values.length / 32);
  for (let group = 0; group < scales.length; group++) {
    const weights = values.subarray(group * 32, group * 32 + 32);
    const scale = weights.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / 7;
    if (!isWide) scales[group] = f16ToF32(f32ToF16(scale));
    else scales[group] = narrow ? new Float32Array(Uint32Array.of(f32ToBf16(scale) << 16).buffer)[0]! : scale;
    for (const [i, value] of weights.entries()) {
      codes[group * 32 + i] = Math.min(14, Math.max(0, Math.round(value / scales[group]! + 7)));
    }
  }
  return { codes, scales };
}

function packed(codes: Uint8Array): Uint32Array {
  const words = new Uint32Array(codes.length / 8);
  for (const [i, code] of codes.entries()) words[i >> 3]! |= code << (4 * (i & 7));
  return words;
}

function transposed<T extends Uint32Array | Float32Array>(matrix: T, rows: number, cols: number): T {
  const turned = matrix.slice() as T;
  for (let row = 0; row < rows; row++)
    for (let col = 0; col < cols; col++) turned[col * rows + row] = matrix[row * cols + col]!;
  return turned;
}

function bytesOf(values: Uint32Array | Float32Array | Uint16Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

function filesOf(
  config: LlamaConfig,
  quantisation: string,
  records: readonly { name: string; shape: readonly number[]; dtype: string; bytes: Uint8Array }[],
): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  const shards = [records.slice(0, 5), records.slice(5)].map((list, i) => {
    let offset = 0;
    const entries = list.map(({ name, shape, dtype, bytes }) => {
      const entry = { name, shape, dtype, format: 'f32-to-bf16', nbytes: bytes.length, byteOffset: offset };
      offset += bytes.length;
      return entry;
    });
    const name = `params_shard_${i}.bin`;
    files.set(name, new Uint8Array(Buffer.concat(list.map(({ bytes }) => bytes))));
    return { dataPath: i === 0 ? name : `${name}?partitions=2`, format: 'raw-shard', nbytes: offset, records: entries };
  });
  const json = configJson(config);
  const { rope_theta, ...model } = json;
  const chat = {
    model_type: config.architecture,
    quantization: quantisation,
    model_config: {
      ...model,
      ...(config.architecture === 'llama' ? { position_embedding_base: rope_theta } : { rope_theta }),
      context_window_size: config.context,
      sliding_window_size: config.slidingWindow ?? -1,
      tensor_parallel_shards: 1,
    },
    eos_token_id: 2,
    conv_template: { stop_token_ids: [2, 7] },
  };
  files.set('mlc-chat-config.json', Buffer.from(JSON.stringify(chat)));
  files.set('tensor-cache.json', Buffer.from(JSON.stringify({ metadata: {}, records: shards })));
  return files;
}
