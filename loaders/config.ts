/** Hugging Face's config.json to LlamaConfig, with the defaults of transformers. */
import { FirstlightError } from '../quant/errors.ts';
import { isJsonObject, type JsonObject } from './json.ts';
import type { LlamaConfig, RopeScaling } from './types.ts';

interface Family {
  readonly architecture: LlamaConfig['architecture'];
  /** Where config.json says nothing. */
  readonly context: number;
  readonly headDim: number | undefined; // undefined: hidden / heads
  readonly slidingWindow: 'never' | 'unless switched off' | 'if switched on';
  readonly attentionBias: boolean;
}

const FAMILIES: ReadonlyMap<string, Family> = new Map<string, Family>([
  [
    'LlamaForCausalLM',
    { architecture: 'llama', context: 2048, headDim: undefined, slidingWindow: 'never', attentionBias: false },
  ],
  [
    'MistralForCausalLM',
    {
      architecture: 'mistral',
      context: 131072,
      headDim: undefined,
      slidingWindow: 'unless switched off',
      attentionBias: false,
    },
  ],
  [
    'Qwen2ForCausalLM',
    { architecture: 'qwen2', context: 32768, headDim: undefined, slidingWindow: 'if switched on', attentionBias: true },
  ],
  [
    'Qwen3ForCausalLM',
    { architecture: 'qwen3', context: 32768, headDim: 128, slidingWindow: 'if switched on', attentionBias: false },
  ],
]);

/** What transformers takes for Mistral and Qwen when `sliding_window` is not mentioned; null means none. */
const DEFAULT_SLIDING_WINDOW = 4096;

export const NO_ROPE_SCALING: RopeScaling = {
  kind: 'none',
  factor: 1,
  lowFrequencyFactor: 1,
  highFrequencyFactor: 1,
  originalContext: 0,
};

/** Ways of stretching RoPE that we refuse, and why. */
const REFUSED_ROPE_SCALING: Readonly<Record<string, string>> = {
  dynamic: 'its frequencies change with the length of the text',
  yarn: 'it scales the attention too',
  longrope: 'it has two sets of factors, for short and long texts',
  su: 'it is an old name of longrope',
  mrope: 'it is made for pictures',
};

/**
 * @param json the parsed config.json
 * @param file its path, for messages
 * @throws `unsupported-model` for what firstlight does not run, `bad-file` for values that make no sense
 */
export function configFromJson(json: unknown, file: string): LlamaConfig {
  if (!isJsonObject(json)) throw new FirstlightError('bad-file', `${file} is no JSON object: get the file again`);
  const family = familyOf(json, file);
  refuseVariants(json, file);
  const rope = ropeParameters(json, file);

  const hidden = readNumber(json, 'hidden_size', file);
  const heads = readNumber(json, 'num_attention_heads', file);
  const context = readNumber(json, 'max_position_embeddings', file, family.context);
  const headDim = readNumber(json, 'head_dim', file, family.headDim ?? hidden / heads);
  const layers = readNumber(json, 'num_hidden_layers', file);
  const config: LlamaConfig = {
    architecture: family.architecture,
    layers,
    hidden,
    feedForward: readNumber(json, 'intermediate_size', file),
    heads,
    kvHeads: readNumber(json, 'num_key_value_heads', file, heads),
    headDim,
    vocab: readNumber(json, 'vocab_size', file),
    context,
    normEpsilon: readNumber(json, 'rms_norm_eps', file, 1e-6),
    ropeTheta: readNumber(rope, 'rope_theta', file, readNumber(json, 'rope_theta', file, 10000)),
    ropeScaling: readRopeScaling(rope, file),
    ropeDim: headDim,
    ropePairs: 'half',
    slidingWindow: readSlidingWindow(json, family, layers, context, file),
    attentionBias: family.attentionBias || readFlag(json, 'attention_bias', false, file),
    qkNorm: family.architecture === 'qwen3',
    tiedEmbeddings: readFlag(json, 'tie_word_embeddings', false, file),
  };
  checkConfig(config, file);
  return config;
}

/**
 * Sizes that fit each other and stay within reason, before anything is multiplied or allocated.
 *
 * @throws `bad-file`
 */
export function checkConfig(config: LlamaConfig, file: string): void {
  const limits: [keyof LlamaConfig, number][] = [
    ['layers', 1024],
    ['hidden', 2 ** 17],
    ['feedForward', 2 ** 20],
    ['heads', 2 ** 10],
    ['kvHeads', 2 ** 10],
    ['headDim', 2 ** 10],
    ['vocab', 2 ** 24],
    ['context', 2 ** 27],
  ];
  for (const [name, limit] of limits) {
    const value = config[name];
    if (!Number.isInteger(value) || Number(value) < 1 || Number(value) > limit) {
      throw senseless(file, `${name} ${value} is no whole number from 1 to ${limit}`);
    }
  }
  const { heads, kvHeads, headDim, ropeDim, normEpsilon, ropeTheta, slidingWindow } = config;
  if (heads % kvHeads !== 0) throw senseless(file, `${heads} heads cannot share ${kvHeads} kvHeads`);
  if (headDim % 2 !== 0) throw senseless(file, `headDim ${headDim} is odd`);
  if (ropeDim % 2 !== 0 || ropeDim < 2 || ropeDim > headDim) {
    throw senseless(file, `ropeDim ${ropeDim} is no even number up to headDim ${headDim}`);
  }
  if (!(normEpsilon > 0 && normEpsilon < 1)) throw senseless(file, `normEpsilon ${normEpsilon} is not between 0 and 1`);
  if (!(ropeTheta > 0 && ropeTheta < 1e12)) throw senseless(file, `ropeTheta ${ropeTheta} is not between 0 and 1e12`);
  if (slidingWindow !== undefined && !(Number.isInteger(slidingWindow) && slidingWindow > 0)) {
    throw senseless(file, `slidingWindow ${slidingWindow} is no positive whole number`);
  }
  checkRopeScaling(config.ropeScaling, file);
}

function checkRopeScaling(scaling: RopeScaling, file: string): void {
  const { kind, factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalContext } = scaling;
  if (!(factor > 0 && factor < 1e6)) throw senseless(file, `RoPE scaling factor ${factor} is not between 0 and 1e6`);
  if (kind !== 'llama3') return;
  if (!(low > 0 && high > low)) throw senseless(file, `RoPE frequency factors ${low} and ${high} are in no order`);
  if (!(originalContext > 0)) throw senseless(file, `original context ${originalContext} is not positive`);
}

export function unknownArchitecture(name: unknown, known: Iterable<string>, file: string): FirstlightError {
  const text = `architecture ${JSON.stringify(name) ?? 'missing'}`;
  return new FirstlightError(
    'unsupported-model',
    `${file}: ${text} is not run; firstlight runs ${[...known].join(', ')}`,
  );
}

function familyOf(json: JsonObject, file: string): Family {
  const { architectures, model_type: modelType } = json;
  const name = Array.isArray(architectures) ? architectures[0] : undefined;
  for (const [key, family] of FAMILIES) {
    if (key === name || (name === undefined && family.architecture === modelType)) return family;
  }
  throw unknownArchitecture(name ?? modelType, FAMILIES.keys(), file);
}

/** Switches that change the arithmetic. */
function refuseVariants(json: JsonObject, file: string): void {
  const quantisation = json.quantization_config;
  if (quantisation != null) {
    const method = isJsonObject(quantisation) ? quantisation.quant_method : undefined;
    const advice = 'get the model in F16 or BF16, or as GGUF in Q4_0 or Q8_0';
    throw unsupported(
      file,
      `weights quantised by ${JSON.stringify(method) ?? 'an unnamed method'} are not read: ${advice}`,
    );
  }
  const activation = json.hidden_act ?? 'silu';
  if (activation !== 'silu')
    throw unsupported(file, `hidden_act ${JSON.stringify(activation)} is not run, only "silu"`);
  const partial = json.partial_rotary_factor ?? 1;
  if (partial !== 1) throw unsupported(file, `partial_rotary_factor ${JSON.stringify(partial)} is not run, only 1`);
}

/** `rope_parameters` since transformers 5, `rope_scaling` before. */
function ropeParameters(json: JsonObject, file: string): JsonObject {
  const rope = json.rope_parameters ?? json.rope_scaling ?? {};
  if (!isJsonObject(rope)) throw senseless(file, 'rope_scaling is no JSON object');
  if (Object.values(rope).some(isJsonObject))
    throw unsupported(file, 'RoPE that differs from layer to layer is not run');
  return rope;
}

function readRopeScaling(rope: JsonObject, file: string): RopeScaling {
  const kind = rope.rope_type ?? rope.type ?? 'default';
  if (kind === 'default' || kind === 'none') return NO_ROPE_SCALING;
  if (kind === 'linear') return { ...NO_ROPE_SCALING, kind, factor: readNumber(rope, 'factor', file) };
  if (kind === 'llama3') {
    return {
      kind,
      factor: readNumber(rope, 'factor', file),
      lowFrequencyFactor: readNumber(rope, 'low_freq_factor', file),
      highFrequencyFactor: readNumber(rope, 'high_freq_factor', file),
      originalContext: readNumber(rope, 'original_max_position_embeddings', file),
    };
  }
  throw refusedRopeScaling(kind, file);
}

export function refusedRopeScaling(kind: unknown, file: string): FirstlightError {
  const name = typeof kind === 'string' && Object.hasOwn(REFUSED_ROPE_SCALING, kind) ? kind : undefined;
  const reason = name === undefined ? '' : ` (${REFUSED_ROPE_SCALING[name]})`;
  return unsupported(
    file,
    `RoPE scaling ${JSON.stringify(kind)}${reason} is not run; known are none, linear and llama3`,
  );
}

function readSlidingWindow(
  json: JsonObject,
  family: Family,
  layers: number,
  context: number,
  file: string,
): number | undefined {
  const { slidingWindow: rule } = family;
  if (rule === 'never' || json.sliding_window === null) return undefined;
  if (!readFlag(json, 'use_sliding_window', rule === 'unless switched off', file)) return undefined;
  const window = readNumber(json, 'sliding_window', file, DEFAULT_SLIDING_WINDOW);
  if (rule === 'unless switched off' || window >= context) return window;
  // Qwen's first max_window_layers layers see everything.
  const unlimited = readNumber(json, 'max_window_layers', file, 28);
  if (unlimited >= layers) return undefined;
  if (unlimited > 0) throw unsupported(file, 'a sliding window in some layers only (max_window_layers) is not run');
  return window;
}

function readNumber(json: JsonObject, key: string, file: string, fallback?: number): number {
  const value = json[key] ?? fallback;
  if (typeof value === 'number') return value;
  throw senseless(file, value === undefined ? `${key} is missing` : `${key} is no number`);
}

function readFlag(json: JsonObject, key: string, fallback: boolean, file: string): boolean {
  const value = json[key] ?? fallback;
  if (typeof value === 'boolean') return value;
  throw senseless(file, `${key} is neither true nor false`);
}

export function unsupported(file: string, what: string): FirstlightError {
  return new FirstlightError('unsupported-model', `${file}: ${what}`);
}

export function senseless(file: string, what: string): FirstlightError {
  return new FirstlightError('bad-file', `${file}: ${what}: check that the file belongs to the model`);
}
