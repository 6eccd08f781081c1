/** Tiled matrix products against doubles: ragged numbers of columns, rows that do not fill a tile, K of any length. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../devices/types.ts';
import { codesSpec, weightSpec } from '../../engine/variants.ts';
import { FILE_TYPES } from '../../quant/file-types.ts';
import { blocksOf, type Format, isQuantised, roundUp } from '../../quant/layout.ts';
import { readBlocks } from '../blocks.ts';
import { deviceTests } from '../device.ts';
import { createRandom, floats, relativeError, runKernel } from '../kernel.ts';
import { FILE_TYPE, randomProduct, stateOf } from '../random-product.ts';

const test = suite('gemm');
const check = await deviceTests(test);

// arithmetic, format and columns of a tile: one format for each form of codes and of scales; CPU drivers compile for seconds
const CASES: readonly (readonly ['i8' | 'f32', Format, 32 | 64])[] = [
  ['i8', 'q4', 64],
  ['i8', 'q4', 32],
  ['i8', 'q8', 32],
  ['i8', 'q4k', 64],
  ['i8', 'q6k', 32],
  ['i8', 'q2k', 64],
  ['i8', 'q5m', 32],
  ['i8', 'iq4', 64],
  ['f32', 'f32', 64],
  ['f32', 'bf16', 64],
  ['f32', 'q4', 64],
  ['f32', 'q3k', 64],
];
// exact blocks: what is left is the order of f32 sums
const TOLERANCE = 3e-6;

/** Whether fma rounds once: not on SwiftShader. */
function fuses({ traits }: Device): boolean {
  return !traits.name.startsWith('SwiftShader');
}

function tileSpec(device: Device, arithmetic: 'i8' | 'f32', format: Format, COLS: 32 | 64 = 64) {
  const tiles = arithmetic === 'i8' && isQuantised(format);
  const own = tiles
    ? { TILES: 'i8', ...codesSpec(format), FUSED: fuses(device) }
    : { TILES: 'f32', ...weightSpec(format) };
  return { ...own, COLS, OPAQUE: device.traits.software };
}

for (const [arithmetic, format, step] of CASES) {
  check(`${arithmetic} x ${format}, tiles of ${step} columns: plain product with norm and bias`, async (device) => {
    if (arithmetic === 'i8' && !device.traits.packedDot) return;
    // lavapipe takes seconds for a kernel: there, what SwiftShader cannot do
    if (device.traits.name.startsWith('llvmpipe') && (format !== 'q4' || step !== 64)) return;
    const random = createRandom(format.length * 1000 + arithmetic.length);
    const { blockLength } = FILE_TYPES[FILE_TYPE[format] ?? 'F32'];
    const rows = 131 + random.below(60);
    const cols = FILE_TYPE[format] ? roundUp(200, blockLength) : 33 + random.below(100);
    const padded = roundUp(rows, 32);
    for (const columns of [1, 2, 31, step, step + 1, 127, 129]) {
      const { packed, blocks, truth, x } = randomProduct(random, { rows, cols, columns }, format, arithmetic);
      const biases = Float32Array.from({ length: padded }, () => random.normal());
      const { out } = await runKernel(
        device,
        'gemm-tiles',
        {
          ...tileSpec(device, arithmetic, format, step),
          ROWS: padded,
          BLOCKS: blocksOf(cols),
          FIRST_ROW: 0,
          OUTPUTS: false,
          TILE: 32,
          NORM: 'rms',
          HIDDEN: cols,
          EPSILON: 1e-5,
          EPILOGUE: 'plain',
          BIAS: 'add',
          OUT_ROWS: padded,
        },
        {
          state: stateOf(columns),
          codes: packed.codes,
          scales: packed.scales,
          x_codes: blocks.codes,
          x_meta: blocks.meta,
          biases,
          out: (columns + 1) * padded * 4,
        },
        [Math.ceil(padded / (arithmetic === 'i8' ? 128 : 64)), Math.ceil(columns / step)],
      );
      const got = floats(out as Uint32Array);
      for (let column = 0; column < columns; column++) {
        let squares = 0;
        for (let i = 0; i < cols; i++) squares += (x[column * cols + i] as number) ** 2;
        const factor = 1 / Math.sqrt(squares / cols + 1e-5);
        const wanted = Array.from(
          { length: rows },
          (_, row) => (truth[column * rows + row] as number) * factor + (biases[row] as number),
        );
        const error = relativeError(got.subarray(column * padded, column * padded + rows), wanted);
        assert.ok(error < TOLERANCE, `${rows} x ${cols}, column ${column} of ${columns}: relative error ${error}`);
      }
      for (const value of got.subarray(columns * padded))
        assert.is(value, 0, 'columns beyond the pass are not written');
    }
  });
}

for (const store of ['f32', 'i8', 'i8-lanes'] as const) {
  for (const gate of [false, true]) {
    check(`${gate ? 'gate' : 'residual'} epilogue leaves ${store} blocks`, async (device) => {
      if (store === 'i8-lanes' && (device.traits.subgroups?.min ?? 0) < 32) return;
      const form = store === 'i8-lanes' ? 'i8' : store;
      const random = createRandom(store.length + (gate ? 100 : 0));
      const outputs = 75;
      const columns = 53;
      const rows = gate ? 2 * roundUp(outputs, 32) : outputs;
      // rows that only pad a block are zero, as the loader leaves them
      const real = (row: number) => !gate || Math.floor(row / 64) * 32 + (row % 32) < outputs;
      const cols = 70;
      const { packed, blocks, truth } = randomProduct(random, { rows, cols, columns }, 'q8', 'f32', real);
      const Y_BLOCKS = blocksOf(outputs);
      const width = Y_BLOCKS * 32;
      const residual = Float32Array.from({ length: columns * width }, (_, i) =>
        i % width < outputs ? random.normal() : 0,
      );
      const gains = Float32Array.from({ length: width }, (_, i) => (i < outputs ? random.normal() : 0));
      const result = await runKernel(
        device,
        'gemm-tiles',
        {
          ...tileSpec(device, 'f32', 'q8'),
          ROWS: roundUp(rows, 32),
          BLOCKS: blocksOf(cols),
          FIRST_ROW: 0,
          OUTPUTS: false,
          NORM: 'none',
          STORE: store,
          Y_BLOCKS,
          ...(gate ? { TILE: 64, EPILOGUE: 'gate', ACTIVATION: 'silu' } : { TILE: 32, EPILOGUE: 'residual' }),
        },
        {
          state: stateOf(columns),
          codes: packed.codes,
          scales: packed.scales,
          x_codes: blocks.codes,
          x_meta: blocks.meta,
          residual,
          gains,
          y_codes: columns * Y_BLOCKS * 128,
          y_meta: columns * Y_BLOCKS * 16,
        },
        [Math.ceil(rows / 64), 1],
      );
      const got = readBlocks(
        form,
        result.y_codes as Uint32Array,
        floats(result.y_meta as Uint32Array),
        columns,
        outputs,
      );
      const wanted = new Float64Array(columns * outputs);
      for (let column = 0; column < columns; column++) {
        for (let i = 0; i < outputs; i++) {
          const at = column * rows + (gate ? Math.floor(i / 32) * 64 + (i % 32) : i);
          const y = truth[at] as number;
          wanted[column * outputs + i] = gate
            ? (y / (1 + Math.exp(-y))) * (truth[at + 32] as number)
            : ((residual[column * width + i] as number) + y) * (gains[i] as number);
        }
      }
      // one int8 step is 1/127 of the block's largest value, so up to half of that of each value
      const error = relativeError(got, wanted);
      assert.ok(error < (form === 'i8' ? 2e-2 : 3e-6), `relative error ${error}`);
    });
  }
}

check('many outputs at once: their columns are gathered', async (device) => {
  const random = createRandom(9);
  const { packed, blocks, truth } = randomProduct(random, { rows: 70, cols: 96, columns: 40 }, 'q8', 'f32');
  const outputs = Array.from({ length: 37 }, () => random.below(40));
  const { logits } = await runKernel(
    device,
    'gemm-tiles',
    {
      ...tileSpec(device, 'f32', 'q8'),
      ROWS: 96,
      BLOCKS: 3,
      FIRST_ROW: 0,
      OUTPUTS: true,
      TILE: 32,
      NORM: 'none',
      EPILOGUE: 'logits',
      CAPPED: 'none',
      VOCAB: 70,
    },
    {
      state: stateOf(40, outputs),
      codes: packed.codes,
      scales: packed.scales,
      x_codes: blocks.codes,
      x_meta: blocks.meta,
      logits: 37 * 96 * 4,
      peaks: 37 * 3 * 8,
    },
    [2, 1],
  );
  for (const [i, column] of outputs.entries()) {
    const got = floats(logits as Uint32Array).subarray(i * 96, i * 96 + 70);
    assert.ok(relativeError(got, truth.subarray(column * 70, (column + 1) * 70)) < TOLERANCE, `output ${i}`);
  }
});

test.run();
