/** Attention, split attention, RoPE with the KV write, and head norms, against doubles. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../devices/types.ts';
import type { KvFormat } from '../../engine/kv-cache.ts';
import { encodeState } from '../../engine/state.ts';
import { chooseAttention, dotSpec } from '../../engine/variants.ts';
import { decodeF16, encodeF16 } from '../../quant/f16.ts';
import { blocksOf, roundUp } from '../../quant/layout.ts';
import { packRows } from '../../quant/pack.ts';
import { readBlocks, writeBlocks } from '../blocks.ts';
import { deviceTests } from '../device.ts';
import { createRandom, floats, relativeError, runKernel } from '../kernel.ts';

const test = suite('attention');
const check = await deviceTests(test);

const CAPACITY = 48;
const stateOf = (position: number, columns: number, slot = 0) =>
  encodeState(
    Array.from({ length: columns }, (_, column) => ({ position: position + column, slot })),
    [],
    CAPACITY,
    false,
  );

interface Heads {
  readonly headDim: number;
  readonly group: number;
  readonly kvHeads: number;
  readonly window: number;
  readonly kv: KvFormat;
  /** Gemma 2's soft cap, with a scale that is not 1 / sqrt(headDim). */
  readonly cap?: number;
}

const scaleOf = ({ headDim, cap }: Heads) => (cap === undefined ? 1 / Math.sqrt(headDim) : 0.07);

/** kv heads of one workgroup so that their outputs are whole blocks of 32, as the plan chooses them. */
function kvGroupOf({ headDim, group, kvHeads }: Heads): number {
  for (let count = 1; count < kvHeads; count++) if ((count * group * headDim) % 32 === 0) return count;
  return kvHeads;
}

/** A cache [k, v][kvHead][position][stride] with random rows and zero padding, and its values as the kernel sees them. */
function randomCache(random: ReturnType<typeof createRandom>, { headDim, kvHeads, kv }: Heads) {
  const stride = roundUp(headDim, 8);
  const values = new Float32Array(2 * kvHeads * CAPACITY * stride);
  for (let i = 0; i < values.length; i++) if (i % stride < headDim) values[i] = random.normal();
  if (kv === 'f32') return { stride, values, words: new Uint32Array(values.buffer), scales: undefined };
  if (kv === 'q8') {
    const block = kvBlockOf(headDim);
    const codes = Int8Array.from(values, () => random.below(255) - 127);
    const scales = new Uint16Array(values.length / block);
    encodeF16(
      Float32Array.from(scales, () => 0.02 * random.uniform()),
      scales,
    );
    const decoded = new Float32Array(scales.length);
    decodeF16(scales, decoded);
    for (const [i, code] of codes.entries()) values[i] = code * (decoded[Math.floor(i / block)] as number);
    return { stride, values, words: new Uint32Array(codes.buffer), scales: new Uint32Array(scales.buffer) };
  }
  const halves = new Uint16Array(values.length);
  encodeF16(values, halves);
  decodeF16(halves, values);
  return { stride, values, words: new Uint32Array(halves.buffer), scales: undefined };
}

/** Elements that share a scale of a q8 cache. */
function kvBlockOf(headDim: number): number {
  return [32, 16, 8].find((block) => headDim % block === 0) as number;
}

function expectedAttention(
  heads: Heads,
  q: Float32Array,
  cache: ReturnType<typeof randomCache>,
  position: number,
  columns: number,
) {
  const { headDim, group, kvHeads, window } = heads;
  const width = kvHeads * group * headDim;
  const padded = roundUp(width, 32);
  const out = new Float64Array(columns * width);
  const row = (which: number, head: number, at: number) => ((which * kvHeads + head) * CAPACITY + at) * cache.stride;
  for (let column = 0; column < columns; column++) {
    const last = position + column;
    const first = window > 0 ? Math.max(0, last + 1 - window) : 0;
    for (let head = 0; head < kvHeads * group; head++) {
      const shared = Math.floor(head / group);
      const scores: number[] = [];
      for (let at = first; at <= last; at++) {
        let sum = 0;
        for (let d = 0; d < headDim; d++)
          sum += (q[column * padded + head * headDim + d] as number) * (cache.values[row(0, shared, at) + d] as number);
        const score = sum * scaleOf(heads);
        scores.push(heads.cap === undefined ? score : heads.cap * Math.tanh(score / heads.cap));
      }
      const best = Math.max(...scores);
      const total = scores.reduce((sum, score) => sum + Math.exp(score - best), 0);
      for (const [i, score] of scores.entries()) {
        const share = Math.exp(score - best) / total;
        for (let d = 0; d < headDim; d++)
          (out[column * width + head * headDim + d] as number) +=
            share * (cache.values[row(1, shared, first + i) + d] as number);
      }
    }
  }
  return out;
}

interface Cut {
  readonly splits?: number;
  readonly partKeys?: number;
  readonly teams?: object;
}

/** Attention of random queries over a random cache, and what it should be. */
async function attend(
  device: Device,
  heads: Heads,
  position: number,
  columns: number,
  { splits = 1, partKeys = 8, teams = {} }: Cut,
) {
  const random = createRandom(heads.headDim * 100 + heads.group * 10 + heads.kvHeads);
  const width = heads.kvHeads * heads.group * heads.headDim;
  const padded = roundUp(width, 32);
  const q = Float32Array.from({ length: columns * padded }, (_, i) => (i % padded < width ? 2 * random.normal() : 0));
  const cache = randomCache(random, heads);
  const KV_GROUP = kvGroupOf(heads);
  const { THREADS, ...team } = {
    ...chooseAttention(device.traits, { ...heads, heads: heads.group * heads.kvHeads }),
    ...teams,
  };
  const shared = {
    HEAD_DIM: heads.headDim,
    GROUP: heads.group,
    KV_GROUP,
    KV_HEADS: heads.kvHeads,
    THREADS,
    OPAQUE: device.traits.software,
  };
  const parts = {
    HEADS: heads.kvHeads * heads.group,
    HEAD_STRIDE: cache.stride,
    SPLITS: splits,
    PART_KEYS: partKeys,
    WINDOW: heads.window,
  };
  const Y_BLOCKS = blocksOf(width);
  const blocks = { y_codes: columns * Y_BLOCKS * 128, y_meta: columns * Y_BLOCKS * 16 };
  // in the second slot of two
  const state = stateOf(position, columns, 1);
  const second = (words: Uint32Array) => {
    const both = new Uint32Array(2 * words.length).fill(0x3c003c00);
    both.set(words, words.length);
    return both;
  };
  const kv = {
    kv: second(cache.words),
    ...(cache.scales ? { kv_scales: second(cache.scales) } : {}),
  };
  const workgroups = Math.ceil(heads.kvHeads / KV_GROUP);
  const count = columns * heads.kvHeads * heads.group * splits;
  const unused = 0x7fc00000; // NaN: a part that nobody wrote must not be read
  const partials = new Uint32Array(count * cache.stride).fill(unused);
  const shares = new Uint32Array(count * 2).fill(unused);
  const attended = await runKernel(
    device,
    'attention',
    {
      ...shared,
      ...team,
      KV: heads.kv,
      ...(heads.kv === 'q8' ? { KV_BLOCK: kvBlockOf(heads.headDim) } : {}),
      Q_ROWS: width,
      HEAD_STRIDE: cache.stride,
      WINDOW: heads.window,
      SCALE: scaleOf(heads),
      ...(heads.cap === undefined ? { CAPPED: 'none' } : { CAPPED: 'tanh', CAP: heads.cap }),
      ...(splits === 1 ? { OUT: 'whole', STORE: 'f32', Y_BLOCKS } : { OUT: 'partial', ...parts }),
    },
    { state, q, ...kv, ...blocks, partials, shares },
    [workgroups, columns, splits],
  );
  const combine = (STORE: string) =>
    runKernel(
      device,
      'combine',
      { ...shared, ...parts, STORE, Y_BLOCKS },
      { state, partials: attended.partials!, shares: attended.shares!, ...blocks },
      [workgroups, columns],
    );
  return { attended, combine, state, parts, width, truth: expectedAttention(heads, q, cache, position, columns) };
}

/** The relative error of attention's outputs. */
async function runAttention(device: Device, heads: Heads, position: number, columns: number, cut: Cut = {}) {
  const { attended, combine, width, truth } = await attend(device, heads, position, columns, cut);
  const { y_codes, y_meta } = cut.splits ? await combine('f32') : attended;
  return relativeError(readBlocks('f32', y_codes!, floats(y_meta!), columns, width), truth);
}

// f32 softmax over a few dozen keys
const TOLERANCE = 3e-6;

const CASES: readonly Heads[] = [
  { headDim: 8, group: 6, kvHeads: 3, window: 0, kv: 'f32' },
  { headDim: 16, group: 5, kvHeads: 3, window: 0, kv: 'f16' },
  { headDim: 20, group: 3, kvHeads: 1, window: 6, kv: 'f32' },
  { headDim: 32, group: 4, kvHeads: 2, window: 0, kv: 'f16' },
  { headDim: 64, group: 8, kvHeads: 1, window: 0, kv: 'f16' },
  { headDim: 80, group: 1, kvHeads: 3, window: 17, kv: 'f16' },
  { headDim: 96, group: 7, kvHeads: 1, window: 0, kv: 'f32' },
  { headDim: 128, group: 2, kvHeads: 2, window: 0, kv: 'f16' },
  { headDim: 80, group: 2, kvHeads: 3, window: 9, kv: 'q8' },
  { headDim: 128, group: 4, kvHeads: 2, window: 0, kv: 'q8' },
  { headDim: 256, group: 2, kvHeads: 2, window: 9, kv: 'f16', cap: 1.5 },
];

for (const heads of CASES) {
  check(
    `heads of ${heads.headDim}, ${heads.group} to a kv head, window ${heads.window}, ${heads.kv} cache${heads.cap ? ', capped' : ''}`,
    async (device) => {
      for (const [position, columns] of [
        [0, 1],
        [40, 1],
        [3, 3],
      ] as const) {
        const error = await runAttention(device, heads, position, columns);
        assert.ok(error < TOLERANCE, `position ${position}, ${columns} columns: relative error ${error}`);
      }
    },
  );
}

check('without subgroups: one thread a key', async (device) => {
  const heads: Heads = { headDim: 32, group: 2, kvHeads: 2, window: 0, kv: 'f16' };
  const error = await runAttention(device, heads, 40, 1, { teams: { LANES: 1, SHARE: 'none', MERGED: 1 } });
  assert.ok(error < TOLERANCE, `relative error ${error}`);
});

check('several keys at once', async (device) => {
  const heads: Heads = { headDim: 32, group: 2, kvHeads: 2, window: 0, kv: 'f16' };
  for (const position of [0, 38]) {
    const error = await runAttention(device, heads, position, 1, { teams: { KEYS: 4, TOGETHER: 1 } });
    assert.ok(error < TOLERANCE, `position ${position}: relative error ${error}`);
  }
});

for (const heads of [CASES[1], CASES[5], CASES[8]] as Heads[]) {
  check(`heads of ${heads.headDim} split between workgroups, as many as the keys are worth`, async (device) => {
    for (const [position, splits, partKeys] of [
      [0, 8, 8],
      [5, 8, 2],
      [45, 8, 1],
      [45, 3, 32],
    ] as const) {
      const error = await runAttention(device, heads, position, 1, { splits, partKeys });
      assert.ok(error < TOLERANCE, `position ${position}: relative error ${error}`);
    }
  });
}

for (const heads of [CASES[4], CASES[7], { headDim: 8, group: 4, kvHeads: 9, window: 17, kv: 'f16' }] as Heads[]) {
  check(`a product joins the parts of heads of ${heads.headDim} as combine does`, async (device) => {
    const { subgroups, packedDot } = device.traits;
    if (!subgroups || subgroups.min !== subgroups.max || !packedDot) return;
    for (const position of [0, 6, 45]) {
      const { attended, combine, state, parts, width } = await attend(device, heads, position, 1, { splits: 4 });
      const blocks = await combine('i8');
      const random = createRandom(position);
      const weights = Float32Array.from({ length: 32 * width }, () => random.normal());
      const packed = packRows('F32', new Uint8Array(weights.buffer), 32, width, 'q4');
      const SG = subgroups.min;
      const rows = {
        TILE: 32,
        COLS: 1,
        SG,
        THREADS: SG * 8,
        K_SPLIT: 1,
        SIZE: 'given',
        FIRST_ROW: 0,
        OUT_ROWS: 32,
      };
      const product = {
        ...rows,
        BLOCKS: blocksOf(width),
        OUTPUTS: false,
        NORM: 'none',
        EPILOGUE: 'plain',
        BIAS: 'none',
      };
      const spec = { ...product, ...dotSpec('i8', 'q4'), OPAQUE: device.traits.software };
      const common = { state, codes: packed.codes, scales: packed.scales, out: 32 * 4 };
      const { y_codes, y_meta } = blocks;
      const apart = await runKernel(
        device,
        'gemv-lanes',
        spec,
        { ...common, x_codes: y_codes!, x_meta: y_meta! },
        [1, 1],
      );
      const { partials, shares } = attended;
      const joined = await runKernel(
        device,
        'gemv-lanes',
        { ...spec, ...parts, ACT: 'i8-joined', HEAD_DIM: heads.headDim },
        { ...common, partials: partials!, shares: shares! },
        [1, 1],
      );
      const error = relativeError(floats(joined.out!), floats(apart.out!));
      assert.ok(error < 1e-6, `position ${position}: relative error ${error}`);
    }
  });
}

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
