/** Codes and scales of a block in the places that layout.ts describes, written and read. The CPU's twin of codes-*.wgsl and scales-*.wgsl. */
import { BLOCK, CODES, type CodeForm, type PackedRows, QUANTISED, rowWords, SCALES, type ScaleForm } from './layout.ts';
import type { TakenApart } from './taken-apart.ts';

/** The rows of a packed matrix under the views that its forms need. */
export interface Planes {
  readonly codeForm: CodeForm;
  readonly scaleForm: ScaleForm;
  /** Words of a row's codes and of a row quad's scales. */
  readonly codeWords: number;
  readonly scaleWords: number;
  readonly codes: Uint8Array;
  readonly bytes: Uint8Array; // of the scales
  readonly halves: Uint16Array; // of the scales
  readonly floats: Float32Array; // of the scales
}

export function planesOf({ codes, scales, format, cols }: PackedRows): Planes {
  const traits = QUANTISED[format as keyof typeof QUANTISED];
  const words = rowWords(format, cols);
  return {
    codeForm: traits.codes,
    scaleForm: traits.scales,
    codeWords: words.codes,
    scaleWords: words.scales,
    codes: new Uint8Array(codes.buffer, codes.byteOffset, codes.byteLength),
    bytes: new Uint8Array(scales.buffer, scales.byteOffset, scales.byteLength),
    halves: new Uint16Array(scales.buffer, scales.byteOffset, scales.byteLength / 2),
    floats: new Float32Array(scales.buffer, scales.byteOffset, scales.length),
  };
}

/** Writes the `part`th 32 weights of a block taken apart as block `block` of a row. The place must be zero before. */
export function writeBlock(planes: Planes, row: number, block: number, from: TakenApart, part: number): void {
  writeCodes(planes, row, block, from.codes, part * BLOCK);
  writeScales(planes, row, block, from, part * 2);
}

/** Reads block `block` of a row as a block of 32. */
export function readBlock(planes: Planes, row: number, block: number, to: TakenApart): void {
  readCodes(planes, row, block, to.codes);
  readScales(planes, row, block, to);
}

/** Byte at which the unit of a block starts, and the block's place in it. */
function codeUnit({ codeForm, codeWords }: Planes, row: number, block: number): { start: number; inUnit: number } {
  const { blocks, words } = CODES[codeForm];
  return { start: 4 * (row * codeWords + Math.floor(block / blocks) * words), inUnit: block % blocks };
}

function writeCodes(planes: Planes, row: number, block: number, from: Int8Array, first: number): void {
  const { codes, codeForm } = planes;
  const { start, inUnit } = codeUnit(planes, row, block);
  switch (codeForm) {
    case '8':
      for (let i = 0; i < BLOCK; i++) codes[start + i] = from[first + i]!;
      break;
    case '4':
    case 'table':
      writeNibbles(codes, start, from, first);
      break;
    case '5':
      writeNibbles(codes, start + 16 * inUnit, from, first);
      writeBits(codes, start + 64 + 4 * inUnit, from, first, 4);
      break;
    case '6':
      writeNibbles(codes, start + 16 * inUnit, from, first);
      writePairs(codes, start + 32 + 8 * inUnit, from, first, 4);
      break;
    case '2':
      writePairs(codes, start, from, first, 0);
      break;
    case '3':
      writePairs(codes, start + 8 * inUnit, from, first, 0);
      writeBits(codes, start + 16 + 4 * inUnit, from, first, 2);
      break;
  }
}

function readCodes(planes: Planes, row: number, block: number, to: Int8Array): void {
  const { codes, codeForm } = planes;
  const { start, inUnit } = codeUnit(planes, row, block);
  switch (codeForm) {
    case '8':
      for (let i = 0; i < BLOCK; i++) to[i] = codes[start + i]!;
      break;
    case '4':
    case 'table':
      readNibbles(codes, start, to);
      break;
    case '5':
      readNibbles(codes, start + 16 * inUnit, to);
      readBits(codes, start + 64 + 4 * inUnit, to, 4);
      break;
    case '6':
      readNibbles(codes, start + 16 * inUnit, to);
      readPairs(codes, start + 32 + 8 * inUnit, to, 4);
      break;
    case '2':
      to.fill(0, 0, BLOCK);
      readPairs(codes, start, to, 0);
      break;
    case '3':
      to.fill(0, 0, BLOCK);
      readPairs(codes, start + 8 * inUnit, to, 0);
      readBits(codes, start + 16 + 4 * inUnit, to, 2);
      break;
  }
}

// weight 4k + b of a half is bits 2k, 2k + 1 of byte b; of a whole block, 4k + b is bit k of byte b
const byteOfPair = (i: number) => 4 * (i >> 4) + (i & 3);
const shiftOfPair = (i: number) => 2 * ((i >> 2) & 3);

function writeNibbles(codes: Uint8Array, at: number, from: Int8Array, first: number): void {
  for (let i = 0; i < 16; i++) codes[at + i] = (from[first + i]! & 15) | ((from[first + i + 16]! & 15) << 4);
}

function readNibbles(codes: Uint8Array, at: number, to: Int8Array): void {
  for (let i = 0; i < 16; i++) {
    to[i] = codes[at + i]! & 15;
    to[i + 16] = codes[at + i]! >> 4;
  }
}

/** Two bits of each code, from bit `bit` on. */
function writePairs(codes: Uint8Array, at: number, from: Int8Array, first: number, bit: number): void {
  for (let i = 0; i < BLOCK; i++) codes[at + byteOfPair(i)]! |= ((from[first + i]! >> bit) & 3) << shiftOfPair(i);
}

function readPairs(codes: Uint8Array, at: number, to: Int8Array, bit: number): void {
  for (let i = 0; i < BLOCK; i++) to[i] = to[i]! | (((codes[at + byteOfPair(i)]! >> shiftOfPair(i)) & 3) << bit);
}

/** Bit `bit` of each code. */
function writeBits(codes: Uint8Array, at: number, from: Int8Array, first: number, bit: number): void {
  for (let i = 0; i < BLOCK; i++) codes[at + (i & 3)]! |= ((from[first + i]! >> bit) & 1) << (i >> 2);
}

function readBits(codes: Uint8Array, at: number, to: Int8Array, bit: number): void {
  for (let i = 0; i < BLOCK; i++) to[i] = to[i]! | (((codes[at + (i & 3)]! >> (i >> 2)) & 1) << bit);
}

/** Whether each block has bytes of its own besides what its unit shares. */
function hasOwn(form: ScaleForm): boolean {
  return form === 'super' || form === 'halves' || form === 'halves-minimum';
}

/** Byte at which a block's own scales start, and the halfword of its unit's common ones; of the row within its quad. */
function scalePlace({ scaleForm, scaleWords }: Planes, row: number, block: number): { own: number; common: number } {
  const { blocks, words } = SCALES[scaleForm];
  const unit = (row >> 2) * scaleWords + Math.floor(block / blocks) * words;
  const inQuad = row & 3;
  if (!hasOwn(scaleForm)) return { own: 0, common: 2 * unit + inQuad };
  return { own: 4 * unit + 8 * (block % blocks) + inQuad, common: 2 * (unit + 2 * blocks) + inQuad };
}

function widePlace({ scaleWords }: Planes, row: number, block: number): number {
  return (row >> 2) * scaleWords + 4 * block + (row & 3);
}

function writeScales(planes: Planes, row: number, block: number, from: TakenApart, group: number): void {
  const { scaleForm, bytes, halves, floats } = planes;
  const { own, common } = scalePlace(planes, row, block);
  const { scales, minima } = from;
  if (scaleForm === 'wide') {
    floats[widePlace(planes, row, block)] = from.wide;
    return;
  }
  halves[common] = from.d;
  if (SCALES[scaleForm].offset !== 'centre') halves[common + 4] = from.m;
  switch (scaleForm) {
    case 'super':
      bytes[own] = scales[group]!;
      bytes[own + 4] = minima[group]!;
      break;
    case 'halves':
      bytes[own] = scales[group]!;
      bytes[own + 4] = scales[group + 1]!;
      break;
    case 'halves-minimum':
      bytes[own] = scales[group]! | (minima[group]! << 4);
      bytes[own + 4] = scales[group + 1]! | (minima[group + 1]! << 4);
      break;
  }
}

function readScales(planes: Planes, row: number, block: number, to: TakenApart): void {
  const { scaleForm, bytes, halves, floats } = planes;
  const { own, common } = scalePlace(planes, row, block);
  const { scales, minima } = to;
  if (scaleForm === 'wide') {
    to.wide = floats[widePlace(planes, row, block)]!;
    return;
  }
  to.d = halves[common]!;
  if (SCALES[scaleForm].offset !== 'centre') to.m = halves[common + 4]!;
  switch (scaleForm) {
    case 'super':
      scales.fill(bytes[own]!, 0, 2);
      minima.fill(bytes[own + 4]!, 0, 2);
      break;
    case 'halves':
      scales[0] = bytes[own]!; // wraps to int8
      scales[1] = bytes[own + 4]!;
      break;
    case 'halves-minimum':
      for (let i = 0; i < 2; i++) {
        scales[i] = bytes[own + 4 * i]! & 15;
        minima[i] = bytes[own + 4 * i]! >> 4;
      }
      break;
  }
}
