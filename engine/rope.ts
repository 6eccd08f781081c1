/** Rotary position embedding: frequencies, and the table that kernels read. */
import { mat2 } from 'gl-matrix';
import type { LlamaConfig } from '../loaders/types.ts';

/**
 * Radians per position of each pair, [ropeDim / 2].
 * theta^(-2i/d) as in RoFormer (Su et al. 2021), scaled linearly or by Llama 3's rule: long wavelengths are divided by the
 * factor, short ones kept, those between blended (Meta's llama-models, `apply_scaling`).
 */
export function ropeFrequencies(config: LlamaConfig): Float64Array {
  const { ropeDim, ropeTheta, ropeScaling: scaling } = config;
  const frequencies = new Float64Array(ropeDim / 2);
  for (let i = 0; i < frequencies.length; i++) {
    const plain = ropeTheta ** ((-2 * i) / ropeDim) / (config.ropeFactors?.[i] ?? 1);
    if (scaling.kind === 'linear') frequencies[i] = plain / scaling.factor;
    else if (scaling.kind === 'llama3') frequencies[i] = llama3Frequency(plain, config);
    else frequencies[i] = plain;
  }
  return frequencies;
}

function llama3Frequency(plain: number, { ropeScaling }: LlamaConfig): number {
  const { factor, lowFrequencyFactor, highFrequencyFactor, originalContext } = ropeScaling;
  const turns = (originalContext * plain) / (2 * Math.PI); // in the context the model was first trained on
  if (turns < lowFrequencyFactor) return plain / factor;
  if (turns > highFrequencyFactor) return plain;
  const blend = (turns - lowFrequencyFactor) / (highFrequencyFactor - lowFrequencyFactor);
  return ((1 - blend) * plain) / factor + blend * plain;
}

/** cos and sin of every pair's turn, [positions][ropeDim / 2][2] f32, each from one 2x2 rotation matrix. */
export function ropeTable(config: LlamaConfig, positions: number): Float32Array {
  const frequencies = ropeFrequencies(config);
  const table = new Float32Array(positions * frequencies.length * 2);
  const rotation: mat2 = [1, 0, 0, 1]; // a plain array: gl-matrix then computes in doubles
  for (let position = 0, at = 0; position < positions; position++) {
    for (const frequency of frequencies) {
      mat2.fromRotation(rotation, position * frequency);
      table[at++] = rotation[0];
      table[at++] = rotation[1];
    }
  }
  return table;
}
