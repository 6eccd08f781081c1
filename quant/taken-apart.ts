/**
 * A block of a file's quantised type taken apart into the numbers that it stands for. Readers of file types fill it in,
 * the device layouts are written from it, and decoding is its one formula, of which the form of scales takes what it has:
 *
 *   weight i = d * scales[i / 16] * (codes[i] - centre)                     `centre`
 *   weight i = d * (codes[i] - m)                                           `zero`
 *   weight i = d * scales[i / 16] * codes[i] + m * minima[i / 16]           `minimum`
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
  /** In place of `d` where the scale is an f32. */
  wide: number;
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
    wide: 0,
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
  const { offset } = SCALES[scaleForm];
  const d = scaleForm === 'wide' ? block.wide : f16ToF32(block.d);
  const m = offset === 'centre' ? 0 : f16ToF32(block.m);
  const table = codeForm === 'table' ? IQ4_TABLE : undefined;
  const zero = offset === 'zero' ? m : CODES[codeForm].centre;
  for (let i = 0; i < count; i++) {
    const scale = d * scales[i >> 4]!;
    const code = codes[i]!;
    if (offset === 'minimum') values[first + i] = scale * code + m * minima[i >> 4]!;
    else values[first + i] = scale * (table ? table[code]! : code - zero);
  }
}
