/** Products, norms and attention on matrix units against doubles; skipped on devices without them, as all CPU drivers are. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../devices/types.ts';
import { encodeState } from '../../engine/state.ts';
import { halvesSpec, hasMatrixUnits } from '../../engine/variants.ts';
import { decodeF16, encodeF16 } from '../../quant/f16.ts';
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

const CAPACITY = 512;

for (const { headDim, group, kvHeads, window, cap, steep } of [
  { headDim: 128, group: 1, kvHeads: 2, window: 0, cap: undefined, steep: 1 },
  { headDim: 64, group: 4, kvHeads: 2, window: 0, cap: undefined, steep: 6 }, // scores that grow by hundreds
  { headDim: 96, group: 2, kvHeads: 1, window: 70, cap: 20, steep: 1 },
  { headDim: 32, group: 1, kvHeads: 3, window: 0, cap: undefined, steep: 3 },
]) {
  check(`attention of heads of ${headDim}, ${group} to a kv head, window ${window}`, async (device) => {
    const random = createRandom(headDim + group);
    const heads = group * kvHeads;
    const width = heads * headDim;
    const scale = 1 / Math.sqrt(headDim);
    const elements = 2 * 2 * kvHeads * CAPACITY * headDim;
    const kv = Float32Array.from({ length: elements }, () => random.normal());
    const halves = new Uint16Array(elements);
    encodeF16(kv, halves);
    decodeF16(halves, kv);
    // passes of one sequence, and of parts of two
    const passes = [
      Array.from({ length: 150 }, (_, i) => ({ position: i, slot: 0 })),
      Array.from({ length: 64 }, (_, i) => ({ position: 201 + i, slot: 1 })),
      [
        ...Array.from({ length: 37 }, (_, i) => ({ position: 100 + i, slot: 1 })),
        ...Array.from({ length: 40 }, (_, i) => ({ position: 7 + i, slot: 0 })),
        { position: 300, slot: 1 },
      ],
    ];
    for (const columns of passes) {
      const q = Float32Array.from({ length: columns.length * width }, () => steep * random.normal());
      const scaled = new Uint16Array(q.length);
      encodeF16(
        q.map((value) => value * scale),
        scaled,
      );
      decodeF16(scaled, q);
      const result = await runKernel(
        device,
        'flash-matrix',
        {
          HEAD_DIM: headDim,
          HEAD_STRIDE: headDim,
          GROUP: group,
          KV_HEADS: kvHeads,
          Q_ROWS: width,
          WINDOW: window,
          ...(cap === undefined ? { CAPPED: 'none' } : { CAPPED: 'tanh', CAP: cap }),
          STORE: 'tile',
          ROUNDED: false,
          Y_BLOCKS: blocksOf(width),
          SG: 32,
          THREADS: 128,
          SIZE: sizeOf(device),
          OPAQUE: false,
        },
        {
          state: encodeState(columns, [], CAPACITY, false),
          q: new Uint32Array(scaled.buffer),
          kv: new Uint32Array(halves.buffer),
          y_codes: tileLength(columns.length, width) * 2,
        },
        [heads, Math.ceil(columns.length / 64)],
      );
      const wanted = new Float64Array(columns.length * width);
      for (const [column, { position, slot }] of columns.entries()) {
        const first = window > 0 ? Math.max(0, position + 1 - window) : 0;
        for (let head = 0; head < heads; head++) {
          const row = (which: number, at: number) =>
            (((slot * 2 + which) * kvHeads + Math.floor(head / group)) * CAPACITY + at) * headDim;
          const scores: number[] = [];
          for (let at = first; at <= position; at++) {
            let sum = 0;
            for (let d = 0; d < headDim; d++)
              sum += (q[column * width + head * headDim + d] as number) * (kv[row(0, at) + d] as number);
            scores.push(cap === undefined ? sum : cap * Math.tanh(sum / cap));
          }
          const best = Math.max(...scores);
          const total = scores.reduce((sum, score) => sum + Math.exp(score - best), 0);
          for (const [i, score] of scores.entries()) {
            const share = Math.exp(score - best) / total;
            for (let d = 0; d < headDim; d++)
              (wanted[column * width + head * headDim + d] as number) += share * (kv[row(1, first + i) + d] as number);
          }
        }
      }
      const error = relativeError(readTiles(result.y_codes as Uint32Array, columns.length, width), wanted);
      assert.ok(error < 1e-3, `${columns.length} columns: relative error ${error}`);
    }
  });
}

if (skipped > 0) console.log(`matrix.test.ts: ${skipped} tests skipped, no matrix units`);
test.run();
