/**
 * Blocks of 32 weights in 8 bits: weight = scale * code, scale in f16, code -127..127 when quantised here, any int8 when
 * read. Strides as in q4.ts: 32 bytes and 4 halfwords for a row on the device, 34 bytes and 17 halfwords for Q8_0.
 */
import { f32ToF16 } from './f16.ts';
import { BLOCK } from './layout.ts';

/** Bytes of codes in a block. */
export const Q8_CODE_BYTES = 32;

/**
 * Turns "round half up" into "round half away from zero" without a branch on the sign, which no processor predicts:
 * moves a tie just past itself, while the f32 values next to a tie are 2^-24 away (relative) and stay on their side.
 */
const AWAY_FROM_ZERO = 1 + 2 ** -40;

/**
 * Quantises whole blocks with GGML's rule for Q8_0, bit for bit: scale = largest magnitude / 127, codes rounded half away
 * from zero with the scale before its own rounding to f16.
 */
export function quantiseQ8(
  values: Float32Array, // [block][32]
  codes: Int8Array,
  codesStride: number,
  scales: Uint16Array,
  scalesStride: number,
): void {
  const blocks = values.length / BLOCK;
  for (let block = 0; block < blocks; block++) {
    const first = block * BLOCK;
    let largest = 0;
    for (let i = first; i < first + BLOCK; i++) {
      const magnitude = Math.abs(values[i]!);
      if (magnitude > largest) largest = magnitude;
    }
    const scale = Math.fround(largest / 127);
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
    scales[block * scalesStride] = f32ToF16(scale);
    const at = block * codesStride;
    for (let i = 0; i < BLOCK; i++) {
      const code = Math.fround(values[first + i]! * inverse);
      codes[at + i] = ((code * AWAY_FROM_ZERO + 128.5) | 0) - 128;
    }
  }
}
