/** Small models with random weights, as safetensors folders and GGUF files in memory. */
import type { Folder } from '../loaders/folder.ts';
import { expectedTensors } from '../loaders/model-tensors.ts';
import { memorySource } from '../loaders/source.ts';
import type { LlamaConfig } from '../loaders/types.ts';
import { encodeBf16 } from '../quant/bf16.ts';
import { encodeF16 } from '../quant/f16.ts';
import { FILE_TYPES, type FileType } from '../quant/file-types.ts';
import { BLOCK } from '../quant/layout.ts';
import { quantiseQ4 } from '../quant/q4.ts';
import { quantiseQ8 } from '../quant/q8.ts';
import { randomValues, seededRandom } from './random.ts';
import { type GgufEntry, type GgufOptions, writeGguf } from './write-gguf.ts';
import { type TensorBytes, writeSafetensors } from './write-safetensors.ts';

export interface Weights {
  /** [rows, cols] for matrices, [length] for vectors. */
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** Two layers of a Llama with grouped heads; change what a test is about. */
export const SMALL_LLAMA: LlamaConfig = {
  architecture: 'llama',
  layers: 2,
  hidden: 64,
  feedForward: 96,
  heads: 4,
  kvHeads: 2,
  headDim: 16,
  vocab: 100,
  context: 128,
  normEpsilon: 1e-5,
  ropeTheta: 10000,
  ropeScaling: { kind: 'none', factor: 1, lowFrequencyFactor: 1, highFrequencyFactor: 1, originalContext: 0 },
  ropeDim: 16,
  ropePairs: 'half',
  slidingWindow: undefined,
  attentionBias: false,
  qkNorm: false,
  tiedEmbeddings: false,
};

/** Weights by Hugging Face's names: matrices with variance 1 / cols, norms near one, small biases. */
export function randomWeights(config: LlamaConfig, seed = 1): Map<string, Weights> {
  const random = seededRandom(seed);
  const weights = new Map<string, Weights>();
  for (const [name, shape] of expectedTensors(config)) {
    const count = shape.reduce((product, length) => product * length, 1);
    const values = randomValues(count, shape.length === 2 ? shape[1]! ** -0.5 : 0.1, random);
    weights.set(name, { shape, values: /norm/.test(name) ? values.map((value) => 1 + value) : values });
  }
  return weights;
}

/** The bytes of a file's tensor; whole blocks of 32 for Q8_0 and Q4_0. */
export function encodeRows(type: FileType, values: Float32Array): Uint8Array {
  const { blockLength, blockBytes } = FILE_TYPES[type];
  const bytes = new Uint8Array((values.length / blockLength) * blockBytes);
  switch (type) {
    case 'F32':
      new Float32Array(bytes.buffer).set(values);
      break;
    case 'F16':
      encodeF16(values, new Uint16Array(bytes.buffer));
      break;
    case 'BF16':
      encodeBf16(values, new Uint16Array(bytes.buffer));
      break;
    case 'Q8_0':
      quantiseQ8(values, new Int8Array(bytes.buffer, 2), 34, new Uint16Array(bytes.buffer), 17);
      break;
    case 'Q4_0':
      quantiseQ4(values, bytes.subarray(2), 18, new Uint16Array(bytes.buffer), 9);
      break;
    default:
      throw new Error(`tests do not quantise to ${type}: see randomBlocks`);
  }
  return bytes;
}

/** A folder with config.json and model.safetensors; matrices of `type`, vectors F32, Q4_0 as pairs of codes and scales. */
export function safetensorsFolder(
  config: LlamaConfig,
  weights: ReadonlyMap<string, Weights>,
  type: Exclude<FileType, 'Q8_0'> = 'F32',
): Map<string, Uint8Array> {
  const tensors: TensorBytes[] = [];
  for (const [name, { shape, values }] of weights) {
    const stored = shape.length === 2 ? type : 'F32';
    const bytes = encodeRows(stored, values);
    if (stored === 'Q4_0') tensors.push(...splitPair(name, shape, bytes));
    else tensors.push({ name, type: stored, shape, bytes });
  }
  const metadata = { format: type === 'Q4_0' ? 'firstlight-q4' : 'pt' };
  return new Map([
    ['config.json', Buffer.from(JSON.stringify(configJson(config)))],
    ['model.safetensors', writeSafetensors(tensors, metadata)],
  ]);
}

/** Files in memory as the loaders see a folder. */
export function memoryFolder(files: ReadonlyMap<string, Uint8Array>): Folder {
  return {
    path: 'memory',
    names: new Set(files.keys()),
    async open(name) {
      return memorySource(`memory/${name}`, files.get(name)!);
    },
  };
}

/** config.json as transformers 4 writes it. */
export function configJson(config: LlamaConfig): Record<string, unknown> {
  const { kind, factor, lowFrequencyFactor, highFrequencyFactor, originalContext } = config.ropeScaling;
  const frequencies = { low_freq_factor: lowFrequencyFactor, high_freq_factor: highFrequencyFactor };
  const llama3 = { ...frequencies, original_max_position_embeddings: originalContext };
  const name = config.architecture[0]!.toUpperCase() + config.architecture.slice(1);
  return {
    architectures: [`${name}ForCausalLM`],
    model_type: config.architecture,
    hidden_size: config.hidden,
    intermediate_size: config.feedForward,
    num_hidden_layers: config.layers,
    num_attention_heads: config.heads,
    num_key_value_heads: config.kvHeads,
    head_dim: config.headDim,
    vocab_size: config.vocab,
    max_position_embeddings: config.context,
    rms_norm_eps: config.normEpsilon,
    rope_theta: config.ropeTheta,
    rope_scaling: kind === 'none' ? null : { rope_type: kind, factor, ...(kind === 'llama3' ? llama3 : {}) },
    sliding_window: config.slidingWindow ?? null,
    use_sliding_window: config.slidingWindow !== undefined,
    max_window_layers: 0,
    attention_bias: config.attentionBias,
    tie_word_embeddings: config.tiedEmbeddings,
    hidden_act: 'silu',
  };
}

/** A GGUF file; matrices of `type`, vectors F32, query and key rows in GGUF's order. */
export function ggufFile(
  config: LlamaConfig,
  weights: ReadonlyMap<string, Weights>,
  type: FileType = 'F32',
  options: GgufOptions & { readonly metadata?: readonly GgufEntry[]; readonly tensors?: readonly TensorBytes[] } = {},
): Uint8Array {
  const tensors: TensorBytes[] = [];
  for (const [name, { shape, values }] of weights) {
    const stored = shape.length === 2 ? type : 'F32';
    const ordered = isInterleaved(config, name) ? interleaveRows(values, config.headDim, shape) : values;
    tensors.push({ name: ggufName(name), type: stored, shape, bytes: encodeRows(stored, ordered) });
  }
  const metadata = [...ggufMetadata(config), ...(options.metadata ?? [])];
  return writeGguf(metadata, [...tensors, ...(options.tensors ?? [])], options);
}

/** What llama.cpp's converter writes for a model; Mistral's files say llama. */
export function ggufMetadata(config: LlamaConfig): GgufEntry[] {
  const name = config.architecture === 'mistral' ? 'llama' : config.architecture;
  return [
    ['general.architecture', 'string', name],
    [`${name}.block_count`, 'u32', config.layers],
    [`${name}.context_length`, 'u32', config.context],
    [`${name}.embedding_length`, 'u32', config.hidden],
    [`${name}.feed_forward_length`, 'u32', config.feedForward],
    [`${name}.attention.head_count`, 'u32', config.heads],
    [`${name}.attention.head_count_kv`, 'u32', config.kvHeads],
    [`${name}.attention.key_length`, 'u32', config.headDim],
    [`${name}.attention.value_length`, 'u32', config.headDim],
    [`${name}.attention.layer_norm_rms_epsilon`, 'f32', config.normEpsilon],
    [`${name}.rope.freq_base`, 'f32', config.ropeTheta],
    [`${name}.rope.dimension_count`, 'u32', config.ropeDim],
    [`${name}.vocab_size`, 'u32', config.vocab],
  ];
}

function isInterleaved({ architecture }: LlamaConfig, name: string): boolean {
  return /\.[qk]_proj\./.test(name) && (architecture === 'llama' || architecture === 'mistral');
}

/** Within each head, row i and its partner i + headDim / 2 become rows 2i and 2i + 1. */
export function interleaveRows(values: Float32Array, headDim: number, shape: readonly number[]): Float32Array {
  const rows = shape[0]!;
  const cols = shape[1] ?? 1;
  const ordered = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    const inHead = row % headDim;
    const half = headDim / 2;
    const target = row - inHead + 2 * (inHead % half) + (inHead < half ? 0 : 1);
    ordered.set(values.subarray(row * cols, (row + 1) * cols), target * cols);
  }
  return ordered;
}

const GGUF_NAMES: readonly [RegExp, string][] = [
  [/^model\.embed_tokens/, 'token_embd'],
  [/^model\.norm/, 'output_norm'],
  [/^lm_head/, 'output'],
  [/^model\.layers/, 'blk'],
  [/input_layernorm/, 'attn_norm'],
  [/post_attention_layernorm/, 'ffn_norm'],
  [/self_attn\.o_proj/, 'attn_output'],
  [/self_attn\.(.)_(proj|norm)/, 'attn_$1_$2'],
  [/_proj/, ''],
  [/mlp\./, 'ffn_'],
];

function ggufName(name: string): string {
  return GGUF_NAMES.reduce((text, [from, to]) => text.replace(from, to), name);
}

/** Q4_0 blocks as the tensors NAME.codes and NAME.scales. */
function splitPair(name: string, [rows, cols]: readonly number[], bytes: Uint8Array): TensorBytes[] {
  const count = bytes.length / 18;
  const codes = new Uint8Array(count * 16);
  const scales = new Uint8Array(count * 2);
  for (let block = 0; block < count; block++) {
    scales.set(bytes.subarray(block * 18, block * 18 + 2), block * 2);
    codes.set(bytes.subarray(block * 18 + 2, block * 18 + 18), block * 16);
  }
  return [
    { name: `${name}.codes`, type: 'U8', shape: [rows!, cols! / 2], bytes: codes },
    { name: `${name}.scales`, type: 'F16', shape: [rows!, cols! / BLOCK], bytes: scales },
  ];
}
