/** Products and norms on matrix units against doubles; skipped on devices without them, as all CPU drivers are. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../devices/types.ts';
import { halvesSpec, hasMatrixUnits } from '../../engine/variants.ts';
import { FILE_TYPES } from '../../quant/file-types.ts';
import { blocksOf, type Format, QUANTISED, type QuantisedFormat, roundUp } from '../../quant/layout.ts';
import { unpackRows } from '../../quant/pack.ts';
import { writeBlocks } from '../blocks.ts';
import { testDevice } from '../device.ts';
import { createRandom, floats, relativeError, runKernel } from '../kernel.ts';
import { FILE_TYPE, randomProduct, stateOf } from '../random-product.ts';
import { readTiles, tileLength, writeTiles } from '../tiles.ts';

const test = suite('matrix units');
const device = await testDevice();
const units = device && hasMatrixUnits(device.traits);
let skipped = 0;
const check = (name: string, run: (device: Device) => Promise<void>) => {
  if (device && units) test(name, () => run(device));
  else skipped++;
};

const sizeOf = ({ traits }: Device) => (traits.subgroups?.min === traits.subgroups?.max ? 'given' : 'fixed');
// weights and inputs are rounded to f16, 11 bits each
const TOLERANCE = 6e-4;

for (const format of ['f16', ...(Object.keys(QUANTISED) as QuantisedFormat[])] as Format[]) {
  for (const COLUMNS of [32, 64]) {
    check(`${format}: plain product of ${COLUMNS} columns a subgroup`, async (device) => {
      const random = createRandom(format.length * 1000 + COLUMNS);
      const { blockLength } = FILE_TYPES[FILE_TYPE[format] ?? 'F32'];
      const rows = 131 + random.below(60);
      const cols = FILE_TYPE[format] ? roundUp(300, blockLength) : 33 + random.below(200);
      const padded = roundUp(rows, 32);
      const step = COLUMNS * 4;
      for (const columns of [1, 31, 64, 129, 300]) {
        const { packed, truth: _, x } = randomProduct(random, { rows, cols, columns }, format, 'f32');
        const seen = unpackRows(packed);
        const tiles = writeTiles(x, columns, cols);
        const biases = Float32Array.from({ length: padded }, () => random.normal());
        const { out } = await runKernel(
          device,
          'gemm-matrix',
          {
            ...halvesSpec(format),
            COLUMNS,
            SG: 32,
            THREADS: 128,
            SIZE: sizeOf(device),
            SHARED: false,
            OPAQUE: false,
            ROWS: padded,
            BLOCKS: blocksOf(cols),
            FIRST_ROW: 0,
            OUTPUTS: false,
            TILE: 32,
            EPILOGUE: 'plain',
            BIAS: 'add',
            OUT_ROWS: padded,
          },
          {
            state: stateOf(columns),
            codes: packed.codes,
            scales: packed.scales,
            x_codes: tiles.codes,
            biases,
            out: (columns + 1) * padded * 4,
          },
          [Math.ceil(padded / 64), Math.ceil(columns / step)],
        );
        const got = floats(out as Uint32Array);
        for (let column = 0; column < columns; column += 1 + (columns >> 4)) {
          const wanted = Array.from({ length: rows }, (_, row) => {
            let sum = biases[row] as number;
            for (let i = 0; i < cols; i++)
              sum += (seen[row * cols + i] as number) * (tiles.values[column * cols + i] as number);
            return sum;
          });
          const error = relativeError(got.subarray(column * padded, column * padded + rows), wanted);
          assert.ok(error < TOLERANCE, `${rows} x ${cols}, column ${column} of ${columns}: relative error ${error}`);
        }
        for (const value of got.subarray(columns * padded)) assert.is(value, 0, 'columns beyond are not written');
      }
    });
  }
}

check('the gate epilogue leaves tiles, rounded to int8 blocks when asked', async (device) => {
  const random = createRandom(3);
  const outputs = 75;
  const columns = 70;
  const cols = 70;
  const rows = 2 * roundUp(outputs, 32);
  const real = (row: number) => Math.floor(row / 64) * 32 + (row % 32) < outputs;
  const { packed, truth, x } = randomProduct(random, { rows, cols, columns }, 'q8', 'f32', real);
  for (const ROUNDED of [false, true]) {
    const result = await runKernel(
      device,
      'gemm-matrix',
      {
        ...halvesSpec('q8'),
        COLUMNS: 64,
        SG: 32,
        THREADS: 128,
        SIZE: sizeOf(device),
        SHARED: false,
        OPAQUE: false,
        ROWS: rows,
        BLOCKS: blocksOf(cols),
        FIRST_ROW: 0,
        OUTPUTS: false,
        TILE: 64,
        EPILOGUE: 'gate',
        ACTIVATION: 'silu',
        STORE: 'tile',
        ROUNDED,
        Y_BLOCKS: blocksOf(outputs),
      },
      {
        state: stateOf(columns),
        codes: packed.codes,
        scales: packed.scales,
        x_codes: writeTiles(x, columns, cols).codes,
        y_codes: tileLength(columns, outputs) * 2,
      },
      [Math.ceil(rows / 64), 1],
    );
    const wanted = new Float32Array(columns * outputs);
    for (let column = 0; column < columns; column++) {
      for (let i = 0; i < outputs; i++) {
        const at = column * rows + Math.floor(i / 32) * 64 + (i % 32);
        const gate = truth[at] as number;
        wanted[column * outputs + i] = (gate / (1 + Math.exp(-gate))) * (truth[at + 32] as number);
      }
    }
    const got = readTiles(result.y_codes as Uint32Array, columns, outputs);
    const error = relativeError(got, wanted);
    if (ROUNDED) {
      const blocks = writeBlocks('i8', wanted, columns, outputs).values;
      const toBlocks = relativeError(got, blocks);
      assert.ok(error > 1e-3 && error < 2e-2 && toBlocks < 3e-3, `relative errors ${error}, ${toBlocks}`);
    } else assert.ok(error < 1e-3, `relative error ${error}`);
  }
});

check('norm makes tiles of the residual stream', async (device) => {
  const random = createRandom(4);
  const columns = 67;
  const hidden = 330;
  const Y_BLOCKS = blocksOf(hidden);
  const width = Y_BLOCKS * 32;
  const residual = Float32Array.from({ length: columns * width }, (_, i) =>
    i % width < hidden ? 1e5 * random.normal() : 0,
  );
  const gains = Float32Array.from({ length: width }, () => random.normal());
  const result = await runKernel(
    device,
    'norm',
    {
      NORM: 'rms',
      HIDDEN: hidden,
      EPSILON: 1e-5,
      GAIN: 'vector',
      STORE: 'tile',
      ROUNDED: false,
      Y_BLOCKS,
      OPAQUE: false,
    },
    { state: stateOf(columns), residual, gains, y_codes: tileLength(columns, hidden) * 2 },
    [1, columns],
  );
  const wanted = Float64Array.from({ length: columns * hidden }, (_, i) => {
    const row = residual.subarray(Math.floor(i / hidden) * width, Math.floor(i / hidden) * width + hidden);
    const mean = row.reduce((sum, value) => sum + value * value, 0) / hidden;
    return ((row[i % hidden] as number) * (gains[i % hidden] as number)) / Math.sqrt(mean + 1e-5);
  });
  const error = relativeError(readTiles(result.y_codes as Uint32Array, columns, hidden), wanted);
  assert.ok(error < 4e-4, `relative error ${error}`);
});

if (skipped > 0) console.log(`matrix.test.ts: ${skipped} tests skipped, no matrix units`);
test.run();
