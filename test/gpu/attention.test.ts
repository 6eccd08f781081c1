/** Attention, whole and in parts, against doubles. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../devices/types.ts';
import type { KvFormat } from '../../engine/kv-cache.ts';
import { encodeState } from '../../engine/state.ts';
import { chooseAttention, dotSpec } from '../../engine/variants.ts';
import { chooseProjected } from '../../engine/variants-merged.ts';
import { decodeF16, encodeF16 } from '../../quant/f16.ts';
import { blocksOf, type Format, roundUp } from '../../quant/layout.ts';
import { packRows, unpackRows } from '../../quant/pack.ts';
import { kvBlockOf, readBlocks, readFixed, writeBlocks, writeFixed } from '../blocks.ts';
import { deviceTests, NOT_FOR_DEVICE, skipUnless, testDevice } from '../device.ts';
import { createRandom, floats, relativeError, runKernel } from '../kernel.ts';
import { randomProduct } from '../random-product.ts';

const test = suite('attention');
const check = await deviceTests(test);

/** Several turns of the largest workgroups. */
const CAPACITY = 400;
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
  const view = {
    HEAD_DIM: heads.headDim,
    KV_HEADS: heads.kvHeads,
    KV: heads.kv,
    ...(heads.kv === 'q8' ? { KV_BLOCK: kvBlockOf(heads.headDim) } : {}),
    Q_ROWS: width,
    HEAD_STRIDE: cache.stride,
    WINDOW: heads.window,
    SCALE: scaleOf(heads),
    ...(heads.cap === undefined ? { CAPPED: 'none' } : { CAPPED: 'tanh', CAP: heads.cap }),
    OPAQUE: device.traits.software,
  };
  const inputs = { state, q, ...kv };
  const attended = await runKernel(
    device,
    'attention',
    {
      ...shared,
      ...team,
      ...view,
      ...(splits === 1 ? { OUT: 'whole', STORE: 'f32', Y_BLOCKS } : { OUT: 'partial', ...parts }),
    },
    { ...inputs, ...blocks, partials, shares },
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
  const truth = expectedAttention(heads, q, cache, position, columns);
  return { attended, combine, inputs, view, state, parts, width, truth };
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
        [390, 1],
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
  const error = await runAttention(device, heads, 40, 1, {
    teams: { LANES: 1, SHARE: 'none', MERGED: 1, THREADS: 32 }, // 32 teams, as much as workgroup memory holds
  });
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

const traits = (await testDevice())?.traits;
const projects = traits === undefined || ((traits.subgroups?.min ?? 0) >= 8 && traits.packedDot);
const checkSuited = skipUnless('attention', NOT_FOR_DEVICE, test, check);
for (const [heads, format] of [
  [CASES[3], 'q4'],
  [CASES[4], 'iq4'],
  [{ ...CASES[4], window: 17 }, 'q6k'],
  [CASES[9], 'q8'],
  [CASES[10], 'q4'],
] as [Heads, Format][]) {
  const name = `heads of ${heads.headDim} go through ${format} weights of the output projection at once`;
  const run = async (device: Device) => {
    const rows = 160;
    const counted = heads.group * heads.kvHeads;
    const small = { LANES: 8, MERGED: 1, KEYS: 1, THREADS: 128, TOGETHER: 1 }; // where more do not fit
    const cut = { ...(chooseProjected(device.traits, { ...heads, heads: counted }) ?? small), ROW_SHARES: 3 };
    const errors: number[] = [];
    for (const position of [0, 6, 45, 390]) {
      const { inputs, view, width, truth } = await attend(device, heads, position, 1, {});
      const random = createRandom(position);
      const { packed } = randomProduct(random, { rows, cols: width, columns: 1 }, format, 'i8');
      const before = Float64Array.from({ length: rows }, (_, i) => random.normal() * (i % 50 === 7 ? 3000 : 0.02));
      const { residual } = await runKernel(
        device,
        'attention',
        {
          ...view,
          ...cut,
          ...{ SHARE: 'lanes', OUT: 'projected', ...dotSpec('i8', format), ACT: 'i8-head' },
          ...{ BLOCKS: blocksOf(width), SHARED_BY: heads.group, OUT_QUADS: rows / 4 },
        },
        { ...inputs, codes: packed.codes, scales: packed.scales, residual: new Uint32Array(writeFixed(before).buffer) },
        [counted * cut.ROW_SHARES, 1],
      );
      const weights = unpackRows(packed);
      const { values } = writeBlocks('i8', Float32Array.from(truth), 1, width);
      const expected = before.map((_, row) =>
        values.reduce((sum, value, i) => sum + value * (weights[row * width + i] as number), 0),
      );
      const added = readFixed(residual!, rows).map((value, row) => value - (before[row] as number));
      errors.push(relativeError(added, expected));
    }
    // a value on the edge between two codes may fall either way
    assert.ok(Math.max(...errors) < 1e-2 && Math.min(...errors) < 1e-5, `relative errors ${errors}`);
  };
  checkSuited(projects, name, run);
}

test.run();
