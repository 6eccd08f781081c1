/** Random bytes that are blocks of a file's quantised type: any codes and small scales, f16s such that weights get the size wanted. */
import { f32ToF16 } from '../quant/f16.ts';
import { FILE_TYPES, type FileType, rowBytes } from '../quant/file-types.ts';

/** Weights of a group in the types whose rows are planes: codes, then scales, then zeros. */
const PLANES: Readonly<Partial<Record<FileType, number>>> = {
  MLC4: 32,
  MLC4_WIDE: 32,
  GROUP4_32: 32,
  GROUP4_64: 64,
  GROUP4_128: 128,
};

/** Bytes of a block at which an f16 stands, and how many weights' worth of whole numbers it multiplies, roughly. */
const HALVES: Readonly<Partial<Record<FileType, readonly (readonly [at: number, times: number])[]>>> = {
  Q4_0: [[0, 5]],
  Q4_1: [
    [0, 9],
    [2, 2],
  ],
  Q5_0: [[0, 9]],
  Q5_1: [
    [0, 18],
    [2, 2],
  ],
  Q8_0: [[0, 74]],
  Q2_K: [
    [80, 15],
    [82, 15],
  ],
  Q3_K: [[108, 40]],
  Q4_K: [
    [0, 300],
    [2, 60],
  ],
  Q5_K: [
    [0, 600],
    [2, 60],
  ],
  Q6_K: [[208, 1300]],
  IQ4_NL: [[0, 65]],
  IQ4_XS: [[0, 1200]],
};

/**
 * Rows of a quantised type whose weights are about `size` large, of either sign: as often one as the other, since codes have a mean, which
 * would add up to states that do not depend on the input.
 */
export function randomBlocks(
  type: FileType,
  rows: number,
  cols: number,
  size: number,
  random: () => number,
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(rows * rowBytes(type, cols));
  const group = PLANES[type];
  if (group) {
    for (let row = 0; row < rows; row++)
      fillPlanes(type, bytes.subarray((row * bytes.length) / rows), cols, group, size, random);
    return bytes;
  }
  for (let i = 0; i < bytes.length; i++) bytes[i] = random() * 256;
  const { blockBytes } = FILE_TYPES[type];
  for (let block = 0; block < bytes.length; block += blockBytes) {
    for (const [at, times] of HALVES[type] ?? []) {
      const half = f32ToF16(((0.5 + random()) * size * (random() < 0.5 ? -1 : 1)) / times);
      bytes[block + at] = half & 255;
      bytes[block + at + 1] = half >> 8;
    }
  }
  return bytes;
}

function fillPlanes(type: FileType, row: Uint8Array, cols: number, group: number, size: number, random: () => number) {
  const most = type.startsWith('MLC') ? 15 : 16; // MLC's codes stop at 14
  for (let i = 0; i < cols / 2; i++) row[i] = Math.floor(random() * most) | (Math.floor(random() * most) << 4);
  const groups = cols / group;
  const view = new DataView(row.buffer, row.byteOffset + cols / 2);
  for (let i = 0; i < groups; i++) {
    const scale = ((0.5 + random()) * size) / 4;
    if (type === 'MLC4_WIDE') view.setFloat32(4 * i, scale, true);
    else view.setUint16(2 * i, f32ToF16(scale), true);
    if (type.startsWith('GROUP')) view.setUint16(2 * (groups + i), f32ToF16(Math.floor(random() * 17)), true);
  }
}
