/**
 * Number formats as they lie in model files, row by row, little-endian. A new one is an entry in FILE_TYPES and a function
 * that takes a block apart; packRows can then bring it into its device format.
 */
import { decodeBf16 } from './bf16.ts';
import { asFloat32, asUint16 } from './bytes.ts';
import { assert } from './errors.ts';
import { decodeF16 } from './f16.ts';
import { takeIQ4_XS, takeQ2_K, takeQ3_K, takeQ4_K, takeQ5_K, takeQ6_K } from './k-quants.ts';
import { type Format, QUANTISED, type QuantisedFormat } from './layout.ts';
import { takeGroup4, takeMlc4, takeMlc4Wide } from './row-quants.ts';
import { takeQ4_0, takeQ4_1, takeQ5_0, takeQ5_1, takeQ8_0 } from './simple-quants.ts';
import { emptyBlock, type TakenApart, weightsOf } from './taken-apart.ts';

export type FileType =
  | ('F32' | 'F16' | 'BF16')
  | ('Q4_0' | 'Q4_1' | 'Q5_0' | 'Q5_1' | 'Q8_0')
  | ('Q2_K' | 'Q3_K' | 'Q4_K' | 'Q5_K' | 'Q6_K')
  | ('IQ4_NL' | 'IQ4_XS')
  | ('MLC4' | 'MLC4_WIDE')
  | ('GROUP4_32' | 'GROUP4_64' | 'GROUP4_128');

export interface FileTypeTraits {
  /** Weights per block; rows consist of whole blocks. */
  readonly blockLength: number;
  readonly blockBytes: number;
  /** A row is planes that a loader has put together: no file has the type under this name. */
  readonly planes?: true;
  /** The device format that holds the weights without loss. */
  readonly format: Format;
  /** Takes the `nth` block of the row of `cols` weights that starts at a byte apart; undefined for floats. */
  readonly take?: (bytes: Uint8Array, row: number, cols: number, nth: number, block: TakenApart) => void;
  /** Writes the exact weights of whole rows of `cols` to `values`, which has room for just as many. */
  readonly decode: (bytes: Uint8Array, values: Float32Array, cols: number) => void;
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
  Q4_0: blocks(32, 18, 'q4', takeQ4_0),
  Q4_1: blocks(32, 20, 'q4m', takeQ4_1),
  Q5_0: blocks(32, 22, 'q5', takeQ5_0),
  Q5_1: blocks(32, 24, 'q5m', takeQ5_1),
  Q8_0: blocks(32, 34, 'q8', takeQ8_0),
  Q2_K: blocks(256, 84, 'q2k', takeQ2_K),
  Q3_K: blocks(256, 110, 'q3k', takeQ3_K),
  Q4_K: blocks(256, 144, 'q4k', takeQ4_K),
  Q5_K: blocks(256, 176, 'q5k', takeQ5_K),
  Q6_K: blocks(256, 210, 'q6k', takeQ6_K),
  IQ4_NL: blocks(32, 18, 'iq4', takeQ4_0),
  IQ4_XS: blocks(256, 136, 'iq4k', takeIQ4_XS),
  MLC4: planes(32, 18, 'q4', takeMlc4),
  MLC4_WIDE: planes(32, 20, 'q4w', takeMlc4Wide),
  GROUP4_32: planes(32, 20, 'q4z32', takeGroup4(32)),
  GROUP4_64: planes(64, 36, 'q4z64', takeGroup4(64)),
  GROUP4_128: planes(128, 68, 'q4z128', takeGroup4(128)),
};

/** A type of blocks that stand by themselves. */
function blocks(
  blockLength: number,
  blockBytes: number,
  format: QuantisedFormat,
  take: (bytes: Uint8Array, at: number, block: TakenApart) => void,
): FileTypeTraits {
  return quantised(blockLength, blockBytes, format, (bytes, row, _cols, nth, block) =>
    take(bytes, row + nth * blockBytes, block),
  );
}

function planes(...traits: Parameters<typeof quantised>): FileTypeTraits {
  return { ...quantised(...traits), planes: true };
}

function quantised(
  blockLength: number,
  blockBytes: number,
  format: QuantisedFormat,
  take: NonNullable<FileTypeTraits['take']>,
): FileTypeTraits {
  const block = emptyBlock();
  return {
    blockLength,
    blockBytes,
    format,
    take,
    decode(bytes, values, cols) {
      const perRow = cols / blockLength;
      for (let row = 0, first = 0; row < bytes.length; row += perRow * blockBytes) {
        for (let nth = 0; nth < perRow; nth++, first += blockLength) {
          take(bytes, row, cols, nth, block);
          weightsOf(block, QUANTISED[format], values, first, blockLength);
        }
      }
    },
  };
}

/** The types that files name. */
export const NAMED_TYPES = (Object.keys(FILE_TYPES) as FileType[]).filter((type) => !FILE_TYPES[type].planes);

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
  FILE_TYPES[type].decode(bytes, values, cols);
  return values;
}
