/**
 * The layouts in which matrices lie on the device. One matrix [rows][cols] is cut along cols into blocks of 32 weights;
 * cols is padded with zero weights to whole blocks, rows with zero rows to a multiple of 32, so that kernels need no
 * bounds checks.
 *
 *   codes   [row][block] of `WORDS_PER_BLOCK[format]` u32 words
 *     q4    4 words: byte i holds weight i in its low and weight i + 16 in its high nibble, code = weight / scale + 8
 *     q8    8 words: byte i holds weight i as int8, weight = scale * code
 *     f16   16 words, bf16 16 words: two weights a word, the earlier one low
 *     f32   32 words
 *   scales  [row / 4][block] of two words: the f16 scales of that block in four neighbouring rows ("row quad");
 *           empty for f16, bf16 and f32
 */
export type Format = 'f32' | 'f16' | 'bf16' | 'q8' | 'q4';

/** Weights per block, along a row. */
export const BLOCK = 32;
/** Rows are padded to a multiple of this: one workgroup makes one activation block of 32. */
export const ROW_BLOCK = 32;

export const WORDS_PER_BLOCK: Readonly<Record<Format, number>> = { f32: 32, f16: 16, bf16: 16, q8: 8, q4: 4 };

export function isQuantised(format: Format): format is 'q8' | 'q4' {
  return format === 'q8' || format === 'q4';
}

export function blocksOf(cols: number): number {
  return Math.ceil(cols / BLOCK);
}

export function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}

/** A matrix (or some rows of one) in the device layout. */
export interface PackedRows {
  readonly format: Format;
  /** Rows before padding. */
  readonly rows: number;
  /** Columns before padding. */
  readonly cols: number;
  readonly codes: Uint32Array; // [roundUp(rows, 32)][blocksOf(cols)][WORDS_PER_BLOCK]
  readonly scales: Uint32Array; // [roundUp(rows, 32) / 4][blocksOf(cols)][2], or empty
}

/** Bytes that a packed matrix takes on the device. */
export function packedBytes(format: Format, rows: number, cols: number): { codes: number; scales: number } {
  const blocks = roundUp(rows, ROW_BLOCK) * blocksOf(cols);
  return { codes: blocks * WORDS_PER_BLOCK[format] * 4, scales: isQuantised(format) ? blocks * 2 : 0 };
}
