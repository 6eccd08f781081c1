/** GGUF metadata to LlamaConfig: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md */
import { assert } from '../quant/errors.ts';
import {
  checkConfig,
  NO_ROPE_SCALING,
  refusedRopeScaling,
  senseless,
  unknownArchitecture,
  unsupported,
} from './config.ts';
import type { StoredTensor } from './container.ts';
import type { GgufValue } from './gguf.ts';
import type { LlamaConfig, RopeScaling } from './types.ts';

/** Mistral's files say llama. */
const ARCHITECTURES = ['llama', 'qwen2', 'qwen3'] as const;

type Metadata = ReadonlyMap<string, GgufValue>;

/**
 * @param tensors by Hugging Face's names: whether there are biases and an output matrix stands nowhere else
 * @throws `unsupported-model` for what firstlight does not run, `bad-file` for values that make no sense
 */
export function configFromGguf(
  metadata: Metadata,
  tensors: ReadonlyMap<string, StoredTensor>,
  file: string,
): LlamaConfig {
  const name = metadata.get('general.architecture');
  const architecture = ARCHITECTURES.find((known) => known === name);
  if (!architecture) throw unknownArchitecture(name, ARCHITECTURES, file);
  refuseVariants(metadata, architecture, file);

  const number = (key: string, fallback?: number) => readNumber(metadata, `${architecture}.${key}`, file, fallback);
  const hidden = number('embedding_length');
  const heads = number('attention.head_count');
  const headDim = number('attention.key_length', hidden / heads);
  const window = number('attention.sliding_window', 0);
  const config: LlamaConfig = {
    architecture,
    layers: number('block_count'),
    hidden,
    feedForward: number('feed_forward_length'),
    heads,
    kvHeads: number('attention.head_count_kv', heads),
    headDim,
    vocab: tokenCount(metadata) ?? number('vocab_size'),
    context: number('context_length'),
    normEpsilon: number('attention.layer_norm_rms_epsilon'),
    ropeTheta: number('rope.freq_base', 10000),
    ropeScaling: readRopeScaling(metadata, architecture, file),
    ropeDim: number('rope.dimension_count', headDim),
    ropePairs: architecture === 'llama' ? 'interleaved' : 'half',
    slidingWindow: window === 0 ? undefined : window,
    attentionBias: architecture === 'qwen2' || tensors.has('model.layers.0.self_attn.q_proj.bias'),
    qkNorm: architecture === 'qwen3',
    tiedEmbeddings: !tensors.has('lm_head.weight'),
  };
  checkConfig(config, file);
  const valueDim = number('attention.value_length', headDim);
  if (valueDim !== headDim)
    throw unsupported(file, `values of ${valueDim} per head with keys of ${headDim} are not run`);
  return config;
}

/**
 * The factors of llama3's RoPE scaling, which GGUF files hold as a tensor: the kind's own numbers cannot be found again.
 *
 * @throws `bad-file` when they do not fit the config
 */
export async function readRopeFactors(
  tensors: ReadonlyMap<string, StoredTensor>,
  config: LlamaConfig,
  file: string,
): Promise<Float32Array | undefined> {
  const tensor = tensors.get('rope_freqs.weight');
  if (!tensor) return undefined;
  const { type, shape } = tensor;
  if (type !== 'F32' || shape.length !== 1 || shape[0] !== config.ropeDim / 2) {
    throw senseless(
      file,
      `rope_freqs.weight is ${type} [${shape.join(', ')}] where F32 [${config.ropeDim / 2}] is needed`,
    );
  }
  const factors = new Float32Array((await tensor.readRows(0, 1)).slice().buffer);
  assert(factors.length === config.ropeDim / 2, 'one factor for each pair');
  if (factors.some((factor) => !(factor > 0 && factor < 1e6))) {
    throw senseless(file, 'rope_freqs.weight has a factor that is not between 0 and 1e6');
  }
  return factors;
}

function refuseVariants(metadata: Metadata, architecture: string, file: string): void {
  if (readNumber(metadata, 'split.count', file, 1) > 1) {
    throw unsupported(file, 'split GGUF files are not read: join the parts with llama-gguf-split --merge');
  }
  if (readNumber(metadata, `${architecture}.expert_count`, file, 0) > 0) {
    throw unsupported(file, 'mixtures of experts are not run');
  }
}

function readRopeScaling(metadata: Metadata, architecture: string, file: string): RopeScaling {
  const kind = metadata.get(`${architecture}.rope.scaling.type`) ?? 'none';
  // Files of 2023 have rope.scale_linear and no type.
  const old = readNumber(metadata, `${architecture}.rope.scale_linear`, file, 1);
  if (kind === 'none') return old === 1 ? NO_ROPE_SCALING : { ...NO_ROPE_SCALING, kind: 'linear', factor: old };
  if (kind !== 'linear') throw refusedRopeScaling(kind, file);
  return { ...NO_ROPE_SCALING, kind, factor: readNumber(metadata, `${architecture}.rope.scaling.factor`, file, 1) };
}

/** The vocabulary's length decides, as in llama.cpp; files without one say it as a number. */
function tokenCount(metadata: Metadata): number | undefined {
  const tokens = metadata.get('tokenizer.ggml.tokens');
  return Array.isArray(tokens) ? tokens.length : undefined;
}

/** A number, or a list with the same number for each layer. */
function readNumber(metadata: Metadata, key: string, file: string, fallback?: number): number {
  const value = metadata.get(key) ?? fallback;
  if (typeof value === 'number') return value;
  if (value instanceof Uint32Array || value instanceof Int32Array) {
    const [first] = value;
    if (first !== undefined && value.every((each) => each === first)) return first;
    throw unsupported(file, `${key} that differs from layer to layer is not run`);
  }
  throw senseless(file, value === undefined ? `${key} is missing` : `${key} is no number`);
}
