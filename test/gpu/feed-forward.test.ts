/** The feed-forward part of a layer in one step, against doubles. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../devices/types.ts';
import { sizeFile } from '../../engine/products.ts';
import { chooseSubgroup, codesSpec, dotSpec } from '../../engine/variants.ts';
import { blocksOf, type QuantisedFormat, roundUp } from '../../quant/layout.ts';
import { unpackRows } from '../../quant/pack.ts';
import { readFixed, writeBlocks, writeFixed } from '../blocks.ts';
import { deviceTests, NOT_FOR_DEVICE, skipUnless, testDevice } from '../device.ts';
import { createRandom, relativeError, runKernel } from '../kernel.ts';
import { randomProduct, stateOf } from '../random-product.ts';

const test = suite('feed-forward');
const checkSuited = skipUnless('feed-forward', NOT_FOR_DEVICE, test, await deviceTests(test));

const EPSILON = 1e-5;

interface Shape {
  readonly hidden: number;
  readonly feedForward: number;
  /** Blocks of a workgroup. */
  readonly slice: 1 | 2 | 4;
  readonly gateUp: QuantisedFormat;
  readonly down: QuantisedFormat;
  readonly activation: 'silu' | 'gelu';
}

// CPU drivers take seconds to compile each: there, the first three
const SHAPES: readonly Shape[] = [
  { hidden: 64, feedForward: 96, slice: 1, gateUp: 'q4', down: 'q4', activation: 'silu' },
  { hidden: 320, feedForward: 416, slice: 4, gateUp: 'q4', down: 'q8', activation: 'gelu' },
  { hidden: 512, feedForward: 768, slice: 4, gateUp: 'q4k', down: 'q6k', activation: 'silu' },
  { hidden: 96, feedForward: 224, slice: 2, gateUp: 'q8', down: 'q5', activation: 'gelu' },
  { hidden: 4096, feedForward: 544, slice: 4, gateUp: 'q4', down: 'q4', activation: 'silu' },
  { hidden: 288, feedForward: 512, slice: 2, gateUp: 'iq4', down: 'iq4k', activation: 'silu' },
  { hidden: 256, feedForward: 320, slice: 4, gateUp: 'q2k', down: 'q4m', activation: 'gelu' },
];

const ACTIVATIONS = {
  silu: (x: number) => x / (1 + Math.exp(-x)),
  gelu: (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
};

/** What the kernel leaves in `added`, beside what was there, and what it should. */
async function run(device: Device, shape: Shape, seed: number) {
  const { hidden, feedForward, slice, activation } = shape;
  const random = createRandom(seed);
  const size = chooseSubgroup(device.traits)!.size;
  const blocks = blocksOf(feedForward);
  const both = randomProduct(random, { rows: 64 * blocks, cols: hidden, columns: 1 }, shape.gateUp, 'i8').packed;
  const down = randomProduct(random, { rows: hidden, cols: feedForward, columns: 1 }, shape.down, 'i8').packed;
  const stream = Float64Array.from({ length: hidden }, (_, i) => random.normal() * (i % 50 === 7 ? 3000 : 0.02));
  const gains = Float32Array.from({ length: roundUp(hidden, 32) }, () => 1 + 0.1 * random.normal());
  const before = Float64Array.from({ length: hidden }, () => random.normal());
  const residual = writeFixed(stream);
  const results = await runKernel(
    device,
    'feed-forward',
    {
      ...{ SLICE: slice, SG: size, THREADS: 8 * slice * size, SIZE: sizeFile(device.traits) },
      ...{ BLOCKS: blocksOf(hidden), DOWN_BLOCKS: blocks, OUT_QUADS: roundUp(hidden, 32) / 4 },
      ...{ HIDDEN: hidden, EPSILON, ACTIVATION: activation, OPAQUE: device.traits.software },
      ...{ ...dotSpec('i8', shape.gateUp), ACT: 'i8-residual' },
      ...Object.fromEntries(Object.entries(codesSpec(shape.down)).map(([key, value]) => [`DOWN_${key}`, value])),
    },
    {
      ...{ state: stateOf(1), codes: both.codes, scales: both.scales, gains },
      ...{ down_codes: down.codes, down_scales: down.scales },
      residual: new Uint32Array(residual.buffer),
      added: new Uint32Array(writeFixed(before).buffer),
    },
    [Math.ceil(blocks / slice), 1],
  );
  const seen = readFixed(new Uint32Array(residual.buffer), hidden);
  const input = Float32Array.from(seen, (value, i) => Math.fround(value) * (gains[i] as number));
  const { values: x } = writeBlocks('i8', input, 1, hidden);
  const factor = 1 / Math.sqrt(seen.reduce((sum, value) => sum + value * value, 0) / hidden + EPSILON);
  const weights = unpackRows(both);
  const product = (row: number) =>
    factor * x.reduce((sum, value, i) => sum + value * (weights[row * hidden + i] as number), 0);
  const between = Float32Array.from({ length: feedForward }, (_, i) => {
    const gate = 64 * Math.floor(i / 32) + (i % 32);
    return ACTIVATIONS[activation](product(gate)) * product(gate + 32);
  });
  const { values: h } = writeBlocks('i8', between, 1, feedForward);
  const columns = unpackRows(down);
  const expected = Float64Array.from({ length: hidden }, (_, row) =>
    h.reduce((sum, value, i) => sum + value * (columns[row * feedForward + i] as number), 0),
  );
  const added = readFixed(results.added!, hidden).map((value, row) => value - (before[row] as number));
  return { added, expected };
}

const traits = (await testDevice())?.traits;
const possible = ({ slice }: Shape, nth: number) => {
  if (traits?.software && nth >= 3) return false;
  const size = traits === undefined ? 32 : (chooseSubgroup(traits)?.size ?? 0);
  const threads = 8 * slice * size;
  return size >= 8 && threads <= (traits?.limits.maxWorkgroupThreads ?? threads) && (traits?.packedDot ?? true);
};
for (const [nth, shape] of SHAPES.entries()) {
  const { hidden, feedForward, slice, gateUp, down, activation } = shape;
  const name = `${hidden} values through ${feedForward} in ${gateUp} and ${down}, ${activation}, ${slice} blocks each`;
  checkSuited(possible(shape, nth), name, async (device) => {
    const errors: number[] = [];
    for (const seed of [1, 2, 3]) {
      const { added, expected } = await run(device, shape, seed);
      errors.push(relativeError(added, expected));
    }
    // a value on the edge between two codes may fall either way
    assert.ok(Math.max(...errors) < 1e-2 && Math.min(...errors) < 2e-5, `relative errors ${errors}`);
  });
}

test.run();
