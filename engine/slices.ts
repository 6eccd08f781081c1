/** Cuts the weights of a model into pieces that fit host memory, and brings pieces into the device layout. */
import type { Checkpoint } from '../loaders/types.ts';
import { assert } from '../quant/errors.ts';
import { rowBytes } from '../quant/file-types.ts';
import { type Format, isQuantised, ROW_BLOCK, roundUp, rowWords } from '../quant/layout.ts';
import { nativeFormat, packRows } from '../quant/pack.ts';
import { halfSplitRow } from '../quant/row-order.ts';
import type { Matrix, Part, Section } from './weights.ts';

/** Bytes of one slice, as they lie in the file or, decoded, as f32: what is in host memory for it. */
export const SLICE_BYTES = 4 << 20;

/** A run of rows of one section on its way into a part. */
export interface Slice {
  readonly matrix: Matrix;
  readonly part: Part;
  readonly section: Section;
  /** Row of the section. */
  readonly row: number;
  readonly count: number;
  /** Row of the part, before alternating. */
  readonly target: number;
  /** Where the file has the rows as the device wants them: this piece of them, and nothing of the numbers above. */
  readonly ready?: ReadyPiece;
}

/** Whether the GPU takes the file's blocks apart by itself. */
export function isRepacked({ section, part }: Slice): boolean {
  return isQuantised(part.format) && nativeFormat(section.tensor.type) === part.format;
}

/**
 * Whether the file has a matrix as the device wants it. All of its sections: where only some have the format that is wanted, rows
 * that alternate may lie one after another.
 */
function isReady({ sections, parts, alternate }: Matrix): boolean {
  return sections.every(({ tensor, firstRow, rows }) =>
    parts
      .filter((part) => alternate || (firstRow < part.firstRow + part.rows && part.firstRow < firstRow + rows))
      .every((part) => part.format === tensor.format),
  );
}

/** Whether a slice is read straight into memory that the GPU sees. */
export function isMapped(slice: Slice): boolean {
  return slice.ready !== undefined || isRepacked(slice);
}

/** Whether the CPU has to make another format than the file's of it, which takes long. */
export function isConverted(slice: Slice): boolean {
  return !isMapped(slice) && nativeFormat(slice.section.tensor.type) !== slice.part.format;
}

/** A piece of one plane of a part that the file has ready. */
export interface ReadyPiece {
  readonly plane: 'codes' | 'scales';
  /** In the part's plane. */
  readonly offset: number;
  readonly bytes: number;
}

function readySlices(matrix: Matrix): Slice[] {
  const slices: Slice[] = [];
  for (const part of matrix.parts) {
    const words = rowWords(part.format, matrix.cols);
    for (const [plane, total] of [
      ['codes', part.rows * words.codes * 4],
      ['scales', part.rows * words.scales],
    ] as const) {
      for (let offset = 0; offset < total; offset += SLICE_BYTES) {
        const ready = { plane, offset, bytes: Math.min(SLICE_BYTES, total - offset) };
        slices.push({ matrix, part, section: matrix.sections[0]!, row: 0, count: 0, target: 0, ready });
      }
    }
  }
  return slices;
}

/** The slices of a matrix, as its parts need them. */
export function slicesOf(matrix: Matrix): Slice[] {
  if (isReady(matrix)) return readySlices(matrix);
  const list: Slice[] = [];
  for (const part of matrix.parts) {
    for (const section of matrix.sections) {
      // an alternating matrix has both sections side by side: its parts count their rows together
      const offset = matrix.alternate ? 0 : section.firstRow;
      const scale = matrix.alternate ? 2 : 1;
      const padded = roundUp(section.rows, ROW_BLOCK);
      const firstRow = Math.max(offset, part.firstRow / scale) - offset;
      const endRow = Math.min(offset + padded, (part.firstRow + part.rows) / scale) - offset;
      // whole heads, so that their rows can be reordered within a slice
      const unit = section.interleaveHead > 0 ? leastCommonMultiple(section.interleaveHead, ROW_BLOCK) : ROW_BLOCK;
      const fileBytes = rowBytes(section.tensor.type, matrix.cols);
      const rowSize = nativeFormat(section.tensor.type) === part.format ? fileBytes : 4 * matrix.cols;
      const most =
        Math.max(1, Math.floor(SLICE_BYTES / (rowSize * unit)) - (section.interleaveHead > 0 ? 1 : 0)) * unit;
      for (let row = firstRow; row < endRow; ) {
        const next = Math.min(endRow, Math.floor(row / unit) * unit + most);
        const count = Math.min(next, section.rows) - row;
        if (count > 0) list.push({ matrix, part, section, row, count, target: offset + row - part.firstRow / scale });
        row = next;
      }
    }
  }
  return list;
}

/** The rows to read so that all heads of a slice are whole. */
export function wholeHeads({ section, row, count }: Slice): {
  readonly first: number;
  readonly rows: number;
  readonly lead: number;
} {
  if (section.interleaveHead === 0) return { first: row, rows: count, lead: 0 };
  const first = row - (row % section.interleaveHead);
  return { first, rows: roundUp(row + count, section.interleaveHead) - first, lead: row - first };
}

/** What goes where in a part's planes. */
export interface PackedPiece {
  readonly plane: 'codes' | 'scales';
  /** Bytes. */
  readonly offset: number;
  readonly data: Uint32Array;
}

/** Reads a slice and brings it into the device layout. */
export async function packedPieces(checkpoint: Checkpoint, slice: Slice): Promise<readonly PackedPiece[]> {
  const { matrix, part, section, count, target, ready } = slice;
  if (ready) {
    assert(checkpoint.packed, 'only files that are packed have slices ready');
    const { plane, offset, bytes } = ready;
    const data = await checkpoint.packed.read(matrix.name, plane, part.firstRow, offset, bytes, new Uint8Array(bytes));
    return [{ plane, offset, data: new Uint32Array(data.buffer, data.byteOffset, bytes >> 2) }];
  }
  const packed = await readPacked(checkpoint, slice, part.format);
  const words = rowWords(part.format, matrix.cols);
  const pieces: PackedPiece[] = [];
  const add = (plane: PackedPiece['plane'], data: Uint32Array, wordsEach: number) => {
    if (data.length === 0) return;
    if (!matrix.alternate) {
      pieces.push({ plane, offset: target * wordsEach * 4, data });
      return;
    }
    const side = matrix.sections.indexOf(section) * ROW_BLOCK;
    for (let row = 0; row < roundUp(count, ROW_BLOCK); row += ROW_BLOCK)
      pieces.push({
        plane,
        offset: (2 * (target + row) + side) * wordsEach * 4,
        data: data.subarray(row * wordsEach, (row + ROW_BLOCK) * wordsEach),
      });
  };
  add('codes', packed.codes, words.codes);
  add('scales', packed.scales, words.scales / 4);
  return pieces;
}

/** Reads a slice in the device format, reordering RoPE pairs where the section asks for it. */
async function readPacked(checkpoint: Checkpoint, slice: Slice, format: Format) {
  const { section, count } = slice;
  const { tensor, interleaveHead, ropeDim } = section;
  const { first, rows, lead } = wholeHeads(slice);
  const bytes = await checkpoint.readRows(tensor.name, first, rows);
  if (interleaveHead === 0) return packRows(tensor.type, bytes, count, tensor.cols, format);
  const size = bytes.length / rows;
  const ordered = new Uint8Array(count * size);
  for (let i = 0; i < count; i++) {
    const at = lead + i;
    const head = at - (at % interleaveHead);
    const from = head + halfSplitRow(at - head, ropeDim);
    ordered.set(bytes.subarray(from * size, (from + 1) * size), i * size);
  }
  return packRows(tensor.type, ordered, count, tensor.cols, format);
}

function leastCommonMultiple(a: number, b: number): number {
  let [x, y] = [a, b];
  while (y > 0) [x, y] = [y, x % y];
  return (a / x) * b;
}
