/** Small models with random weights, as safetensors folders and GGUF files in memory. */

import { randomBlocks } from '../engine/random-blocks.ts';
import { ARCHITECTURES } from '../loaders/architectures.ts';
import type { Folder } from '../loaders/folder.ts';
import { expectedTensors } from '../loaders/model-tensors.ts';
import { memorySource } from '../loaders/source.ts';
import type { Checkpoint, LlamaConfig, RopeScaling, TensorInfo } from '../loaders/types.ts';
import { encodeBf16 } from '../quant/bf16.ts';
import { encodeF16 } from '../quant/f16.ts';
import { FILE_TYPES, type FileType } from '../quant/file-types.ts';
import { BLOCK } from '../quant/layout.ts';
import { quantiseQ4 } from '../quant/q4.ts';
import { quantiseQ8 } from '../quant/q8.ts';
import { ggufMetadata, ggufWeights, type Weights } from './gguf-conventions.ts';
import { randomValues, seededRandom } from './random.ts';
import { type GgufEntry, type GgufOptions, writeGguf } from './write-gguf.ts';
import { type TensorBytes, writeSafetensors } from './write-safetensors.ts';

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
  norms: 'before',
  normOffset: 0,
  qkNorm: 'none',
  activation: 'silu',
  embeddingScale: 1,
  attentionScale: undefined,
  attentionCap: undefined,
  logitCap: undefined,
  ropeScaling: { kind: 'none' },
  ropeDim: 16,
  ropePairs: 'half',
  ropeLayers: undefined,
  slidingWindow: undefined,
  slidingLayers: undefined,
  localRopeTheta: undefined,
  attentionBias: false,
  tiedEmbeddings: false,
};

/** Weights by Hugging Face's names: matrices with variance 1 / cols, norms near one, small biases. */
export function randomWeights(config: LlamaConfig, seed = 1): Map<string, Weights> {
  const random = seededRandom(seed);
  const weights = new Map<string, Weights>();
  for (const [name, shape] of expectedTensors(config)) {
    const count = shape.reduce((product, length) => product * length, 1);
    const values = randomValues(count, shape.length === 2 ? shape[1]! ** -0.5 : 0.1, random);
    weights.set(name, {
      shape,
      values: /norm/.test(name) ? values.map((value) => 1 - config.normOffset + value) : values,
    });
  }
  return weights;
}

/** The bytes of a file's tensor; of types that nothing here quantises to, random blocks of about the right size. */
export function encodeRows(type: FileType, values: Float32Array, cols = values.length): Uint8Array {
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
      return randomBlocks(type, values.length / cols, cols, cols ** -0.5, seededRandom(values.length));
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
  const { classNames } = ARCHITECTURES.find(({ name }) => name === config.architecture)!;
  return {
    architectures: [classNames[0]],
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
    rope_scaling: ropeScalingJson(config.ropeScaling),
    sliding_window: config.slidingWindow ?? null,
    use_sliding_window: config.slidingWindow !== undefined,
    max_window_layers: 0,
    attention_bias: config.attentionBias,
    tie_word_embeddings: config.tiedEmbeddings,
    hidden_act: config.activation === 'silu' ? 'silu' : 'gelu_pytorch_tanh',
    partial_rotary_factor: config.ropeDim / config.headDim,
    ...(config.attentionScale && { query_pre_attn_scalar: config.attentionScale ** -2 }),
    attn_logit_softcapping: config.attentionCap ?? null,
    final_logit_softcapping: config.logitCap ?? null,
    ...(config.slidingLayers && {
      layer_types: config.slidingLayers.map((sliding) => (sliding ? 'sliding_attention' : 'full_attention')),
    }),
    ...(config.localRopeTheta && { rope_local_base_freq: config.localRopeTheta }),
    ...(config.ropeLayers && { no_rope_layers: config.ropeLayers.map(Number) }),
  };
}

function ropeScalingJson(scaling: RopeScaling): Record<string, unknown> | null {
  switch (scaling.kind) {
    case 'linear':
      return { rope_type: 'linear', factor: scaling.factor };
    case 'llama3':
      return {
        rope_type: 'llama3',
        factor: scaling.factor,
        low_freq_factor: scaling.lowFrequencyFactor,
        high_freq_factor: scaling.highFrequencyFactor,
        original_max_position_embeddings: scaling.originalContext,
      };
    case 'none':
      return null;
    default:
      throw new Error(`${scaling.kind} is not written`);
  }
}

/** A GGUF file as llama.cpp's converter writes it; matrices of `type` (by the file's names), vectors F32. */
export function ggufFile(
  config: LlamaConfig,
  weights: ReadonlyMap<string, Weights>,
  type: FileType | ((name: string) => FileType) = 'F32',
  options: GgufOptions & { readonly metadata?: readonly GgufEntry[]; readonly tensors?: readonly TensorBytes[] } = {},
): Uint8Array {
  const tensors: TensorBytes[] = [];
  for (const [name, { shape, values }] of ggufWeights(config, weights)) {
    const matrixType = typeof type === 'function' ? type(name) : type;
    const stored = shape.length === 2 ? matrixType : 'F32';
    tensors.push({ name, type: stored, shape, bytes: encodeRows(stored, values, shape.at(-1)) });
  }
  const metadata = [...ggufMetadata(config), ...(options.metadata ?? [])];
  return writeGguf(metadata, [...tensors, ...(options.tensors ?? [])], options);
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

/** A checkpoint without a file, for types that no file has as they stand; matrices of `type`, vectors F32. */
export function plainCheckpoint(config: LlamaConfig, type: FileType | ((name: string) => FileType)): Checkpoint {
  const tensors = new Map<string, TensorInfo>();
  const data = new Map<string, Uint8Array>();
  for (const [name, { shape, values }] of randomWeights(config)) {
    const [cols = 1, rows = 1] = shape.toReversed();
    const matrixType = typeof type === 'function' ? type(name) : type;
    const stored = shape.length === 2 ? matrixType : 'F32';
    tensors.set(name, { name, type: stored, rows, cols });
    data.set(name, encodeRows(stored, values, cols));
  }
  return {
    format: 'none',
    path: 'memory',
    config,
    tensors,
    async readRows(name, firstRow, rowCount, into) {
      const { rows } = tensors.get(name)!;
      const bytes = data.get(name)!;
      const found = bytes.subarray((firstRow * bytes.length) / rows, ((firstRow + rowCount) * bytes.length) / rows);
      into?.set(found);
      return into?.subarray(0, found.length) ?? found;
    },
    vocab: async () => undefined,
    close: async () => undefined,
  };
}
