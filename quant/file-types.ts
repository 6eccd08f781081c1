/**
 * Number formats as they lie in model files, row by row, little-endian. A new one is an entry in FILE_TYPES and a decode
 * function; packRows can then bring it into any device format.
 */
import { decodeBf16 } from './bf16.ts';
import { asFloat32, asUint16 } from './bytes.ts';
import { assert } from './errors.ts';
import { decodeF16 } from './f16.ts';
import { BLOCK, type Format } from './layout.ts';
import { dequantiseQ4 } from './q4.ts';
import { dequantiseQ8 } from './q8.ts';

export type FileType = 'F32' | 'F16' | 'BF16' | 'Q8_0' | 'Q4_0';

export interface FileTypeTraits {
  /** Weights per block; rows consist of whole blocks. */
  readonly blockLength: number;
  readonly blockBytes: number;
  /** The device format that holds the weights best: exactly, for the types that exist today. */
  readonly format: Format;
  /** Writes the exact weights of whole blocks to `values`, which has room for just as many. */
  readonly decode: (bytes: Uint8Array, values: Float32Array) => void;
}

export const FILE_TYPES: Readonly<Record<FileType, FileTypeTraits>> = {
  F32: { blockLength: 1, blockBytes: 4, format: 'f32', decode: (bytes, values) => values.set(asFloat32(bytes)) },
  F16: { blockLength: 1, blockBytes: 2, format: 'f16', decode: (bytes, values) => decodeF16(asUint16(bytes), values) },
  BF16: {
    blockLength: 1,
    blockBytes: 2,
    format: 'bf16',
    decode: (bytes, values) => decodeBf16(asUint16(bytes), values),
  },
  Q8_0: { blockLength: BLOCK, blockBytes: 34, format: 'q8', decode: decodeQ8_0 },
  Q4_0: { blockLength: BLOCK, blockBytes: 18, format: 'q4', decode: decodeQ4_0 },
};

/** Whether a name, from a file for instance, is one of the types above. */
export function isFileType(name: string): name is FileType {
  return Object.hasOwn(FILE_TYPES, name);
}

/** Bytes of one row of `cols` weights; cols must be a multiple of the type's block length. */
export function rowBytes(type: FileType, cols: number): number {
  const { blockLength, blockBytes } = FILE_TYPES[type];
  assert(cols % blockLength === 0, `${cols} columns are no whole blocks of ${type}`);
  return (cols / blockLength) * blockBytes;
}

/** The exact weights, [rows][cols]. */
export function decodeRows(type: FileType, bytes: Uint8Array, rows: number, cols: number): Float32Array {
  assert(bytes.length === rows * rowBytes(type, cols), `${bytes.length} bytes are not ${rows} x ${cols} of ${type}`);
  const values = new Float32Array(rows * cols);
  FILE_TYPES[type].decode(bytes, values);
  return values;
}

/** A block: f16 scale, 32 int8 codes. */
function decodeQ8_0(bytes: Uint8Array, values: Float32Array): void {
  const codes = new Int8Array(bytes.buffer, bytes.byteOffset + 2, Math.max(0, bytes.length - 2));
  dequantiseQ8(codes, 34, asUint16(bytes), 17, values);
}

/** A block: f16 scale, 16 bytes of codes. */
function decodeQ4_0(bytes: Uint8Array, values: Float32Array): void {
  dequantiseQ4(bytes.subarray(2), 18, asUint16(bytes), 9, values);
}
