/** GGUF metadata to LlamaConfig: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md */
import { ARCHITECTURES, type Architecture, slidingLayers, unknownArchitecture } from './architectures.ts';
import { checkConfig, NO_WINDOW, windowOf } from './config.ts';
import {
  checkRopeScaling,
  NO_ROPE_SCALING,
  refusedRopeScaling,
  YARN_BETA_FAST,
  YARN_BETA_SLOW,
  yarnAttention,
} from './config-rope.ts';
import { senseless, unsupported } from './config-values.ts';
import type { StoredTensor } from './container.ts';
import type { GgufValue } from './gguf.ts';
import type { LlamaConfig, RopeScaling } from './types.ts';

type Metadata = ReadonlyMap<string, GgufValue>;

/** Architectures by their names in GGUF files. */
const KNOWN: ReadonlySet<string> = new Set(ARCHITECTURES.map(({ ggufName }) => ggufName));

/** Models whose attention is scaled by the heads' share of the hidden size, by their number of layers: GGUF does not say it. */
const SCALED_BY_SHARE: ReadonlyMap<string, number> = new Map([
  ['gemma2', 46], // 27B
  ['gemma3', 62], // 27B
]);

/**
 * @param tensors by Hugging Face's names: whether there are biases and an output matrix stands nowhere else
 * @throws `unsupported-model` for what firstlight does not run, `bad-file` for values that make no sense
 */
export function configFromGguf(
  metadata: Metadata,
  tensors: ReadonlyMap<string, StoredTensor>,
  file: string,
): LlamaConfig {
  const architecture = ggufArchitecture(metadata, file);
  const { name, ggufName, defaults } = architecture;
  refuseVariants(metadata, ggufName, file);

  const number = (key: string, fallback?: number) => readNumber(metadata, `${ggufName}.${key}`, file, fallback);
  const hidden = number('embedding_length');
  const heads = number('attention.head_count');
  const headDim = number('attention.key_length', hidden / heads);
  const layers = number('block_count');
  const cap = (key: string) => (key in defaults ? number(key, Number(defaults[key])) || undefined : undefined);
  // Ollama's own Gemma 3 files have two keys where llama.cpp's have one, and no epsilon
  const ropeTheta = number('rope.freq_base', number('rope.global.freq_base', Number(defaults.rope_theta)));
  const usualEpsilon = name === 'gemma3' ? Number(defaults.rms_norm_eps) : undefined;
  const config: LlamaConfig = {
    ...architecture.design,
    normOffset: 0, // converters have added it
    architecture: name,
    activation: defaults.hidden_act === 'silu' ? 'silu' : 'gelu',
    layers,
    hidden,
    feedForward: number('feed_forward_length'),
    heads,
    kvHeads: number('attention.head_count_kv', heads),
    headDim,
    vocab: tokenCount(metadata) ?? number('vocab_size'),
    context: number('context_length'),
    normEpsilon: number('attention.layer_norm_rms_epsilon', usualEpsilon),
    embeddingScale: architecture.scaledEmbedding ? Math.sqrt(hidden) : 1,
    attentionScale: SCALED_BY_SHARE.get(name) === layers ? 1 / Math.sqrt(hidden / heads) : undefined,
    attentionCap: cap('attn_logit_softcapping'),
    logitCap: cap('final_logit_softcapping'),
    ropeTheta,
    ropeScaling: readRopeScaling(metadata, architecture, file),
    ropeDim: number('rope.dimension_count', headDim),
    localRopeTheta: localTheta(metadata, architecture, ropeTheta, file),
    ropePairs: architecture.ggufPairs,
    ropeLayers: name === 'smollm3' ? slidingLayers(Number(defaults.no_rope_layer_interval), layers) : undefined,
    ...readWindow(metadata, architecture, layers, file),
    attentionBias: architecture.attentionBias === true || tensors.has('model.layers.0.self_attn.q_proj.bias'),
    tiedEmbeddings: !tensors.has('lm_head.weight'),
  };
  checkConfig(config, file);
  const valueDim = number('attention.value_length', headDim);
  if (valueDim !== headDim)
    throw unsupported(file, `values of ${valueDim} per head with keys of ${headDim} are not run`);
  return config;
}

/** Mistral's files say llama, OLMo 3's olmo2: only the window tells them apart. */
export function ggufArchitecture(metadata: Metadata, file: string): Architecture {
  const name = metadata.get('general.architecture');
  const rows = ARCHITECTURES.filter(({ ggufName }) => ggufName === name);
  const windowed = name === 'olmo2' && readNumber(metadata, 'olmo2.attention.sliding_window', file, 0) > 0;
  const row = rows[windowed ? 1 : 0];
  if (row) return row;
  throw unknownArchitecture(name, KNOWN, file);
}

/**
 * RoPE scaling that GGUF files hold as tensors: llama3's divisors (the kind's own numbers cannot be found again), and
 * longrope's two lists.
 *
 * @throws `bad-file` when they do not fit the config, `unsupported-model` when there is another scaling beside them
 */
export async function readRopeTensors(
  metadata: Metadata,
  tensors: ReadonlyMap<string, StoredTensor>,
  config: LlamaConfig,
  file: string,
): Promise<RopeScaling> {
  const read = async (name: string) => {
    const tensor = tensors.get(name);
    return tensor && readFactors(tensor, name, config.ropeDim / 2, file);
  };
  const factors = await read('rope_freqs.weight');
  const shortFactors = await read('rope_factors_short.weight');
  const longFactors = await read('rope_factors_long.weight');
  if (!factors && !shortFactors && !longFactors) return config.ropeScaling;
  if (config.ropeScaling.kind !== 'none')
    throw unsupported(file, `RoPE scaling ${config.ropeScaling.kind} together with factors for each pair is not run`);
  if (factors) {
    const scaling: RopeScaling = { kind: 'factors', factors };
    checkRopeScaling(scaling, file);
    return scaling;
  }
  if (!shortFactors || !longFactors)
    throw senseless(file, 'of rope_factors_short.weight and rope_factors_long.weight one is missing');
  const { ggufName } = ggufArchitecture(metadata, file);
  const number = (key: string, fallback?: number) =>
    readNumber(metadata, `${ggufName}.rope.scaling.${key}`, file, fallback);
  const scaling: RopeScaling = {
    kind: 'longrope',
    shortFactors,
    longFactors,
    originalContext: number('original_context_length', config.context),
    attentionFactor: number('attn_factor', 1),
  };
  checkRopeScaling(scaling, file);
  return scaling;
}

async function readFactors(tensor: StoredTensor, name: string, pairs: number, file: string): Promise<Float32Array> {
  const { type, shape } = tensor;
  if (type !== 'F32' || shape.length !== 1 || shape[0] !== pairs)
    throw senseless(file, `${name} is ${type} [${shape.join(', ')}] where F32 [${pairs}] is needed`);
  return new Float32Array((await tensor.readRows(0, 1)).slice().buffer);
}

function refuseVariants(metadata: Metadata, architecture: string, file: string): void {
  if (readNumber(metadata, `${architecture}.expert_count`, file, 0) > 0) {
    throw unsupported(file, `mixtures of experts are not run, only dense models of ${[...KNOWN].join(', ')}`);
  }
}

function readRopeScaling(metadata: Metadata, { ggufName }: Architecture, file: string): RopeScaling {
  const kind = metadata.get(`${ggufName}.rope.scaling.type`) ?? 'none';
  const number = (key: string, fallback?: number) => readNumber(metadata, `${ggufName}.rope.${key}`, file, fallback);
  // Files of 2023 have rope.scale_linear and no type.
  const old = number('scale_linear', 1);
  if (kind === 'none') return old === 1 ? NO_ROPE_SCALING : { kind: 'linear', factor: old };
  if (kind === 'longrope') return NO_ROPE_SCALING; // its numbers are tensors
  const factor = number('scaling.factor', 1);
  if (kind === 'linear') return { kind, factor };
  if (kind !== 'yarn') throw refusedRopeScaling(kind, file);
  if (number('scaling.yarn_log_multiplier', 0) !== 0)
    throw unsupported(file, 'YaRN with a log multiplier of its own is not run');
  const blend = number('scaling.yarn_ext_factor', 1); // negative: not set
  if (blend >= 0 && blend !== 1) throw unsupported(file, `YaRN with an extrapolation factor of ${blend} is not run`);
  // llama.cpp multiplies YaRN's own factor by attn_factor, but OLMo's converter writes all of it there
  const own = ggufName === 'olmo2' && metadata.has('olmo2.rope.scaling.attn_factor') ? 1 : yarnAttention(factor);
  return {
    kind,
    factor,
    originalContext: number(
      'scaling.original_context_length',
      readNumber(metadata, `${ggufName}.context_length`, file),
    ),
    betaFast: number('scaling.yarn_beta_fast', YARN_BETA_FAST),
    betaSlow: number('scaling.yarn_beta_slow', YARN_BETA_SLOW),
    truncate: true,
    attentionFactor: own * number('scaling.attn_factor', 1),
  };
}

function localTheta(
  metadata: Metadata,
  { ggufName, name, localTheta: usual }: Architecture,
  ropeTheta: number,
  file: string,
): number | undefined {
  if (usual === undefined) return undefined;
  // Gemma's local theta is always the same, OLMo's that of its other layers
  const others = name === 'gemma3' ? readNumber(metadata, 'gemma3.rope.local.freq_base', file, usual) : ropeTheta;
  const theta = readNumber(metadata, `${ggufName}.rope.freq_base_swa`, file, others);
  const scaled = (metadata.get(`${ggufName}.rope.scaling.type`) ?? 'none') !== 'none';
  return theta === ropeTheta && !scaled ? undefined : theta;
}

/** Which layers have the window: a list that says it for each, or a number of layers after which it is left out once. */
function readWindow(metadata: Metadata, architecture: Architecture, layers: number, file: string) {
  const { ggufName, window: rule, defaults } = architecture;
  const usual = typeof rule === 'number' ? rule : undefined;
  const fallback = usual === undefined ? 0 : Number(defaults.sliding_window);
  const window = readNumber(metadata, `${ggufName}.attention.sliding_window`, file, fallback);
  if (window === 0) return NO_WINDOW;
  const key = `${ggufName}.attention.sliding_window_pattern`;
  const pattern = metadata.get(key) ?? usual;
  if (pattern === undefined) return windowOf(window, undefined);
  if (!Array.isArray(pattern)) return windowOf(window, slidingLayers(readNumber(metadata, key, file, usual), layers));
  if (pattern.length !== layers) throw senseless(file, `${key} is no list of ${layers} layers`);
  return windowOf(
    window,
    pattern.map((value) => value === true),
  );
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
