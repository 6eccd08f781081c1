/**
 * Blocks of 32 weights in 4 bits: weight = scale * (code - 8), scale in f16, code 0..15. Byte i of a block's 16 holds the
 * code of weight i in its low nibble and of weight i + 16 in its high one, in GGML's Q4_0 as on the device.
 *
 * Codes and scales may be interleaved in many ways, so the function takes how far apart neighbouring blocks are: 16
 * bytes and 4 halfwords for a row on the device (layout.ts), 18 bytes and 9 halfwords for Q4_0.
 */
import { f32ToF16 } from './f16.ts';
import { BLOCK } from './layout.ts';

/** Bytes of codes in a block. */
export const Q4_CODE_BYTES = 16;

/**
 * Quantises whole blocks with GGML's rule for Q4_0, bit for bit: the weight of largest magnitude gets code 0, that is
 * scale = weight / -8; codes are rounded with the scale before its own rounding to f16.
 */
export function quantiseQ4(
  values: Float32Array, // [block][32]
  codes: Uint8Array,
  codesStride: number,
  scales: Uint16Array,
  scalesStride: number,
): void {
  const blocks = values.length / BLOCK;
  for (let block = 0; block < blocks; block++) {
    const first = block * BLOCK;
    const largest = largestOf(values, first);
    const scale = Math.fround(largest / -8);
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
    scales[block * scalesStride] = f32ToF16(scale);
    const at = block * codesStride;
    for (let i = 0; i < Q4_CODE_BYTES; i++) {
      const low = codeOf(values[first + i]!, inverse);
      const high = codeOf(values[first + i + 16]!, inverse);
      codes[at + i] = low | (high << 4);
    }
  }
}

/** The first weight of the largest magnitude, with its sign. */
function largestOf(values: Float32Array, first: number): number {
  let largest = 0;
  for (let i = first; i < first + BLOCK; i++) {
    const value = values[i]!;
    if (Math.abs(value) > Math.abs(largest)) largest = value;
  }
  return largest;
}

function codeOf(value: number, inverse: number): number {
  // Every step rounds to f32 as GGML's arithmetic does; otherwise codes close to a tie would differ.
  return Math.min(15, Math.fround(Math.fround(value * inverse) + 8.5) | 0);
}
