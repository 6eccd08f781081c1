/** Inputs and outputs of the matrix units' kernels: the CPU's side of shaders/tile-place.wgsl. */
import { f16ToF32, f32ToF16 } from '../quant/f16.ts';
import { BLOCK, blocksOf } from '../quant/layout.ts';
import { f16Place } from './blocks.ts';

const GROUP = 64;

/** Index of a value among the f16 of all tiles. */
function tilePlace(column: number, at: number, width: number): number {
  const kTiles = Math.ceil(blocksOf(width) / 2) * 4;
  const inBlock = at % BLOCK;
  // where the block's order puts this value
  let place = 0;
  while (f16Place(place) !== inBlock) place++;
  const k = Math.floor(at / BLOCK) * 2 + Math.floor(place / 16);
  const tile = (Math.floor(column / GROUP) * kTiles + k) * 4 + (Math.floor(column / 16) % 4);
  return tile * 256 + (column % 16) * 16 + (place % 16);
}

/** f16 values that tiles of so many columns have room for. */
export function tileLength(columns: number, width: number): number {
  return Math.ceil(columns / GROUP) * GROUP * Math.ceil(blocksOf(width) / 2) * 2 * BLOCK;
}

/** [columns][width] as tiles, and what they stand for after rounding to f16. */
export function writeTiles(input: ArrayLike<number>, columns: number, width: number) {
  const halves = new Uint16Array(tileLength(columns, width));
  const values = new Float64Array(columns * width);
  for (let column = 0; column < columns; column++) {
    for (let i = 0; i < width; i++) {
      const half = f32ToF16(input[column * width + i] as number);
      halves[tilePlace(column, i, width)] = half;
      values[column * width + i] = f16ToF32(half);
    }
  }
  return { codes: new Uint32Array(halves.buffer), values };
}

/** What tiles that a kernel wrote stand for, [columns][width]. */
export function readTiles(codes: Uint32Array, columns: number, width: number): Float64Array {
  const halves = new Uint16Array(codes.buffer, codes.byteOffset, codes.length * 2);
  return Float64Array.from({ length: columns * width }, (_, i) =>
    f16ToF32(halves[tilePlace(Math.floor(i / width), i % width, width)] as number),
  );
}
