/** The RoPE part of config.json, in transformers 4's and 5's form; its checks serve GGUF too. */
import type { Architecture } from './architectures.ts';
import { readFlag, readNumber, senseless, unsupported } from './config-values.ts';
import { isJsonObject, type JsonObject } from './json.ts';
import type { LlamaConfig, RopeScaling } from './types.ts';

type Rope = Pick<LlamaConfig, 'ropeTheta' | 'ropeScaling' | 'ropeDim' | 'localRopeTheta'>;

export const NO_ROPE_SCALING: RopeScaling = { kind: 'none' };

/** YaRN's usual range (Peng et al. 2023). */
export const YARN_BETA_FAST = 32;
export const YARN_BETA_SLOW = 1;

/** Ways of stretching RoPE that we refuse, and why. */
const REFUSED: Readonly<Record<string, string>> = {
  mrope: 'it is made for pictures',
  proportional: 'it belongs to architectures that are not run',
};

/** @param json config.json with the architecture's defaults in it */
export function readRope(json: JsonObject, architecture: Architecture, headDim: number, file: string): Rope {
  const { all, local } = ropeParameters(json, architecture, file);
  const partial = readNumber(all, 'partial_rotary_factor', file, readNumber(json, 'partial_rotary_factor', file, 1));
  if (partial !== 1 && architecture.defaults.partial_rotary_factor === undefined)
    throw unsupported(file, `partial_rotary_factor ${partial} is not run, only 1`);
  const ropeDim = Math.trunc(headDim * partial);
  const ropeTheta = readNumber(all, 'rope_theta', file, readNumber(json, 'rope_theta', file));
  const ropeScaling = readRopeScaling(all, json, ropeDim, file);
  if (architecture.localTheta === undefined) return { ropeTheta, ropeScaling, ropeDim, localRopeTheta: undefined };

  const localKind = local?.rope_type ?? 'default';
  if (localKind !== 'default')
    throw unsupported(file, `RoPE scaling ${JSON.stringify(localKind)} of layers with a sliding window is not run`);
  const fallback = readNumber(json, 'rope_local_base_freq', file, architecture.localTheta);
  const localTheta = readNumber(local ?? {}, 'rope_theta', file, fallback);
  const same = localTheta === ropeTheta && ropeScaling.kind === 'none';
  return { ropeTheta, ropeScaling, ropeDim, localRopeTheta: same ? undefined : localTheta };
}

/** `rope_parameters` since transformers 5, with a part for each kind of layer where they differ; `rope_scaling` before. */
function ropeParameters(
  json: JsonObject,
  { localTheta }: Architecture,
  file: string,
): { readonly all: JsonObject; readonly local: JsonObject | undefined } {
  const rope = json.rope_parameters ?? json.rope_scaling ?? {};
  if (!isJsonObject(rope)) throw senseless(file, 'rope_scaling is no JSON object');
  const { full_attention: full, sliding_attention: local, ...others } = rope;
  const nested = full !== undefined || local !== undefined;
  if (localTheta === undefined ? nested || hasObjects(rope) : hasObjects(others))
    throw unsupported(file, 'RoPE that differs from layer to layer is not run');
  const part = (value: unknown) => {
    if (value == null) return {};
    if (isJsonObject(value)) return value;
    throw senseless(file, 'rope_parameters has a part that is no JSON object');
  };
  return nested ? { all: part(full), local: part(local) } : { all: rope, local: undefined };
}

function hasObjects(json: JsonObject): boolean {
  return Object.values(json).some(isJsonObject);
}

function readRopeScaling(rope: JsonObject, json: JsonObject, ropeDim: number, file: string): RopeScaling {
  const kind = ropeKind(rope, json);
  const context = readNumber(json, 'max_position_embeddings', file);
  const number = (key: string, fallback?: number) => readNumber(rope, key, file, fallback);
  // Phi-3 has the original context beside the rope parameters, others among them
  const originalContext = () =>
    readNumber(json, 'original_max_position_embeddings', file, number('original_max_position_embeddings', context));
  switch (kind) {
    case 'default':
    case 'none':
      return NO_ROPE_SCALING;
    case 'linear':
      return { kind, factor: number('factor') };
    case 'dynamic':
      return { kind, factor: number('factor'), originalContext: context };
    case 'llama3':
      return {
        kind,
        factor: number('factor'),
        lowFrequencyFactor: number('low_freq_factor'),
        highFrequencyFactor: number('high_freq_factor'),
        originalContext: number('original_max_position_embeddings'),
      };
    case 'yarn': {
      const factor = number('factor', context / originalContext());
      return {
        kind,
        factor,
        originalContext: originalContext(),
        betaFast: number('beta_fast', YARN_BETA_FAST),
        betaSlow: number('beta_slow', YARN_BETA_SLOW),
        truncate: readFlag(rope, 'truncate', true, file),
        attentionFactor: number('attention_factor', usualYarnAttention(factor, rope, file)),
      };
    }
    case 'longrope': {
      const factor = number('factor', context / originalContext());
      const usual = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(originalContext()));
      return {
        kind,
        shortFactors: readFactors(rope, 'short_factor', ropeDim, file),
        longFactors: readFactors(rope, 'long_factor', ropeDim, file),
        originalContext: originalContext(),
        attentionFactor: number('attention_factor', usual),
      };
    }
    default:
      throw refusedRopeScaling(kind, file);
  }
}

/** Phi-3's first files call longrope su or yarn. */
function ropeKind(rope: JsonObject, json: JsonObject): unknown {
  const kind = rope.rope_type ?? rope.type ?? 'default';
  return kind === 'su' || (kind === 'yarn' && json.model_type === 'phi3') ? 'longrope' : kind;
}

/** What YaRN multiplies rotated queries and keys by (Peng et al. 2023, section 3.4). */
export function yarnAttention(factor: number, weight = 1): number {
  return factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1;
}

/** With DeepSeek's two weights it is the quotient of two such. */
function usualYarnAttention(factor: number, rope: JsonObject, file: string): number {
  if (!rope.mscale || !rope.mscale_all_dim) return yarnAttention(factor);
  const weighted = (key: string) => yarnAttention(factor, readNumber(rope, key, file));
  return weighted('mscale') / weighted('mscale_all_dim');
}

function readFactors(rope: JsonObject, key: string, ropeDim: number, file: string): Float32Array {
  const list = rope[key];
  if (!Array.isArray(list) || list.length !== ropeDim / 2 || !list.every((value) => typeof value === 'number'))
    throw senseless(file, `${key} is no list of ${ropeDim / 2} numbers, one for each pair that RoPE turns`);
  return Float32Array.from(list);
}

/** @throws `bad-file` for factors that would turn nothing or everything */
export function checkRopeScaling(scaling: RopeScaling, file: string): void {
  const within = (name: string, value: number, most: string) => {
    if (!(value > 0 && value < Number(most))) throw senseless(file, `${name} ${value} is not between 0 and ${most}`);
  };
  if ('factor' in scaling) within('RoPE scaling factor', scaling.factor, '1e6');
  if ('originalContext' in scaling) within('original context', scaling.originalContext, '1e9');
  if ('attentionFactor' in scaling) within('RoPE attention factor', scaling.attentionFactor, '1e3');
  switch (scaling.kind) {
    case 'llama3': {
      const { lowFrequencyFactor: low, highFrequencyFactor: high } = scaling;
      if (!(low > 0 && high > low)) throw senseless(file, `RoPE frequency factors ${low} and ${high} are in no order`);
      break;
    }
    case 'yarn': {
      const { betaFast: fast, betaSlow: slow } = scaling;
      if (!(slow > 0 && fast >= slow))
        throw senseless(file, `YaRN's beta_fast ${fast} and beta_slow ${slow} are in no order`);
      break;
    }
    case 'longrope':
      for (const factor of [...scaling.shortFactors, ...scaling.longFactors]) within('RoPE factor', factor, '1e6');
      break;
    case 'factors':
      for (const factor of scaling.factors) within('RoPE factor', factor, '1e6');
      break;
  }
}

/** The refusal of a kind of scaling, with the reason where one is known. */
export function refusedRopeScaling(kind: unknown, file: string): Error {
  const name = typeof kind === 'string' && Object.hasOwn(REFUSED, kind) ? kind : undefined;
  const reason = name === undefined ? '' : ` (${REFUSED[name]})`;
  return unsupported(
    file,
    `RoPE scaling ${JSON.stringify(kind)}${reason} is not run; known are none, linear, dynamic, llama3, yarn and longrope`,
  );
}
