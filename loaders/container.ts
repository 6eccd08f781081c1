/** What both kinds of weight files have in common: named tensors whose rows can be read. */
import { assert } from '../quant/errors.ts';
import { isFileType, rowBytes } from '../quant/file-types.ts';
import type { Source } from './types.ts';

export interface StoredTensor {
  /** As the file calls it; a FileType, or something that firstlight does not run. */
  readonly type: string;
  /** Outermost first: [rows, cols] for a matrix. */
  readonly shape: readonly number[];
  /** The input that each column belongs to, where they are not in order. */
  readonly order?: Uint32Array | undefined;
  /** Raw bytes of whole rows; only for types that are a FileType and shapes of one or two dimensions. */
  readRows(firstRow: number, rowCount: number, into?: Uint8Array): Promise<Uint8Array>;
  /** Bytes of the tensor as they lie in the file, whatever their type; only of tensors that lie there in one piece. */
  readBytes(start: number, length: number, into?: Uint8Array): Promise<Uint8Array>;
}

/** Whether a value from a file's header is a list of sizes: a shape, strides, offsets. */
export function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

/** A tensor that is put together while it is read, and has no bytes of its own. */
export function madeTensor(type: string, shape: readonly number[], readRows: StoredTensor['readRows']): StoredTensor {
  return {
    type,
    shape,
    readRows,
    async readBytes() {
      assert(false, 'a tensor that is put together has no bytes');
    },
  };
}

/** A tensor whose rows lie one after another from `offset` on. */
export function plainTensor(source: Source, type: string, shape: readonly number[], offset: number): StoredTensor {
  return {
    type,
    shape,
    readRows(firstRow, rowCount, into) {
      assert(isFileType(type), `rows of type ${type} have no known size`);
      const bytes = rowBytes(type, shape.at(-1) ?? 1);
      return source.read(offset + firstRow * bytes, rowCount * bytes, into);
    },
    readBytes: (start, length, into) => source.read(offset + start, length, into),
  };
}
