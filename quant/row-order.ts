/** Where rows of a tensor go on the device. */
import { ROW_BLOCK } from './layout.ts';

/** Where element `i` of a head with interleaved RoPE pairs stands in a head with half-split ones. */
export function halfSplitRow(i: number, ropeDim: number): number {
  return i >= ropeDim ? i : (i % 2) * (ropeDim / 2) + Math.floor(i / 2);
}

/** Where element `i` of a head with half-split pairs stands in a head with interleaved ones. */
function interleavedRow(i: number, ropeDim: number): number {
  if (i >= ropeDim) return i;
  return i < ropeDim / 2 ? 2 * i : 2 * (i - ropeDim / 2) + 1;
}

export interface RowPlace {
  /** Of the tensor's first row in its matrix. */
  readonly firstRow: number;
  /** 0: rows one after another; 1, 2: the first or second 32 rows of every 64. */
  readonly side: number;
  /** Rows of a head whose half-split pairs have become neighbours; 0: rows are in order. */
  readonly head: number;
  readonly ropeDim: number;
}

/** The matrix's row that holds a tensor's row. */
export function devicePlace({ firstRow, side, head, ropeDim }: RowPlace, row: number): number {
  const inHead = head === 0 ? 0 : row % head;
  const ordered = head === 0 ? row : row - inHead + interleavedRow(inHead, ropeDim);
  if (side === 0) return firstRow + ordered;
  const block = Math.floor(ordered / ROW_BLOCK);
  return (2 * block + side - 1) * ROW_BLOCK + (ordered % ROW_BLOCK);
}
