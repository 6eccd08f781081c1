/** How the next token is drawn: options, which of them the GPU can do by itself, and the random numbers of both sides. */
import { FirstlightError } from '../quant/errors.ts';
import type { Choice } from './plan.ts';
import { MOST_CANDIDATES } from './state.ts';

/** How the next token is drawn. */
export interface Sampling {
  /** 0 = always the most probable token. Default 0.8. */
  readonly temperature?: number | undefined;
  /** Only the k most probable tokens; 0 = all. Default 40. */
  readonly topK?: number | undefined;
  /** Only the most probable tokens that together have this probability; 1 = all. Default 0.95. */
  readonly topP?: number | undefined;
  /** Only tokens at least this probable relative to the best; 0 = all. Default 0. */
  readonly minP?: number | undefined;
  /**
   * Only the tokens whose probability is nearest to what the distribution's entropy lets expect, together this probable;
   * 1 = all. Default 1.
   */
  readonly typicalP?: number | undefined;
  /** Whole number from 0 to 2^32 - 1; the same seed gives the same text on the same device. Default random. */
  readonly seed?: number | undefined;
}

/** Sampling with its defaults filled in. */
export type CompleteSampling = { readonly [Key in keyof Sampling]-?: number };

/** Fills in defaults. Throws `bad-argument` for values outside their range. */
export function completeSampling(sampling: Sampling = {}): CompleteSampling {
  const complete = {
    temperature: sampling.temperature ?? 0.8,
    topK: sampling.topK ?? 40,
    topP: sampling.topP ?? 0.95,
    minP: sampling.minP ?? 0,
    typicalP: sampling.typicalP ?? 1,
    seed: sampling.seed ?? Math.floor(Math.random() * 2 ** 32),
  };
  const check = (name: string, value: number, fine: boolean, range: string) => {
    if (!fine) throw new FirstlightError('bad-argument', `${name} is ${value}: it must be ${range}`);
  };
  const { temperature, topK, topP, minP, typicalP, seed } = complete;
  check('temperature', temperature, temperature >= 0 && temperature <= 100, 'between 0 and 100');
  check('topK', topK, Number.isInteger(topK) && topK >= 0 && topK < 2 ** 31, 'a whole number of at least 0 (0 = all)');
  check('topP', topP, topP > 0 && topP <= 1, 'above 0 and at most 1');
  check('minP', minP, minP >= 0 && minP <= 1, 'between 0 and 1');
  check('typicalP', typicalP, typicalP > 0 && typicalP <= 1, 'above 0 and at most 1');
  check('seed', seed, Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32, 'a whole number from 0 to 4294967295');
  return complete;
}

/** Seeds for so many samples, each one higher than the one before, round after the last. */
export function seedsFrom(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => (first + i) % 2 ** 32);
}

/** The GPU kernel that does this sampling exactly, or `list` when the CPU has to choose from the best candidates. */
export function chooseChoice({ temperature, topK, topP, typicalP }: CompleteSampling): Choice {
  if (temperature === 0 || topK === 1) return 'greedy';
  if (typicalP < 1) return 'list';
  if (topK > 0 && topK <= MOST_CANDIDATES) return 'top';
  return topK === 0 && topP === 1 ? 'noise' : 'list';
}

/** Index of the largest value, the first of equal ones. */
export function argmax(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if ((values[i] as number) > (values[best] as number)) best = i;
  return best;
}

function mix(value: number): number {
  const state = (Math.imul(value, 747796405) + 2891336453) >>> 0;
  const word = Math.imul((state >>> ((state >>> 28) + 4)) ^ state, 277803737) >>> 0;
  return ((word >>> 22) ^ word) >>> 0;
}

/** The twin of `uniform_at` in random.wgsl: a number in (0, 1). */
export function uniformAt(seed: number, position: number, index: number): number {
  return ((mix((index ^ mix((position ^ mix(seed)) >>> 0)) >>> 0) >>> 8) + 0.5) / 2 ** 24;
}
