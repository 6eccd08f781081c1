/** Matrix-vector products of every weight format and arithmetic against doubles, on random and odd shapes. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../devices/types.ts';
import { type Arithmetic, dotSpec } from '../../engine/variants.ts';
import { FILE_TYPES } from '../../quant/file-types.ts';
import { blocksOf, type Format, QUANTISED, type QuantisedFormat, roundUp } from '../../quant/layout.ts';
import { readBlocks } from '../blocks.ts';
import { deviceTests } from '../device.ts';
import { createRandom, floats, relativeError, runKernel } from '../kernel.ts';
import { FILE_TYPE, FORM, padColumns, randomProduct, stateOf } from '../random-product.ts';

const test = suite('gemv');
const check = await deviceTests(test);

const FORMATS: Readonly<Record<Arithmetic, readonly Format[]>> = {
  f32: ['f32', 'f16', 'bf16', ...(Object.keys(QUANTISED) as QuantisedFormat[])],
  i8: Object.keys(QUANTISED) as QuantisedFormat[],
  mix: Object.keys(QUANTISED) as QuantisedFormat[],
};
/** In all variants. Drivers for CPUs compile for a second or so, and formats share what is around their own files. */
const THOROUGH: ReadonlySet<Format> = new Set(['f32', 'q4', 'q8']);
// The inputs are exact in their blocks, so what is left is the order of f32 sums; the f16 pairs of `mix` carry 1024 along.
const TOLERANCE: Readonly<Record<Arithmetic, number>> = { f32: 2e-6, i8: 2e-6, mix: 1e-4 };

/** Spec of the variant under test, or undefined where the device cannot run it. */
function variants(
  device: Device,
  tile: number,
): { kernel: 'gemv-rows' | 'gemv-lanes'; spec: Record<string, number | string | boolean> }[] {
  const list: ReturnType<typeof variants> = [
    { kernel: 'gemv-rows', spec: { TILE: tile, OPAQUE: device.traits.software } },
  ];
  const { subgroups, subgroupSizeControl, limits } = device.traits;
  if (!subgroups) return list;
  for (const size of [4, 8, 16, 32, 64]) {
    if (size < subgroups.min || size > subgroups.max) continue;
    if (subgroups.min !== subgroups.max && !subgroupSizeControl) continue;
    for (const [rows, split] of [
      [2, 1],
      [8, 2],
    ] as const) {
      const threads = (tile / rows) * size * split;
      if (threads > limits.maxWorkgroupThreads) continue;
      const SIZE = subgroups.min === subgroups.max ? 'given' : 'fixed';
      list.push({
        kernel: 'gemv-lanes',
        spec: {
          TILE: tile,
          SG: size,
          THREADS: threads,
          K_SPLIT: split,
          SIZE,
          OPAQUE: device.traits.software,
        },
      });
    }
  }
  return list;
}

for (const [arithmetic, formats] of Object.entries(FORMATS) as [Arithmetic, Format[]][]) {
  for (const format of formats) {
    check(`${arithmetic} x ${format}: plain product with norm and bias`, async (device) => {
      if (arithmetic === 'mix' && !device.traits.f16) return;
      // lavapipe takes seconds for a kernel: there, what SwiftShader cannot do, in one format of halves and one without
      const seen = FILE_TYPE[format] && !(arithmetic === 'mix' && ['q4k', 'q6k'].includes(format));
      if (seen && device.traits.name.startsWith('llvmpipe')) return;
      const random = createRandom(format.length * 1000 + arithmetic.length);
      const { blockLength } = FILE_TYPES[FILE_TYPE[format] ?? 'F32'];
      const all = variants(device, 32);
      const few = arithmetic === 'mix' ? all.slice(1, 2) : all.slice(0, 2);
      const isThorough = THOROUGH.has(format);
      for (const { kernel, spec } of isThorough ? all : few) {
        for (const COLS of isThorough ? [1, 4] : [kernel === 'gemv-rows' ? 1 : 4]) {
          const shape = {
            rows: 1 + random.below(100),
            cols: FILE_TYPE[format] ? blockLength * (1 + random.below(300 / blockLength)) : 1 + random.below(300),
            columns: COLS === 1 ? 1 : 1 + random.below(6),
          };
          const { rows, cols, columns } = shape;
          const { packed, blocks, truth, x } = randomProduct(random, shape, format, FORM[arithmetic]);
          const padded = roundUp(rows, 32);
          const biases = Float32Array.from({ length: padded }, () => random.normal());
          const { out } = await runKernel(
            device,
            kernel,
            {
              ...spec,
              COLS,
              ...dotSpec(arithmetic, format),
              BLOCKS: blocksOf(cols),
              FIRST_ROW: 0,
              OUTPUTS: false,
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
              x_codes: padColumns(blocks.codes, columns, COLS),
              x_meta: padColumns(blocks.meta, columns, COLS),
              biases,
              out: roundUp(columns, COLS) * padded * 4,
            },
            [padded / 32, Math.ceil(columns / COLS)],
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
            assert.ok(
              error < TOLERANCE[arithmetic],
              `${kernel} ${JSON.stringify(spec)} ${JSON.stringify(shape)} column ${column}: relative error ${error}`,
            );
          }
          for (const value of got.subarray(columns * padded))
            assert.is(value, 0, 'columns beyond the pass are not written');
        }
      }
    });
  }
}

const activations = {
  silu: (x: number) => x / (1 + Math.exp(-x)),
  gelu: (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
};

for (const [store, activation] of [
  ['f32', 'silu'],
  ['f32', 'gelu'],
  ['f16', 'silu'],
  ['i8', 'silu'],
  ['i8-lanes', 'silu'],
] as const) {
  check(`residual and ${activation} gate epilogues leave ${store} blocks`, async (device) => {
    if (store === 'f16' && !device.traits.f16) return;
    if (store === 'i8-lanes' && (device.traits.subgroups?.min ?? 0) < 32) return;
    const form = store === 'i8-lanes' ? 'i8' : store;
    // one int8 step is 1/127 of the block's largest value, so up to half of that of each value; f16 has 11 bits
    const tolerance = { f32: 3e-6, f16: 6e-4, i8: 2e-2 }[form];
    const random = createRandom(77);
    // only gates, which are of 64 rows, have an activation
    for (const tile of activation === 'gelu' ? ([64] as const) : ([32, 64] as const)) {
      for (const { kernel, spec } of variants(device, tile)) {
        const gate = tile === 64;
        const outputs = 1 + random.below(90);
        const rows = gate ? 2 * roundUp(outputs, 32) : outputs;
        const shape = { rows, cols: 40 + random.below(100), columns: 3 };
        // rows that only pad a block are zero, as the loader leaves them
        const real = (row: number) => !gate || Math.floor(row / 64) * 32 + (row % 32) < outputs;
        const { packed, blocks, truth } = randomProduct(random, shape, 'q4', 'f32', real);
        const Y_BLOCKS = blocksOf(outputs);
        const residual = Float32Array.from({ length: 4 * Y_BLOCKS * 32 }, (_, i) =>
          i % (Y_BLOCKS * 32) < outputs ? random.normal() : 0,
        );
        const gains = Float32Array.from({ length: Y_BLOCKS * 32 }, (_, i) => (i < outputs ? random.normal() : 0));
        const common = {
          ...spec,
          COLS: 4,
          ...dotSpec('f32', 'q4'),
          BLOCKS: blocksOf(shape.cols),
          FIRST_ROW: 0,
          OUTPUTS: false,
          NORM: 'none',
          STORE: store,
          Y_BLOCKS,
        };
        const result = await runKernel(
          device,
          kernel,
          { ...common, ...(gate ? { EPILOGUE: 'gate', ACTIVATION: activation } : { EPILOGUE: 'residual' }) },
          {
            state: stateOf(3),
            codes: packed.codes,
            scales: packed.scales,
            x_codes: padColumns(blocks.codes, 3, 4),
            x_meta: padColumns(blocks.meta, 3, 4),
            residual,
            gains,
            y_codes: 4 * Y_BLOCKS * 128,
            y_meta: 4 * Y_BLOCKS * 16,
          },
          [Y_BLOCKS, 1],
        );
        const meta = floats(result.y_meta as Uint32Array);
        const got = readBlocks(form, result.y_codes as Uint32Array, meta, 3, outputs);
        const wanted = new Float64Array(3 * outputs);
        for (let column = 0; column < 3; column++) {
          let squares = 0;
          for (let i = 0; i < outputs; i++) {
            const place = column * outputs + i;
            if (gate) {
              const at = column * rows + Math.floor(i / 32) * 64 + (i % 32);
              const g = truth[at] as number;
              wanted[place] = activations[activation](g) * (truth[at + 32] as number);
            } else {
              const x = (residual[column * Y_BLOCKS * 32 + i] as number) + (truth[column * rows + i] as number);
              squares += x * x;
              wanted[place] = x * (gains[i] as number);
              const left = floats(result.residual as Uint32Array)[column * Y_BLOCKS * 32 + i] as number;
              assert.ok(Math.abs(left - x) < 1e-4, `residual of column ${column}, row ${i}: ${left} is not ${x}`);
            }
          }
          const told = meta.subarray(column * Y_BLOCKS * 4, (column + 1) * Y_BLOCKS * 4);
          let toldSquares = 0;
          for (let block = 0; block < Y_BLOCKS; block++) {
            toldSquares += told[block * 4 + 2] as number;
            const inBlock = got.subarray(
              column * outputs + block * 32,
              Math.min(column * outputs + block * 32 + 32, (column + 1) * outputs),
            );
            const sum = inBlock.reduce((a, b) => a + b, 0);
            assert.ok(
              Math.abs((told[block * 4 + 1] as number) - sum) < 1e-3 * (1 + Math.abs(sum)),
              'the sum beside a block is that of its values',
            );
          }
          assert.ok(
            Math.abs(toldSquares - squares) <= 1e-4 * (1 + squares),
            `sum of squares ${toldSquares} is not ${squares}`,
          );
        }
        const error = relativeError(got, wanted);
        assert.ok(
          error < tolerance,
          `${kernel} ${gate ? 'gate' : 'residual'} ${JSON.stringify(spec)}: relative error ${error}`,
        );
      }
    }
  });
}

check('a measured product leaves its rows and the sum of squares of every 32 of them', async (device) => {
  const random = createRandom(31);
  for (const { kernel, spec } of variants(device, 32)) {
    for (const [COLS, columns, COLUMNS_FIRST] of [
      [1, 2, false],
      [4, 6, kernel === 'gemv-lanes'],
    ] as const) {
      const shape = { rows: 33 + random.below(60), cols: 40 + random.below(100), columns };
      const { packed, blocks, truth } = randomProduct(random, shape, 'q8', 'f32');
      const padded = roundUp(shape.rows, 32);
      const product = {
        COLS,
        ...dotSpec('f32', 'q8'),
        BLOCKS: blocksOf(shape.cols),
        FIRST_ROW: 0,
        OUTPUTS: false,
        NORM: 'none',
      };
      const result = await runKernel(
        device,
        kernel,
        {
          ...spec,
          ...product,
          ...(COLUMNS_FIRST && { COLUMNS_FIRST }),
          EPILOGUE: 'measured',
          BIAS: 'none',
          OUT_ROWS: padded,
        },
        {
          state: stateOf(columns),
          codes: packed.codes,
          scales: packed.scales,
          x_codes: padColumns(blocks.codes, columns, COLS),
          x_meta: padColumns(blocks.meta, columns, COLS),
          out: columns * padded * 4,
          squares: (columns * padded) / 8,
        },
        COLUMNS_FIRST ? [Math.ceil(columns / COLS), padded / 32] : [padded / 32, Math.ceil(columns / COLS)],
      );
      const out = floats(result.out as Uint32Array);
      const squares = floats(result.squares as Uint32Array);
      for (let column = 0; column < columns; column++) {
        const wanted = truth.subarray(column * shape.rows, (column + 1) * shape.rows);
        const got = out.subarray(column * padded, column * padded + shape.rows);
        assert.ok(relativeError(got, wanted) < 2e-6, `${kernel}, column ${column}`);
        const sums = Array.from({ length: padded / 32 }, (_, block) =>
          wanted.subarray(block * 32, block * 32 + 32).reduce((sum, value) => sum + value * value, 0),
        );
        const told = squares.subarray((column * padded) / 32, ((column + 1) * padded) / 32);
        assert.ok(relativeError(told, sums) < 1e-5, `${kernel}, squares of column ${column}`);
      }
    }
  }
});

for (const cap of [undefined, 1.5])
  check(
    `a part of a matrix writes its own rows; logits of the last column, ${cap ? 'capped' : 'as they are'}`,
    async (device) => {
      const random = createRandom(5);
      const shape = { rows: 70, cols: 96, columns: 3 };
      const { packed, blocks, truth } = randomProduct(random, shape, 'q8', 'f32');
      const whole = packed.codes.length / 96; // words in a row
      const FIRST_ROW = 32;
      const { logits, peaks } = await runKernel(
        device,
        'gemv-rows',
        {
          TILE: 32,
          COLS: 1,
          OPAQUE: true,
          ...dotSpec('f32', 'q8'),
          BLOCKS: 3,
          FIRST_ROW,
          OUTPUTS: true,
          NORM: 'none',
          EPILOGUE: 'logits',
          VOCAB: 70,
          ...(cap ? { CAPPED: 'tanh', CAP: cap } : { CAPPED: 'none' }),
        },
        {
          state: stateOf(3, [2]),
          codes: packed.codes.slice(FIRST_ROW * whole),
          scales: packed.scales.slice((FIRST_ROW / 4) * 3 * 2),
          x_codes: blocks.codes,
          x_meta: blocks.meta,
          logits: 96 * 4,
          peaks: 3 * 8,
        },
        [2, 1],
      );
      const capped = (value: number) => (cap ? cap * Math.tanh(value / cap) : value);
      const wanted = truth.subarray(2 * 70 + FIRST_ROW, 3 * 70).map(capped);
      assert.ok(relativeError(floats(logits as Uint32Array).subarray(FIRST_ROW, 70), wanted) < 2e-6);
      assert.is(Math.max(...floats(logits as Uint32Array).subarray(0, FIRST_ROW)), 0);
      for (const block of [1, 2]) {
        const inBlock = truth.subarray(2 * 70 + block * 32, 2 * 70 + Math.min(70, block * 32 + 32));
        const best = inBlock.indexOf(Math.max(...inBlock)) + block * 32;
        assert.is((peaks as Uint32Array)[block * 2 + 1], best);
        assert.is(
          floats(peaks as Uint32Array)[block * 2],
          floats(logits as Uint32Array)[best],
          'the peak is that logit',
        );
      }
    },
  );

test.run();
