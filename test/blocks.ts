/** Activation blocks as kernels read and write them: the CPU's side of shaders/act-*.wgsl and store-*.wgsl. */

import { decodeF16, f16ToF32, f32ToF16 } from '../quant/f16.ts';
import { BLOCK, blocksOf } from '../quant/layout.ts';

export type BlockForm = 'f32' | 'f16' | 'i8';

export interface Blocks {
  readonly codes: Uint32Array;
  readonly meta: Float32Array; // [column][block][4]
  /** What the blocks stand for, [column][width]. */
  readonly values: Float64Array;
}

/** Order of the 32 values in an f16 block (act-f16.wgsl): value at place p. */
export function f16Place(p: number): number {
  const word = Math.floor(p / 2);
  return 16 * Math.floor(word / 8) + 4 * Math.floor((word % 8) / 2) + (word % 2) + 2 * (p % 2);
}

/** Writes [columns][width] values as blocks; `squares` says what the sum of squares is taken of (the values by default). */
export function writeBlocks(
  form: BlockForm,
  input: Float32Array,
  columns: number,
  width: number,
  squares = input,
): Blocks {
  const blocks = blocksOf(width);
  const words = { f32: 32, f16: 16, i8: 8 }[form];
  const codes = new Uint32Array(columns * blocks * words);
  const meta = new Float32Array(columns * blocks * 4);
  const values = new Float64Array(columns * width);
  for (let column = 0; column < columns; column++) {
    for (let block = 0; block < blocks; block++) {
      const at = column * blocks + block;
      const from = Array.from({ length: BLOCK }, (_, i) =>
        block * BLOCK + i < width ? (input[column * width + block * BLOCK + i] as number) : 0,
      );
      let square = 0;
      for (let i = 0; i < BLOCK && block * BLOCK + i < width; i++)
        square += (squares[column * width + block * BLOCK + i] as number) ** 2;
      let d = 1;
      let stood: number[] = from;
      if (form === 'f32') {
        codes.set(new Uint32Array(Float32Array.from(from).buffer), at * words);
      } else if (form === 'f16') {
        stood = from.map((value) => f16ToF32(f32ToF16(value)));
        const halves = new Uint16Array(codes.buffer, at * words * 4, BLOCK);
        for (let p = 0; p < BLOCK; p++) halves[p] = f32ToF16(from[f16Place(p)] as number);
      } else {
        d = Math.fround(Math.max(...from.map(Math.abs)) * Math.fround(1 / 127));
        const int8 = from.map((value) => (d > 0 ? Math.max(-127, Math.min(127, Math.round(value / d))) : 0));
        new Int8Array(codes.buffer, at * words * 4, BLOCK).set(int8);
        stood = int8.map((code) => code * d);
      }
      meta.set([d, stood.reduce((sum, value) => sum + value, 0), square, 0], at * 4);
      for (let i = 0; i < BLOCK && block * BLOCK + i < width; i++)
        values[column * width + block * BLOCK + i] = stood[i] as number;
    }
  }
  return { codes, meta, values };
}

/** What blocks that a kernel wrote stand for, [columns][width]. */
export function readBlocks(
  form: BlockForm,
  codes: Uint32Array,
  meta: Float32Array,
  columns: number,
  width: number,
): Float64Array {
  const blocks = blocksOf(width);
  const values = new Float64Array(columns * width);
  const bytes = new Int8Array(codes.buffer, codes.byteOffset, codes.byteLength);
  const halves = new Float32Array(BLOCK);
  for (let column = 0; column < columns; column++) {
    for (let block = 0; block < blocks; block++) {
      const at = column * blocks + block;
      if (form === 'f16') decodeF16(new Uint16Array(codes.buffer, codes.byteOffset + at * 64, BLOCK), halves);
      for (let i = 0; i < BLOCK; i++) {
        if (block * BLOCK + i >= width) continue;
        let value = 0;
        if (form === 'f32')
          value = new Float32Array(codes.buffer, codes.byteOffset, codes.length)[at * BLOCK + i] as number;
        else if (form === 'i8') value = (bytes[at * BLOCK + i] as number) * (meta[at * 4] as number);
        else value = halves[Array.from({ length: BLOCK }, (_, p) => p).findIndex((p) => f16Place(p) === i)] as number;
        values[column * width + block * BLOCK + i] = value;
      }
    }
  }
  return values;
}

/** Elements that share a scale of a q8 cache. */
export function kvBlockOf(headDim: number): number {
  return [32, 16, 8].find((block) => headDim % block === 0) as number;
}

/** `count` numbers in fixed point, as residual-fixed.wgsl has them: [block of 32][high, low][32]. */
export function readFixed(words: Uint32Array, count: number): Float64Array {
  const parts = new Int32Array(words.buffer, words.byteOffset, words.length);
  return Float64Array.from({ length: count }, (_, i) => {
    const at = Math.floor(i / 32) * 64 + (i % 32);
    return (parts[at] as number) / 2 ** 8 + (parts[at + 32] as number) / 2 ** 31;
  });
}

/** The same, of numbers. */
export function writeFixed(values: ArrayLike<number>): Int32Array {
  const parts = new Int32Array(Math.ceil(values.length / 32) * 64);
  for (let i = 0; i < values.length; i++) {
    const at = Math.floor(i / 32) * 64 + (i % 32);
    parts[at] = Math.round((values[i] as number) * 2 ** 8);
    parts[at + 32] = Math.round(((values[i] as number) - (parts[at] as number) / 2 ** 8) * 2 ** 31);
  }
  return parts;
}
