/** Attention of many columns at once against doubles, on matrix units where there are any, and without. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { sizeFile } from '../../engine/products.ts';
import { encodeState } from '../../engine/state.ts';
import { hasMatrixUnits } from '../../engine/variants.ts';
import { decodeF16, encodeF16 } from '../../quant/f16.ts';
import { blocksOf, roundUp } from '../../quant/layout.ts';
import { readBlocks } from '../blocks.ts';
import { deviceTests } from '../device.ts';
import { createRandom, floats, type Random, relativeError, runKernel } from '../kernel.ts';
import { readTiles, tileLength } from '../tiles.ts';

const test = suite('flash');
const check = await deviceTests(test);

const CAPACITY = 512;
const KV_BLOCK = 32;
/** Of a workgroup of both kernels; a plan's buffers have room for whole ones. */
const COLUMNS = 64;

/** A cache of so many elements as a kernel reads it, and the values that it holds. */
function randomCache(
  random: Random,
  elements: number,
  form: 'f16' | 'q8',
): { values: Float32Array; buffers: Record<string, Uint32Array> } {
  const values = Float32Array.from({ length: elements }, () => random.normal());
  const halves = new Uint16Array(elements);
  if (form === 'f16') {
    encodeF16(values, halves);
    decodeF16(halves, values);
    return { values, buffers: { kv: new Uint32Array(halves.buffer) } };
  }
  const codes = Int8Array.from(values, () => random.below(255) - 127);
  const scales = Float32Array.from({ length: elements / KV_BLOCK }, () => 0.02 * random.uniform());
  const scaleHalves = new Uint16Array(scales.length);
  encodeF16(scales, scaleHalves);
  decodeF16(scaleHalves, scales);
  for (const [i, code] of codes.entries()) values[i] = code * (scales[Math.floor(i / KV_BLOCK)] as number);
  const buffers = { kv: new Uint32Array(codes.buffer), kv_scales: new Uint32Array(scaleHalves.buffer) };
  return { values, buffers };
}

/** Queries are f16, weights of values too; matrix units also leave outputs in f16. */
const TOLERANCE = 1e-3;

/** `steep`: how far apart scores are. */
const CASES = [
  { headDim: 128, group: 1, kvHeads: 2, window: 0, cap: undefined, steep: 1, form: 'f16' },
  { headDim: 64, group: 4, kvHeads: 2, window: 0, cap: undefined, steep: 6, form: 'f16' }, // scores that grow by hundreds
  { headDim: 96, group: 2, kvHeads: 1, window: 70, cap: 20, steep: 1, form: 'f16' },
  { headDim: 32, group: 1, kvHeads: 3, window: 0, cap: undefined, steep: 3, form: 'f16' },
  { headDim: 64, group: 2, kvHeads: 2, window: 0, cap: undefined, steep: 1, form: 'q8' },
] as const;

for (const { headDim, group, kvHeads, window, cap, steep, form } of CASES)
  for (const kernel of ['flash-matrix', 'flash-tiles'] as const) {
    check(`${kernel}: heads of ${headDim}, ${group} to a kv head, window ${window}, ${form} cache`, async (device) => {
      const matrix = kernel === 'flash-matrix';
      if (matrix ? form === 'q8' || !hasMatrixUnits(device.traits) : headDim === 32) return;
      if (device.traits.name.startsWith('llvmpipe') && (headDim !== 64 || form === 'q8')) return; // it compiles for seconds
      const random = createRandom(headDim + group);
      const heads = group * kvHeads;
      const width = heads * headDim;
      const scale = 1 / Math.sqrt(headDim);
      const elements = 2 * 2 * kvHeads * CAPACITY * headDim;
      const { values: kv, buffers } = randomCache(random, elements, form);
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
        // matrix units load whole tiles, also where fewer columns are left
        const q = new Float32Array(roundUp(columns.length, COLUMNS) * width);
        for (let i = 0; i < columns.length * width; i++) q[i] = steep * random.normal() * scale;
        const scaled = new Uint16Array(q.length);
        encodeF16(q, scaled);
        decodeF16(scaled, q);
        const result = await runKernel(
          device,
          kernel,
          {
            HEAD_DIM: headDim,
            HEAD_STRIDE: headDim,
            GROUP: group,
            KV_HEADS: kvHeads,
            Q_ROWS: width,
            WINDOW: window,
            ...(cap === undefined ? { CAPPED: 'none' } : { CAPPED: 'tanh', CAP: cap }),
            ...(matrix
              ? { STORE: 'tile', ROUNDED: false, SG: 32, THREADS: 128, SIZE: sizeFile(device.traits) }
              : { STORE: 'f32', KV: form, ...(form === 'q8' && { KV_BLOCK }) }),
            Y_BLOCKS: blocksOf(width),
            OPAQUE: device.traits.software,
          },
          {
            state: encodeState(columns, [], CAPACITY, false),
            q: new Uint32Array(scaled.buffer),
            ...buffers,
            y_codes: matrix ? tileLength(columns.length, width) * 2 : columns.length * width * 4,
            y_meta: columns.length * blocksOf(width) * 16,
          },
          [heads, Math.ceil(columns.length / COLUMNS)],
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
                (wanted[column * width + head * headDim + d] as number) +=
                  share * (kv[row(1, first + i) + d] as number);
            }
          }
        }
        const { y_codes, y_meta } = result;
        const got = matrix
          ? readTiles(y_codes as Uint32Array, columns.length, width)
          : readBlocks('f32', y_codes as Uint32Array, floats(y_meta as Uint32Array), columns.length, width);
        const error = relativeError(got, wanted);
        assert.ok(error < TOLERANCE, `${columns.length} columns: relative error ${error}`);
      }
    });
  }

test.run();
