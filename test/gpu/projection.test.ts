/** What q, k and v go through on their way to attention, against doubles: RoPE, head norms, the write to the cache. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { KvFormat } from '../../engine/kv-cache.ts';
import { encodeState } from '../../engine/state.ts';
import { decodeF16 } from '../../quant/f16.ts';
import { blocksOf, roundUp } from '../../quant/layout.ts';
import { packRows } from '../../quant/pack.ts';
import { kvBlockOf, writeBlocks } from '../blocks.ts';
import { deviceTests } from '../device.ts';
import { createRandom, floats, relativeError, runKernel } from '../kernel.ts';

const test = suite('projection');
const check = await deviceTests(test);

const CAPACITY = 48;
const stateOf = (position: number, columns: number) =>
  encodeState(
    Array.from({ length: columns }, (_, column) => ({ position: position + column, slot: 0 })),
    [],
    CAPACITY,
    false,
  );

/** cos, sin of random angles, [CAPACITY][pairs][2]. */
function randomTurns(random: ReturnType<typeof createRandom>, pairs: number): Float32Array {
  return Float32Array.from({ length: CAPACITY * pairs }, () => 2 * Math.PI * random.uniform()).reduce(
    (table, angle, i) => {
      table[2 * i] = Math.cos(angle);
      table[2 * i + 1] = Math.sin(angle);
      return table;
    },
    new Float32Array(CAPACITY * pairs * 2),
  );
}

/** Turns the first ropeDim elements of each head by the angles of its position. */
function turned(head: readonly number[], turns: Float32Array, position: number, ropeDim: number): number[] {
  return head.map((value, d) => {
    if (d >= ropeDim) return value;
    const at = (position * (ropeDim / 2) + Math.floor(d / 2)) * 2;
    const [cos, sin] = [turns[at] as number, turns[at + 1] as number];
    const partner = head[d ^ 1] as number;
    return value * cos + (d % 2 === 0 ? -partner : partner) * sin;
  });
}

function cacheValues(
  kv: KvFormat,
  headDim: number,
  elements: number,
  words: Uint32Array,
  scaleWords: Uint32Array | undefined,
): Float32Array {
  if (kv === 'f32') return floats(words);
  const values = new Float32Array(elements);
  if (kv === 'f16') {
    decodeF16(new Uint16Array(words.buffer, words.byteOffset, elements), values);
    return values;
  }
  const block = kvBlockOf(headDim);
  const codes = new Int8Array(words.buffer, words.byteOffset, elements);
  const scales = new Float32Array(elements / block);
  decodeF16(new Uint16Array(scaleWords!.buffer, scaleWords!.byteOffset, scales.length), scales);
  return values.map((_, i) => (codes[i] as number) * (scales[Math.floor(i / block)] as number));
}

interface Projection {
  readonly headDim: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly ropeDim: number;
}

/** Compares q and the cache that a kernel wrote with [columns][heads + 2 kvHeads][headDim] values before RoPE. */
function compareProjection(
  { headDim, heads, kvHeads, ropeDim }: Projection,
  before: (column: number, head: number) => readonly number[],
  turns: Float32Array,
  start: number,
  columns: number,
  q: Float32Array,
  cache: Float32Array,
  tolerance: number,
) {
  const stride = roundUp(headDim, 8);
  const padded = roundUp(heads * headDim, 32);
  const untouched = new Set(Array.from({ length: cache.length }, (_, i) => i));
  for (let column = 0; column < columns; column++) {
    const position = start + column;
    for (let head = 0; head < heads + 2 * kvHeads; head++) {
      const values = before(column, head);
      const isValue = head >= heads + kvHeads;
      const wanted = isValue ? values : turned(values, turns, position, ropeDim);
      if (head < heads) {
        const got = q.subarray(column * padded + head * headDim, column * padded + (head + 1) * headDim);
        assert.ok(relativeError(got, wanted) < 3e-6, `q, column ${column}, head ${head}`);
        continue;
      }
      const kvHead = head - heads - (isValue ? kvHeads : 0);
      const at = (((isValue ? 1 : 0) * kvHeads + kvHead) * CAPACITY + position) * stride;
      const got = cache.subarray(at, at + headDim);
      assert.ok(relativeError(got, wanted) < tolerance, `${isValue ? 'v' : 'k'}, column ${column}, head ${kvHead}`);
      for (let d = 0; d < headDim; d++) untouched.delete(at + d);
    }
  }
  for (const i of untouched) assert.is(cache[i], 0, `element ${i} of the cache belongs to no head of this pass`);
}

for (const [projection, kv] of [
  [{ headDim: 16, heads: 3, kvHeads: 1, ropeDim: 16 }, 'f16'],
  [{ headDim: 20, heads: 4, kvHeads: 2, ropeDim: 12 }, 'f32'],
  [{ headDim: 32, heads: 3, kvHeads: 3, ropeDim: 32 }, 'q8'],
  [{ headDim: 80, heads: 4, kvHeads: 2, ropeDim: 80 }, 'q8'],
  [{ headDim: 16, heads: 2, kvHeads: 2, ropeDim: 0 }, 'f32'],
] as const) {
  const what = projection.ropeDim > 0 ? 'turns' : 'does not turn';
  check(`the q, k, v product ${what} heads of ${projection.headDim} and writes a ${kv} cache`, async (device) => {
    const { headDim, heads, kvHeads, ropeDim } = projection;
    const random = createRandom(headDim);
    const cols = 70;
    const [columns, start] = [3, 5];
    const lengths = [heads * headDim, kvHeads * headDim, kvHeads * headDim];
    const offsets = [
      0,
      roundUp(lengths[0] as number, 32),
      roundUp(lengths[0] as number, 32) + roundUp(lengths[1] as number, 32),
    ];
    const rows = (offsets[2] as number) + roundUp(lengths[2] as number, 32);
    const isReal = (row: number) => offsets.some((offset, i) => row >= offset && row < offset + (lengths[i] as number));
    const weights = Float32Array.from({ length: rows * cols }, (_, i) =>
      isReal(Math.floor(i / cols)) ? random.normal() / Math.sqrt(cols) : 0,
    );
    const biases = Float32Array.from({ length: rows }, (_, row) => (isReal(row) ? random.normal() : 0));
    const packed = packRows('F32', new Uint8Array(weights.buffer), rows, cols, 'f32');
    const x = Float32Array.from({ length: columns * cols }, () => random.normal());
    const blocks = writeBlocks('f32', x, columns, cols);
    const turns = randomTurns(random, ropeDim / 2);
    const stride = roundUp(headDim, 8);
    const elements = 2 * kvHeads * CAPACITY * stride;
    const result = await runKernel(
      device,
      'gemv-rows',
      {
        TILE: 32,
        COLS: 1,
        OPAQUE: device.traits.software,
        DOT: 'f32-f32',
        BLOCKS: blocksOf(cols),
        FIRST_ROW: 0,
        OUTPUTS: false,
        NORM: 'rms',
        HIDDEN: cols,
        EPSILON: 1e-5,
        EPILOGUE: 'qkv',
        BIAS: 'add',
        KV: kv,
        ...(kv === 'q8' ? { KV_BLOCK: kvBlockOf(headDim) } : {}),
        KV_HEADS: kvHeads,
        HEAD_STRIDE: stride,
        HEAD_DIM: headDim,
        Q_ROWS: lengths[0] as number,
        KV_ROWS: lengths[1] as number,
        ...(ropeDim > 0 ? { ROPE: 'pairs', ROPE_DIM: ropeDim } : { ROPE: 'none' }),
        QUERY: 'f32',
      },
      {
        state: stateOf(start, columns),
        codes: packed.codes,
        x_codes: blocks.codes,
        x_meta: blocks.meta,
        biases,
        rope: turns,
        q: columns * (offsets[1] as number) * 4,
        kv: elements * { q8: 1, f16: 2, f32: 4 }[kv],
        kv_scales: (elements / 8) * 2, // where there are any
      },
      [rows / 32, columns],
    );
    const before = (column: number, head: number) => {
      const part = head < heads ? 0 : head < heads + kvHeads ? 1 : 2;
      const first = (offsets[part] as number) + (head - [0, heads, heads + kvHeads][part]!) * headDim;
      const input = x.subarray(column * cols, (column + 1) * cols);
      const factor = 1 / Math.sqrt(input.reduce((sum, value) => sum + value * value, 0) / cols + 1e-5);
      return Array.from({ length: headDim }, (_, d) => {
        let sum = 0;
        for (let i = 0; i < cols; i++) sum += (weights[(first + d) * cols + i] as number) * (input[i] as number);
        return sum * factor + (biases[first + d] as number);
      });
    };
    const cache = cacheValues(kv, headDim, elements, result.kv as Uint32Array, result.kv_scales);
    // q8: half a code of a block's largest, of which a random value is about 0.4
    const tolerance = { q8: 8e-3, f16: 1e-3, f32: 3e-6 }[kv];
    compareProjection(projection, before, turns, start, columns, floats(result.q as Uint32Array), cache, tolerance);
  });
}

for (const [scope, kv] of [
  ['head', 'f32'],
  ['head', 'q8'],
  ['all', 'f32'],
] as const)
  check(
    `head norms: RMS over ${scope === 'head' ? 'each head' : 'all'} of q and k, then RoPE; v as it is; ${kv} cache`,
    async (device) => {
      const projection = { headDim: 80, heads: 3, kvHeads: 2, ropeDim: 80 };
      const { headDim, heads, kvHeads } = projection;
      const random = createRandom(9);
      const [columns, start] = [2, 7];
      const padded = [roundUp(heads * headDim, 32), roundUp(kvHeads * headDim, 32)] as const;
      const width = padded[0] + 2 * padded[1];
      const raw = Float32Array.from({ length: columns * width }, () => 3 * random.normal());
      const gainStride = scope === 'head' ? roundUp(headDim, 32) : padded[0];
      const gains = Float32Array.from({ length: gainStride + padded[0] }, () => random.normal());
      const isPadding = (i: number) => {
        const inner = i % width;
        const [part, rows] = inner < padded[0] ? [inner, heads] : [(inner - padded[0]) % padded[1], kvHeads];
        return part >= rows * headDim;
      };
      for (let i = 0; i < raw.length; i++) if (isPadding(i)) raw[i] = 0;
      const squares = Float32Array.from({ length: raw.length / 32 }, (_, block) =>
        raw.subarray(block * 32, block * 32 + 32).reduce((sum, value) => sum + value * value, 0),
      );
      const turns = randomTurns(random, headDim / 2);
      const elements = 2 * kvHeads * CAPACITY * headDim;
      const result = await runKernel(
        device,
        'head-norm',
        {
          HEAD_DIM: headDim,
          Q_ROWS: heads * headDim,
          KV_ROWS: kvHeads * headDim,
          EPSILON: 1e-6,
          KV: kv,
          ...(kv === 'q8' ? { KV_BLOCK: kvBlockOf(headDim) } : {}),
          KV_HEADS: kvHeads,
          HEAD_STRIDE: headDim,
          ROPE: 'pairs',
          QUERY: 'f32',
          ROPE_DIM: headDim,
          SCOPE: scope,
          OPAQUE: device.traits.software,
        },
        {
          state: stateOf(start, columns),
          raw,
          squares,
          gains,
          rope: turns,
          q: columns * padded[0] * 4,
          kv: elements * 4,
          kv_scales: elements / 4,
        },
        [heads + 2 * kvHeads, columns],
      );
      const before = (column: number, head: number) => {
        const isValue = head >= heads + kvHeads;
        const part = head < heads ? 0 : isValue ? padded[0] + padded[1] : padded[0];
        const inner = head < heads ? head : head - heads - (isValue ? kvHeads : 0);
        const at = column * width + part + inner * headDim;
        const values = Array.from(raw.subarray(at, at + headDim));
        if (isValue) return values;
        const rows = head < heads ? heads : kvHeads;
        const first = column * width + part;
        const normed = scope === 'head' ? values : Array.from(raw.subarray(first, first + rows * headDim));
        const factor = 1 / Math.sqrt(normed.reduce((sum, value) => sum + value * value, 0) / normed.length + 1e-6);
        const gain = (head < heads ? 0 : gainStride) + (scope === 'head' ? 0 : inner * headDim);
        return values.map((value, d) => value * factor * (gains[gain + d] as number));
      };
      compareProjection(
        projection,
        before,
        turns,
        start,
        columns,
        floats(result.q as Uint32Array),
        cacheValues(kv, headDim, elements, result.kv as Uint32Array, result.kv_scales),
        kv === 'q8' ? 8e-3 : 3e-6,
      );
    },
  );

test.run();
