/** Hugging Face's config.json to LlamaConfig, with the defaults of transformers. */
import { FirstlightError } from '../quant/errors.ts';
import { ARCHITECTURES, type Architecture, MAX_LAYERS, slidingLayers, unknownArchitecture } from './architectures.ts';
import { checkRopeScaling, readRope } from './config-rope.ts';
import { readFlag, readNumber, readOptionalNumber, senseless, unsupported } from './config-values.ts';
import { readQuantisation } from './group-quants.ts';
import { isJsonObject, type JsonObject } from './json.ts';
import type { LlamaConfig, RopeScaling } from './types.ts';

/** Keys that change the arithmetic where an architecture has them (its defaults say so) and mean nothing elsewhere. */
const OF_SOME = [
  'query_pre_attn_scalar',
  'attn_logit_softcapping',
  'final_logit_softcapping',
  'sliding_window',
  'no_rope_layers',
  'original_max_position_embeddings',
];
/** Keys in which null means "none" and not "not said". */
const NULL_IS_NONE = new Set(['sliding_window', 'attn_logit_softcapping', 'final_logit_softcapping']);

const ACTIVATIONS: Readonly<Record<string, LlamaConfig['activation']>> = {
  silu: 'silu',
  swish: 'silu',
  gelu_pytorch_tanh: 'gelu',
  gelu_new: 'gelu',
};

type Window = Pick<LlamaConfig, 'slidingWindow' | 'slidingLayers'>;
export const NO_WINDOW: Window = { slidingWindow: undefined, slidingLayers: undefined };

/**
 * @param json the parsed config.json
 * @param file its path, for messages
 * @throws `unsupported-model` for what firstlight does not run, `bad-file` for values that make no sense
 */
export function configFromJson(json: unknown, file: string): LlamaConfig {
  if (!isJsonObject(json)) throw new FirstlightError('bad-file', `${file} is no JSON object: get the file again`);
  const architecture = architectureOf(json, file);
  const all = withDefaults(languageConfig(json, file), architecture);
  refuseVariants(all, file);

  const hidden = readNumber(all, 'hidden_size', file);
  const heads = readNumber(all, 'num_attention_heads', file);
  const headDim = readNumber(all, 'head_dim', file, hidden / heads);
  const layers = readNumber(all, 'num_hidden_layers', file);
  const ropeLayers = readRopeLayers(all, layers, file);
  const queryScalar = readOptionalNumber(all, 'query_pre_attn_scalar', file);
  const rope = readRope(all, architecture, headDim, file);
  const config: LlamaConfig = {
    ...architecture.design,
    architecture: architecture.name,
    activation: readActivation(all, architecture, file),
    layers,
    hidden,
    feedForward: readNumber(all, 'intermediate_size', file),
    heads,
    kvHeads: readNumber(all, 'num_key_value_heads', file, heads),
    headDim,
    vocab: readNumber(all, 'vocab_size', file),
    context: readContext(all, rope.ropeScaling, file),
    normEpsilon: readNumber(all, 'rms_norm_eps', file),
    embeddingScale: architecture.scaledEmbedding ? Math.sqrt(hidden) : 1,
    attentionScale: queryScalar === undefined ? undefined : 1 / Math.sqrt(queryScalar),
    attentionCap: readOptionalNumber(all, 'attn_logit_softcapping', file),
    logitCap: readOptionalNumber(all, 'final_logit_softcapping', file),
    ...rope,
    ropePairs: 'half',
    ropeLayers,
    ...readWindow(all, architecture, layers, ropeLayers, file),
    attentionBias: architecture.attentionBias === true || readFlag(all, 'attention_bias', false, file),
    tiedEmbeddings: readFlag(all, 'tie_word_embeddings', false, file),
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
    ['layers', MAX_LAYERS],
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
  const { heads, kvHeads, headDim, ropeDim, normEpsilon, slidingWindow } = config;
  if (heads % kvHeads !== 0) throw senseless(file, `${heads} heads cannot share ${kvHeads} kvHeads`);
  if (headDim % 2 !== 0) throw senseless(file, `headDim ${headDim} is odd`);
  if (ropeDim % 2 !== 0 || ropeDim < 2 || ropeDim > headDim) {
    throw senseless(file, `ropeDim ${ropeDim} is no even number up to headDim ${headDim}`);
  }
  if (!(normEpsilon > 0 && normEpsilon < 1)) throw senseless(file, `normEpsilon ${normEpsilon} is not between 0 and 1`);
  for (const name of ['ropeTheta', 'localRopeTheta'] as const) {
    const theta = config[name];
    if (theta !== undefined && !(theta > 0 && theta < 1e12))
      throw senseless(file, `${name} ${theta} is not between 0 and 1e12`);
  }
  for (const name of ['attentionScale', 'attentionCap', 'logitCap'] as const) {
    const value = config[name];
    if (value !== undefined && !(value > 0 && value < 1e6))
      throw senseless(file, `${name} ${value} is not between 0 and 1e6`);
  }
  if (slidingWindow !== undefined && !(Number.isInteger(slidingWindow) && slidingWindow > 0)) {
    throw senseless(file, `slidingWindow ${slidingWindow} is no positive whole number`);
  }
  checkRopeScaling(config.ropeScaling, file);
}

function architectureOf(json: JsonObject, file: string): Architecture {
  const { architectures, model_type: modelType } = json;
  const name = Array.isArray(architectures) ? architectures[0] : undefined;
  for (const row of ARCHITECTURES) {
    if (name === undefined ? row.modelType === modelType : row.classNames.includes(String(name))) return row;
  }
  const known = ARCHITECTURES.flatMap(({ classNames }) => classNames);
  throw unknownArchitecture(name ?? modelType, known, file);
}

/** Models that see pictures have the part that matters here in an object of its own. */
function languageConfig(json: JsonObject, file: string): JsonObject {
  if (json.text_config === undefined) return json;
  if (!isJsonObject(json.text_config)) throw senseless(file, 'text_config is no JSON object');
  return { ...json, ...json.text_config };
}

function withDefaults(json: JsonObject, { defaults }: Architecture): JsonObject {
  const all: Record<string, unknown> = { ...json };
  for (const key of OF_SOME) if (!(key in defaults)) delete all[key];
  for (const [key, value] of Object.entries(defaults)) {
    const given = all[key];
    if (given === undefined || (given === null && !NULL_IS_NONE.has(key))) all[key] = value;
  }
  return all;
}

/** Switches that change the arithmetic. */
function refuseVariants(json: JsonObject, file: string): void {
  readQuantisation(json, file);
  if (readFlag(json, 'mlp_bias', false, file)) throw unsupported(file, 'mlp_bias is not run');
  if (readFlag(json, 'use_bidirectional_attention', false, file))
    throw unsupported(file, 'use_bidirectional_attention is not run');
}

/** Gemma's first files say gelu and mean its tanh formula. */
function readActivation(json: JsonObject, { name }: Architecture, file: string): LlamaConfig['activation'] {
  const key = json.hidden_activation == null ? 'hidden_act' : 'hidden_activation';
  const given = String(json[key]);
  if (name === 'gemma' && given === 'gelu') return 'gelu';
  const activation = Object.hasOwn(ACTIVATIONS, given) ? ACTIVATIONS[given] : undefined;
  if (activation) return activation;
  const runs = Object.keys(ACTIVATIONS).join(', ');
  throw unsupported(file, `${key} ${JSON.stringify(json[key])} is not run, only ${runs}`);
}

/** Positions that a model can have: with dynamic RoPE more than it was trained with. */
function readContext(json: JsonObject, scaling: RopeScaling, file: string): number {
  if (scaling.kind === 'dynamic') return Math.floor(scaling.originalContext * scaling.factor);
  return readNumber(json, 'max_position_embeddings', file);
}

/** Which layers RoPE turns (SmolLM3): a list of ones and zeros, or all but every n-th. */
function readRopeLayers(json: JsonObject, layers: number, file: string): readonly boolean[] | undefined {
  if (!('no_rope_layers' in json)) return undefined;
  const list = json.no_rope_layers;
  if (list === null) {
    const interval = readNumber(json, 'no_rope_layer_interval', file);
    return slidingLayers(interval, layers);
  }
  if (!Array.isArray(list) || list.length < layers || !list.every((value) => value === 0 || value === 1))
    throw senseless(file, `no_rope_layers is no list of ${layers} times 0 or 1`);
  return list.slice(0, layers).map((value) => value === 1);
}

function readWindow(
  json: JsonObject,
  { window: rule }: Architecture,
  layers: number,
  rotated: readonly boolean[] | undefined,
  file: string,
): Window {
  const window = readOptionalNumber(json, 'sliding_window', file);
  const sliding = rule === 'all' ? undefined : readLayerTypes(json, layers, file);
  if (window === undefined || !readFlag(json, 'use_sliding_window', true, file)) return NO_WINDOW;
  const firstWindow = readNumber(json, 'max_window_layers', file, 0);
  const period = typeof rule === 'number' ? readNumber(json, 'sliding_window_pattern', file, rule) : rule;
  return windowOf(window, sliding ?? slidingLayers(period, layers, firstWindow, rotated));
}

/** The window in its plainest form: none where no layer has it, no list where all do. */
export function windowOf(window: number, sliding: readonly boolean[] | undefined): Window {
  if (sliding === undefined || sliding.every((has) => has)) return { slidingWindow: window, slidingLayers: undefined };
  return sliding.some((has) => has) ? { slidingWindow: window, slidingLayers: sliding } : NO_WINDOW;
}

/** `layer_types`, which newer files have: whether each layer has the window. */
function readLayerTypes(json: JsonObject, layers: number, file: string): readonly boolean[] | undefined {
  const types = json.layer_types;
  if (types == null) return undefined;
  if (!Array.isArray(types) || types.length !== layers)
    throw senseless(file, `layer_types is no list of ${layers} types`);
  return types.map((type) => {
    if (type === 'sliding_attention') return true;
    if (type === 'full_attention') return false;
    throw unsupported(file, `layers of type ${JSON.stringify(type)} are not run`);
  });
}
