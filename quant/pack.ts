/** File bytes to the device layout of layout.ts, and back to floats. */
import { decodeBf16, encodeBf16 } from './bf16.ts';
import { asUint16 } from './bytes.ts';
import { assert } from './errors.ts';
import { decodeF16, encodeF16 } from './f16.ts';
import { FILE_TYPES, type FileType, rowBytes } from './file-types.ts';
import {
  BLOCK,
  blocksOf,
  type Format,
  isQuantised,
  type PackedRows,
  packedBytes,
  QUANTISED,
  rowWords,
} from './layout.ts';
import { planesOf, readBlock, writeBlock } from './planes.ts';
import { Q4_CODE_BYTES, quantiseQ4 } from './q4.ts';
import { Q8_CODE_BYTES, quantiseQ8 } from './q8.ts';
import { emptyBlock, weightsOf } from './taken-apart.ts';

/** From one block to the next in a row of a row quad's scales. */
const SCALES_STRIDE = 4;

/** The device format that holds a file type without loss. */
export function nativeFormat(type: FileType): Format {
  return FILE_TYPES[type].format;
}

/**
 * Brings whole rows into the device layout. Lossless, and without a detour through floats, when `format` is
 * nativeFormat(type); otherwise decodes and rounds (f16, bf16) or quantises (q8, q4: GGML's rules for Q8_0 and Q4_0).
 *
 * @param bytes rows * rowBytes(type, cols) bytes, at any alignment
 * @param rows any number; the layout is padded to a multiple of 32 with zeros, so a matrix packed in several calls needs
 *   multiples of 32 in all but the last
 * @param cols any number for float types; a multiple of the block length for others
 * @param format nativeFormat(type), or a float format, q8 or q4
 */
export function packRows(type: FileType, bytes: Uint8Array, rows: number, cols: number, format: Format): PackedRows {
  const bytesPerRow = rowBytes(type, cols);
  assert(bytes.length === rows * bytesPerRow, `${bytes.length} bytes are not ${rows} x ${cols} of ${type}`);
  const packed = emptyRows(format, rows, cols);
  if (format !== nativeFormat(type)) convertRows(type, bytes, packed);
  else if (type === 'Q4_0') splitBlocks(bytes, Q4_CODE_BYTES, packed);
  else if (type === 'Q8_0') splitBlocks(bytes, Q8_CODE_BYTES, packed);
  else if (isQuantised(format)) takeApart(type, bytes, packed);
  else copyRows(bytes, bytesPerRow, packed);
  return packed;
}

/** The weights that the device sees, [rows][cols] without padding. */
export function unpackRows(packed: PackedRows): Float32Array {
  const { rows, cols } = packed;
  const values = new Float32Array(rows * cols);
  const padded = new Float32Array(blocksOf(cols) * BLOCK);
  for (let row = 0; row < rows; row++) {
    decodeRow(packed, row, padded);
    values.set(padded.subarray(0, cols), row * cols);
  }
  return values;
}

function emptyRows(format: Format, rows: number, cols: number): PackedRows {
  const size = packedBytes(format, rows, cols);
  const codes = new Uint32Array(size.codes / 4);
  const scales = new Uint32Array(size.scales / 4);
  return { format, rows, cols, codes, scales };
}

/** Blocks of f16 scale, then codes, as in Q4_0 and Q8_0: moves them in halfwords, since their bytes are only 2-aligned. */
function splitBlocks(bytes: Uint8Array, codeBytes: number, packed: PackedRows): void {
  const from = asUint16(bytes);
  const codes = new Uint16Array(packed.codes.buffer);
  const scales = new Uint16Array(packed.scales.buffer);
  const blocks = blocksOf(packed.cols);
  const codeWords = codeBytes / 2;
  let read = 0;
  let write = 0;
  for (let row = 0; row < packed.rows; row++) {
    let scale = firstScale(row, blocks);
    for (let block = 0; block < blocks; block++) {
      scales[scale] = from[read++]!;
      scale += SCALES_STRIDE;
      for (const end = write + codeWords; write < end; ) codes[write++] = from[read++]!;
    }
  }
}

/** Index of the f16 scale of a row's first block; the row's other blocks follow at SCALES_STRIDE. */
function firstScale(row: number, blocks: number): number {
  return (row >> 2) * blocks * 4 + (row & 3);
}

/** Any other quantised type: block by block. */
function takeApart(type: FileType, bytes: Uint8Array, packed: PackedRows): void {
  const { take, blockLength } = FILE_TYPES[type];
  assert(take, `${type} has blocks`);
  const planes = planesOf(packed);
  const taken = emptyBlock();
  const perRow = packed.cols / blockLength;
  const parts = blockLength / BLOCK;
  const bytesPerRow = rowBytes(type, packed.cols);
  for (let row = 0; row < packed.rows; row++) {
    for (let i = 0; i < perRow; i++) {
      take(bytes, row * bytesPerRow, packed.cols, i, taken);
      for (let part = 0; part < parts; part++) writeBlock(planes, row, i * parts + part, taken, part);
    }
  }
}

function copyRows(bytes: Uint8Array, bytesPerRow: number, packed: PackedRows): void {
  const codes = new Uint8Array(packed.codes.buffer);
  const packedBytesPerRow = rowWords(packed.format, packed.cols).codes * 4;
  if (packedBytesPerRow === bytesPerRow) {
    codes.set(bytes);
    return;
  }
  for (let row = 0; row < packed.rows; row++) {
    codes.set(bytes.subarray(row * bytesPerRow, (row + 1) * bytesPerRow), row * packedBytesPerRow);
  }
}

function convertRows(type: FileType, bytes: Uint8Array, packed: PackedRows): void {
  const { rows, cols } = packed;
  const { decode } = FILE_TYPES[type];
  const bytesPerRow = rowBytes(type, cols);
  const padded = new Float32Array(blocksOf(cols) * BLOCK); // zeros from cols on
  const values = padded.subarray(0, cols);
  for (let row = 0; row < rows; row++) {
    decode(bytes.subarray(row * bytesPerRow, (row + 1) * bytesPerRow), values, cols);
    encodeRow(padded, packed, row);
  }
}

/** Rounds one padded row of floats into its place. */
function encodeRow(values: Float32Array, packed: PackedRows, row: number): void {
  const { codes, scales } = rowViews(packed, row);
  switch (packed.format) {
    case 'f32':
      new Float32Array(codes.buffer, codes.byteOffset, values.length).set(values);
      break;
    case 'f16':
      encodeF16(values, asUint16(codes));
      break;
    case 'bf16':
      encodeBf16(values, asUint16(codes));
      break;
    case 'q8':
      quantiseQ8(values, asInt8(codes), Q8_CODE_BYTES, scales, SCALES_STRIDE);
      break;
    case 'q4':
      quantiseQ4(values, codes, Q4_CODE_BYTES, scales, SCALES_STRIDE);
      break;
    default:
      assert(false, `nothing is quantised to ${packed.format}`);
  }
}

function decodeRow(packed: PackedRows, row: number, values: Float32Array): void {
  const { codes } = rowViews(packed, row);
  switch (packed.format) {
    case 'f32':
      values.set(new Float32Array(codes.buffer, codes.byteOffset, values.length));
      break;
    case 'f16':
      decodeF16(asUint16(codes), values);
      break;
    case 'bf16':
      decodeBf16(asUint16(codes), values);
      break;
    default: {
      const planes = planesOf(packed);
      const block = emptyBlock();
      for (let i = 0; i < blocksOf(packed.cols); i++) {
        readBlock(planes, row, i, block);
        weightsOf(block, QUANTISED[packed.format], values, i * BLOCK, BLOCK);
      }
    }
  }
}

/** The bytes of a row's codes and, of formats with an f16 scale a block, the scales from the row's first one on. */
function rowViews(packed: PackedRows, row: number): { codes: Uint8Array; scales: Uint16Array } {
  const { codes, scales } = packed;
  const bytesPerRow = rowWords(packed.format, packed.cols).codes * 4;
  return {
    codes: new Uint8Array(codes.buffer, codes.byteOffset + row * bytesPerRow, bytesPerRow),
    scales: new Uint16Array(scales.buffer, scales.byteOffset, scales.length * 2).subarray(
      firstScale(row, blocksOf(packed.cols)),
    ),
  };
}

function asInt8(bytes: Uint8Array): Int8Array {
  return new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length);
}
