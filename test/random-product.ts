/** Random products for the tests of the kernels that multiply. */

import { randomBlocks } from '../engine/random-blocks.ts';
import { encodeState } from '../engine/state.ts';
import type { Arithmetic } from '../engine/variants.ts';
import type { FileType } from '../quant/file-types.ts';
import { type Format, roundUp } from '../quant/layout.ts';
import { packRows, unpackRows } from '../quant/pack.ts';
import { type BlockForm, writeBlocks } from './blocks.ts';
import type { createRandom } from './kernel.ts';

/** What files hold in the formats that nothing is quantised to. */
export const FILE_TYPE: Readonly<Partial<Record<Format, FileType>>> = {
  q4m: 'Q4_1',
  q4w: 'MLC4_WIDE',
  q4z32: 'GROUP4_32',
  q4z64: 'GROUP4_64',
  q4z128: 'GROUP4_128',
  q5: 'Q5_0',
  q5m: 'Q5_1',
  iq4: 'IQ4_NL',
  q2k: 'Q2_K',
  q3k: 'Q3_K',
  q4k: 'Q4_K',
  q5k: 'Q5_K',
  q6k: 'Q6_K',
  iq4k: 'IQ4_XS',
};
/** The form of input blocks that an arithmetic reads. */
export const FORM: Readonly<Record<Arithmetic, BlockForm>> = { f32: 'f32', i8: 'i8', mix: 'f16' };

export interface ProductSize {
  readonly rows: number;
  readonly cols: number;
  readonly columns: number;
}

/** Weights of a format, inputs with an outlier, and their product in doubles, [column][row]. Rows that are not `real` are zero. */
export function randomProduct(
  random: ReturnType<typeof createRandom>,
  { rows, cols, columns }: ProductSize,
  format: Format,
  form: BlockForm,
  real: (row: number) => boolean = () => true,
) {
  const type = FILE_TYPE[format] ?? 'F32';
  const weights = Float32Array.from({ length: rows * cols }, (_, i) =>
    real(Math.floor(i / cols)) ? random.normal() / Math.sqrt(cols) : 0,
  );
  const bytes =
    type === 'F32'
      ? new Uint8Array(weights.buffer)
      : randomBlocks(type, rows, cols, 1 / Math.sqrt(cols), () => random.uniform());
  const packed = packRows(type, bytes, rows, cols, format);
  const seen = unpackRows(packed);
  // one outlier a column, as real activations have
  const x = Float32Array.from({ length: columns * cols }, (_, i) => random.normal() * (i % cols === 3 ? 30 : 1));
  const blocks = writeBlocks(form, x, columns, cols);
  const truth = new Float64Array(columns * rows);
  for (let column = 0; column < columns; column++) {
    for (let row = 0; row < rows; row++) {
      let sum = 0;
      for (let i = 0; i < cols; i++)
        sum += (seen[row * cols + i] as number) * (blocks.values[column * cols + i] as number);
      truth[column * rows + row] = sum;
    }
  }
  return { packed, blocks, truth, x };
}

/** The state of a pass over the first positions of one sequence. */
export const stateOf = (columns: number, outputs: readonly number[] = [0]) =>
  encodeState(
    Array.from({ length: columns }, (_, position) => ({ position, slot: 0 })),
    outputs,
    64,
    false,
  );

/** Adds columns of zeros up to a multiple. */
export function padColumns<T extends Uint32Array | Float32Array>(data: T, columns: number, multiple: number): T {
  const padded =
    data instanceof Uint32Array
      ? new Uint32Array((data.length / columns) * roundUp(columns, multiple))
      : new Float32Array((data.length / columns) * roundUp(columns, multiple));
  padded.set(data);
  return padded as T;
}
