/**
 * The layouts in which matrices lie on the device. One matrix [rows][cols] is cut along cols into blocks of 32 weights;
 * cols is padded with zero weights to whole blocks, rows with zero rows to a multiple of 32, so that kernels need no
 * bounds checks.
 *
 * Float formats are words: f32 has 32 a block, f16 and bf16 have 16 (two weights a word, the earlier one low).
 *
 * A quantised format is a form of codes and a form of scales, QUANTISED names the pairs; shaders have a file for each form.
 * Blocks are stored in units, so that loads stay whole; a row is padded to whole units.
 *
 *   codes   [row][unit] of words, weight i of 0..31 in word i / 4, byte i % 4 of an eight-word block of whole bytes. Of these
 *           bytes are kept:
 *     8       all of it, an int8
 *     4       4 words: the byte of weight i and, in its upper half, that of weight i + 16
 *     table   as 4, an index into IQ4_TABLE
 *     2       2 words: byte b of word w has bits 2k, 2k + 1 for the weights 16w + 4k + b
 *     6       a unit is 2 blocks: the lower four bits of each as in 4, then the upper two of each as in 2
 *     5       a unit is 4 blocks: the lower four bits of each as in 4, then a word for each with the fifth ones: bit k of
 *             byte b for the weight 4k + b
 *     3       a unit is 2 blocks: the lower two bits of each as in 2, then a word for each with the third ones as in 5
 *
 *   scales  [row / 4][unit] of words: four neighbouring rows (a "row quad") lie together, an f16 or a byte each
 *     quad            four f16 scales
 *     wide            four f32 scales
 *     minimum         four f16 scales, four f16 minima
 *     zero-N          a unit is N weights: four f16 scales, four f16 that are the codes of weight zero
 *     super           a unit is 8 blocks: for each four u8 scales and four u8 minima; then four f16 that multiply the
 *                     scales and four that multiply the minima
 *     halves          a unit is 8 blocks: for each four int8 scales of the weights 0..15 and four of 16..31; then four f16
 *                     that multiply them
 *     halves-minimum  a unit is 8 blocks: for each four bytes for the weights 0..15 and four for 16..31, the scale in a
 *                     byte's lower half and the minimum in its upper one; then as in super
 *
 *   weight = scale * (code - centre), scale * (code - zero), or scale * code + minimum, as the form says
 */
export type Format = 'f32' | 'f16' | 'bf16' | QuantisedFormat;

export type QuantisedFormat =
  | ('q4' | 'q5' | 'q8' | 'iq4')
  | ('q4m' | 'q5m' | 'q4w' | 'q4z32' | 'q4z64' | 'q4z128')
  | ('q2k' | 'q3k' | 'q4k' | 'q5k' | 'q6k' | 'iq4k');

export type CodeForm = '2' | '3' | '4' | '5' | '6' | '8' | 'table';
export type ScaleForm =
  | ('quad' | 'wide' | 'minimum' | 'zero-32' | 'zero-64' | 'zero-128')
  | ('super' | 'halves' | 'halves-minimum');

/** How many blocks lie together, and in how many words. */
interface Unit {
  readonly blocks: number;
  readonly words: number;
}

interface CodeTraits extends Unit {
  /** The code of weight zero where the scales say nothing else. */
  readonly centre: number;
}

interface ScaleTraits extends Unit {
  /** What a code becomes a weight with besides its scale. */
  readonly offset: 'centre' | 'zero' | 'minimum';
}

export const CODES: Readonly<Record<CodeForm, CodeTraits>> = {
  '2': { blocks: 1, words: 2, centre: 2 },
  '3': { blocks: 2, words: 6, centre: 4 },
  '4': { blocks: 1, words: 4, centre: 8 },
  '5': { blocks: 4, words: 20, centre: 16 },
  '6': { blocks: 2, words: 12, centre: 32 },
  '8': { blocks: 1, words: 8, centre: 0 },
  table: { blocks: 1, words: 4, centre: 0 },
};

export const SCALES: Readonly<Record<ScaleForm, ScaleTraits>> = {
  quad: { blocks: 1, words: 2, offset: 'centre' },
  wide: { blocks: 1, words: 4, offset: 'centre' },
  minimum: { blocks: 1, words: 4, offset: 'minimum' },
  'zero-32': { blocks: 1, words: 4, offset: 'zero' },
  'zero-64': { blocks: 2, words: 4, offset: 'zero' },
  'zero-128': { blocks: 4, words: 4, offset: 'zero' },
  super: { blocks: 8, words: 20, offset: 'minimum' },
  halves: { blocks: 8, words: 18, offset: 'centre' },
  'halves-minimum': { blocks: 8, words: 20, offset: 'minimum' },
};

export interface QuantisedTraits {
  readonly codes: CodeForm;
  readonly scales: ScaleForm;
}

export const QUANTISED: Readonly<Record<QuantisedFormat, QuantisedTraits>> = {
  q4: { codes: '4', scales: 'quad' },
  q5: { codes: '5', scales: 'quad' },
  q8: { codes: '8', scales: 'quad' },
  iq4: { codes: 'table', scales: 'quad' },
  q4m: { codes: '4', scales: 'minimum' },
  q4w: { codes: '4', scales: 'wide' },
  q4z32: { codes: '4', scales: 'zero-32' },
  q4z64: { codes: '4', scales: 'zero-64' },
  q4z128: { codes: '4', scales: 'zero-128' },
  q5m: { codes: '5', scales: 'minimum' },
  q4k: { codes: '4', scales: 'super' },
  q5k: { codes: '5', scales: 'super' },
  q6k: { codes: '6', scales: 'halves' },
  q3k: { codes: '3', scales: 'halves' },
  iq4k: { codes: 'table', scales: 'halves' },
  q2k: { codes: '2', scales: 'halves-minimum' },
};

/** The values of IQ4_NL and IQ4_XS: https://github.com/ggml-org/ggml, kvalues_iq4nl. */
export const IQ4_TABLE: readonly number[] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/** Weights per block, along a row. */
export const BLOCK = 32;
/** Rows are padded to a multiple of this: one workgroup makes one activation block of 32. */
export const ROW_BLOCK = 32;

/** Words of a block in the float formats. */
const FLOAT_WORDS = { f32: 32, f16: 16, bf16: 16 } as const;

export function isFormat(name: unknown): name is Format {
  return typeof name === 'string' && (Object.hasOwn(QUANTISED, name) || Object.hasOwn(FLOAT_WORDS, name));
}

export function isQuantised(format: Format): format is QuantisedFormat {
  return Object.hasOwn(QUANTISED, format);
}

export function blocksOf(cols: number): number {
  return Math.ceil(cols / BLOCK);
}

export function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}

/** Words of the codes of one row, and of the scales of one row quad. */
export function rowWords(format: Format, cols: number): { readonly codes: number; readonly scales: number } {
  const blocks = blocksOf(cols);
  if (!isQuantised(format)) return { codes: blocks * FLOAT_WORDS[format], scales: 0 };
  const { codes, scales } = QUANTISED[format];
  return { codes: unitWords(CODES[codes], blocks), scales: unitWords(SCALES[scales], blocks) };
}

function unitWords({ blocks: together, words }: Unit, blocks: number): number {
  return Math.ceil(blocks / together) * words;
}

/** A matrix (or some rows of one) in the device layout. */
export interface PackedRows {
  readonly format: Format;
  /** Rows before padding. */
  readonly rows: number;
  /** Columns before padding. */
  readonly cols: number;
  readonly codes: Uint32Array; // [roundUp(rows, 32)] of rowWords(format, cols).codes
  readonly scales: Uint32Array; // [roundUp(rows, 32) / 4] of rowWords(format, cols).scales, or empty
}

/** Bytes that a packed matrix takes on the device. */
export function packedBytes(format: Format, rows: number, cols: number): { codes: number; scales: number } {
  const words = rowWords(format, cols);
  const padded = roundUp(rows, ROW_BLOCK);
  return { codes: padded * words.codes * 4, scales: padded * words.scales };
}
