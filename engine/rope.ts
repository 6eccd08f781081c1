/** Rotary position embedding: frequencies, and the tables that kernels read. */
import { mat2 } from 'gl-matrix';
import type { LlamaConfig, RopeScaling } from '../loaders/types.ts';
import type { RopeName } from './layers.ts';

/** What a table of turns is made of. */
export type RopeConfig = Pick<LlamaConfig, 'ropeDim' | 'ropeTheta' | 'ropeScaling'>;

/** RoPE of the layers that have it by this name. */
export function ropeConfig(config: LlamaConfig, name: RopeName): RopeConfig {
  const { ropeDim, ropeTheta, ropeScaling, localRopeTheta } = config;
  if (name === 'rope' || localRopeTheta === undefined) return { ropeDim, ropeTheta, ropeScaling };
  return { ropeDim, ropeTheta: localRopeTheta, ropeScaling: { kind: 'none' } };
}

/**
 * Positions up to which a model computes as it was first trained, where its RoPE goes by the length of the text. The files
 * mean the text so far, but turns of keys in a cache cannot be changed: here the session's context decides, once.
 */
export function plainContext({ context, ropeScaling: scaling }: LlamaConfig): number {
  return scaling.kind === 'dynamic' || scaling.kind === 'longrope'
    ? Math.min(context, scaling.originalContext)
    : context;
}

/** The context by which keys are turned, where they are turned by it; else 0. */
export function ropeContext({ ropeScaling }: Pick<LlamaConfig, 'ropeScaling'>, context: number): number {
  return ropeScaling.kind === 'dynamic' || ropeScaling.kind === 'longrope' ? context : 0;
}

/**
 * Radians per position of each pair, [ropeDim / 2], in a session of `context` positions.
 * theta^(-2i/d) as in RoFormer (Su et al. 2021), scaled as transformers does (modeling_rope_utils.py).
 */
export function ropeFrequencies(rope: RopeConfig, context: number): Float64Array {
  const { ropeDim, ropeTheta, ropeScaling: scaling } = rope;
  const pairs = ropeDim / 2;
  const powers = (theta: number) => Float64Array.from({ length: pairs }, (_, i) => theta ** ((-2 * i) / ropeDim));
  const plain = powers(ropeTheta);
  switch (scaling.kind) {
    case 'none':
      return plain;
    case 'linear':
      return plain.map((frequency) => frequency / scaling.factor);
    case 'dynamic': {
      const growth = (scaling.factor * context) / scaling.originalContext - (scaling.factor - 1);
      return growth <= 1 ? plain : powers(ropeTheta * growth ** (ropeDim / (ropeDim - 2)));
    }
    case 'llama3':
      return plain.map((frequency) => llama3Frequency(frequency, scaling));
    case 'yarn':
      return yarnFrequencies(plain, rope, scaling);
    case 'longrope': {
      const factors = context > scaling.originalContext ? scaling.longFactors : scaling.shortFactors;
      return plain.map((frequency, i) => frequency / (factors[i] as number));
    }
    case 'factors':
      return plain.map((frequency, i) => frequency / (scaling.factors[i] as number));
  }
}

type Scaling<Kind> = Extract<RopeScaling, { kind: Kind }>;

/** Long wavelengths are divided by the factor, short ones kept, those between blended (Meta's llama-models, `apply_scaling`). */
function llama3Frequency(plain: number, scaling: Scaling<'llama3'>): number {
  const { factor, lowFrequencyFactor, highFrequencyFactor, originalContext } = scaling;
  const turns = (originalContext * plain) / (2 * Math.PI); // in the context the model was first trained on
  if (turns < lowFrequencyFactor) return plain / factor;
  if (turns > highFrequencyFactor) return plain;
  const blend = (turns - lowFrequencyFactor) / (highFrequencyFactor - lowFrequencyFactor);
  return ((1 - blend) * plain) / factor + blend * plain;
}

/** The same with the blend linear in the pair's number (YaRN, Peng et al. 2023, "NTK-by-parts"). */
function yarnFrequencies(
  plain: Float64Array,
  { ropeDim, ropeTheta }: RopeConfig,
  { factor, originalContext, betaFast, betaSlow, truncate }: Scaling<'yarn'>,
): Float64Array {
  // the pair, as a real number, that makes so many turns in the original context
  const pairOf = (turns: number) =>
    (ropeDim * Math.log(originalContext / (turns * 2 * Math.PI))) / (2 * Math.log(ropeTheta));
  const [fast, slow] = [pairOf(betaFast), pairOf(betaSlow)];
  const low = Math.max(truncate ? Math.floor(fast) : fast, 0);
  const high = Math.min(truncate ? Math.ceil(slow) : slow, ropeDim - 1);
  const width = low === high ? 0.001 : high - low;
  return plain.map((frequency, i) => {
    const divided = Math.min(Math.max((i - low) / width, 0), 1);
    return (frequency / factor) * divided + frequency * (1 - divided);
  });
}

/** What multiplies rotated queries and keys. */
export function ropeMagnitude({ ropeScaling }: RopeConfig): number {
  return 'attentionFactor' in ropeScaling ? ropeScaling.attentionFactor : 1;
}

/**
 * cos and sin of every pair's turn times the magnitude, [positions][ropeDim / 2][2] f32, each from one 2x2 rotation matrix,
 * for the first positions of a session of `context`.
 */
export function ropeTable(rope: RopeConfig, context: number, positions = context): Float32Array {
  const frequencies = ropeFrequencies(rope, context);
  const magnitude = ropeMagnitude(rope);
  const table = new Float32Array(positions * frequencies.length * 2);
  const rotation: mat2 = [1, 0, 0, 1]; // a plain array: gl-matrix then computes in doubles
  for (let position = 0, at = 0; position < positions; position++) {
    for (const frequency of frequencies) {
      mat2.fromRotation(rotation, position * frequency);
      table[at++] = rotation[0] * magnitude;
      table[at++] = rotation[1] * magnitude;
    }
  }
  return table;
}
