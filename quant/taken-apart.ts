/**
 * A block of a file's quantised type taken apart into the numbers that it stands for. Readers of file types fill it in,
 * the device layouts are written from it, and decoding is its one formula:
 *
 *   weight i = d * scales[i / 16] * (codes[i] - centre)                     without minima
 *   weight i = d * scales[i / 16] * codes[i] + m * minima[i / 16]           with minima
 *
 * codes[i] stands for itself, or, with a table, for table[codes[i]].
 */
import { f16ToF32 } from './f16.ts';
import { CODES, IQ4_TABLE, type QuantisedTraits, SCALES } from './layout.ts';

export interface TakenApart {
  readonly codes: Int8Array; // [256], of which a block of 32 uses the first
  /** f16 bits. */
  d: number;
  m: number;
  readonly scales: Int8Array; // [16], one for 16 weights
  readonly minima: Int8Array; // [16]
}

/** Longest block of any type. */
export const MOST_WEIGHTS = 256;

export function emptyBlock(): TakenApart {
  return {
    codes: new Int8Array(MOST_WEIGHTS),
    d: 0,
    m: 0,
    scales: new Int8Array(MOST_WEIGHTS / 16).fill(1),
    minima: new Int8Array(MOST_WEIGHTS / 16).fill(1),
  };
}

/** The exact weights: products of an f16 and whole numbers are exact in doubles, and a sum is rounded once. */
export function weightsOf(
  block: TakenApart,
  { codes: codeForm, scales: scaleForm }: QuantisedTraits,
  values: Float32Array,
  first: number,
  count: number,
): void {
  const { codes, scales, minima } = block;
  const d = f16ToF32(block.d);
  const { minima: hasMinima } = SCALES[scaleForm];
  const m = hasMinima ? f16ToF32(block.m) : 0;
  const table = codeForm === 'table' ? IQ4_TABLE : undefined;
  const { centre } = CODES[codeForm];
  for (let i = 0; i < count; i++) {
    const scale = d * scales[i >> 4]!;
    const code = codes[i]!;
    if (hasMinima) values[first + i] = scale * code + m * minima[i >> 4]!;
    else values[first + i] = scale * (table ? table[code]! : code - centre);
  }
}
