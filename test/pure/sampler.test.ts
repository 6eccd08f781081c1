/** Sampling on the CPU: what is refused, who draws, what can be drawn and how often, and that seeds decide. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { chooseFrom, rankLogits, sampleOnCpu } from '../../engine/candidates.ts';
import {
  argmax,
  type CompleteSampling,
  chooseChoice,
  completeSampling,
  type Sampling,
  uniformAt,
} from '../../engine/sampler.ts';
import { createRandom } from '../kernel.ts';
import { expectError } from './expect-error.ts';

const test = suite('sampler');

test('defaults are filled in, a seed is made', () => {
  const { seed, ...rest } = completeSampling();
  assert.equal(rest, { temperature: 0.8, topK: 40, topP: 0.95, minP: 0, typicalP: 1 });
  assert.ok(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32);
  const seeds = new Set(Array.from({ length: 8 }, () => completeSampling({}).seed));
  assert.ok(seeds.size > 1, 'seeds differ from call to call');
  const given = { temperature: 0, topK: 0, topP: 1, minP: 1, typicalP: 0.5, seed: 2 ** 32 - 1 };
  assert.equal(completeSampling(given), given);
});

const REFUSED: readonly Sampling[] = [
  { temperature: -0.1 },
  { temperature: 101 },
  { temperature: Number.NaN },
  { temperature: Number.POSITIVE_INFINITY },
  { topK: -1 },
  { topK: 1.5 },
  { topK: 2 ** 31 },
  { topP: 0 },
  { topP: 1.01 },
  { topP: Number.NaN },
  { minP: -0.01 },
  { minP: 1.01 },
  { typicalP: 0 },
  { typicalP: 1.01 },
  { seed: -1 },
  { seed: 0.5 },
  { seed: 2 ** 32 },
];

for (const sampling of REFUSED) {
  const [name = ''] = Object.keys(sampling);
  test(`refused: ${name} ${Object.values(sampling)[0]}`, () =>
    expectError(() => completeSampling(sampling), 'bad-argument', new RegExp(`^${name} is .*must be`)));
}

const PLAIN: CompleteSampling = { temperature: 1, topK: 0, topP: 1, minP: 0, typicalP: 1, seed: 1 };

test('the GPU draws what it can draw exactly, the CPU the rest', () => {
  assert.is(chooseChoice({ ...PLAIN, temperature: 0, topP: 0.5 }), 'greedy');
  assert.is(chooseChoice({ ...PLAIN, topK: 1 }), 'greedy');
  assert.is(chooseChoice({ ...PLAIN, topK: 64, topP: 0.5, minP: 0.1 }), 'top');
  assert.is(chooseChoice(PLAIN), 'noise');
  assert.is(chooseChoice({ ...PLAIN, minP: 0.1 }), 'noise');
  assert.is(chooseChoice({ ...PLAIN, topK: 65 }), 'list');
  assert.is(chooseChoice({ ...PLAIN, topP: 0.9 }), 'list');
  assert.is(chooseChoice({ ...PLAIN, topK: 40, typicalP: 0.9 }), 'list');
});

const LOGITS = Float32Array.from([0.5, 2, -1, 1.5, 0, 2, -3, 1]);

function draw(sampling: Partial<CompleteSampling>, draws = 20_000): number[] {
  const counts = new Array<number>(LOGITS.length).fill(0);
  for (let i = 0; i < draws; i++) counts[sampleOnCpu(LOGITS, { ...PLAIN, ...sampling }, i)]!++;
  return counts;
}

/** Against the weights of the ids that may be drawn; 0 means never. */
function followsWeights(counts: readonly number[], weights: readonly number[]): void {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const draws = counts.reduce((sum, count) => sum + count, 0);
  let chiSquare = 0;
  for (const [id, weight] of weights.entries()) {
    if (weight === 0) assert.is(counts[id], 0, `id ${id} is cut off`);
    else chiSquare += (counts[id]! - (draws * weight) / total) ** 2 / ((draws * weight) / total);
  }
  // of at most 7 degrees of freedom; seeds are fixed, so this does not come and go
  assert.ok(chiSquare < 24.3, `chi-square ${chiSquare}`);
}

test('draws follow the softmax at any temperature', () => {
  for (const temperature of [0.7, 1, 3])
    followsWeights(
      draw({ temperature }),
      Array.from(LOGITS, (logit) => Math.exp(logit / temperature)),
    );
});

/** The softmax's weights of some ids, 0 elsewhere. */
const only = (ids: readonly number[]) => Array.from(LOGITS, (logit, id) => (ids.includes(id) ? Math.exp(logit) : 0));

test('top-k keeps the k best, of equals the first', () => {
  followsWeights(draw({ topK: 3 }), only([1, 5, 3]));
  followsWeights(draw({ topK: 2 }), only([1, 5]));
  assert.is(sampleOnCpu(LOGITS, { ...PLAIN, topK: 1 }, 3), 1);
  followsWeights(draw({ topK: 1000 }), only([0, 1, 2, 3, 4, 5, 6, 7]));
});

test('top-p keeps the fewest that together reach it', () => {
  const total = LOGITS.reduce((sum, logit) => sum + Math.exp(logit), 0);
  const two = (2 * Math.exp(2)) / total;
  followsWeights(draw({ topP: two - 0.01 }), only([1, 5]));
  followsWeights(draw({ topP: two + 0.01 }), only([1, 5, 3]));
  followsWeights(draw({ topP: 1e-9 }), only([1]));
  // of what top-k has left
  followsWeights(draw({ topK: 3, topP: 0.99 }), only([1, 5, 3]));
});

test('min-p keeps what is near the best', () => {
  followsWeights(draw({ minP: 0.5 }), only([1, 5, 3]));
  followsWeights(draw({ minP: 1 }), only([1, 5]));
  followsWeights(draw({ minP: 0.1, topP: 0.5 }), only([1, 5]));
});

/** Locally typical sampling in the words of the paper: all probabilities, no shortcut. */
function typicalIds(weights: readonly number[], typicalP: number): number[] {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const probabilities = weights.map((weight) => weight / total);
  const entropy = probabilities.reduce((sum, p) => sum - (p > 0 ? p * Math.log(p) : 0), 0);
  const order = [...probabilities.keys()]
    .filter((id) => probabilities[id]! > 0)
    .sort((a, b) => {
      const far = (id: number) => Math.abs(-Math.log(probabilities[id]!) - entropy);
      return far(a) - far(b) || a - b;
    });
  const ids: number[] = [];
  for (let mass = 0; mass < typicalP && ids.length < order.length; mass += probabilities[ids.at(-1)!]!)
    ids.push(order[ids.length]!);
  return ids;
}

test('typical keeps what is as surprising as the entropy, which need not be the best', () => {
  const weights = only([0, 1, 2, 3, 4, 5, 6, 7]);
  for (const typicalP of [0.1, 0.3, 0.6, 0.9]) followsWeights(draw({ typicalP }), only(typicalIds(weights, typicalP)));
  assert.not.ok(typicalIds(weights, 0.1).includes(1), 'the best is left out');
  const three = only([1, 5, 3]);
  followsWeights(draw({ topK: 3, typicalP: 0.5 }), only(typicalIds(three, 0.5)));
});

test('a short list gives the same draw as all logits, or says that it is too short', () => {
  const random = createRandom(9);
  let told = 0;
  for (let i = 0; i < 400; i++) {
    const vocab = 50 + random.below(200);
    const spread = [0.5, 2, 6][i % 3]!;
    const logits = Float32Array.from({ length: vocab }, () => spread * random.normal());
    const sampling = {
      temperature: [0.4, 1, 2][random.below(3)]!,
      topK: [0, 0, 3, 30, 70][random.below(5)]!,
      topP: [1, 0.95, 0.5][random.below(3)]!,
      minP: [0, 0.05, 0.3][random.below(3)]!,
      typicalP: [1, 1, 0.9, 0.2][random.below(4)]!,
      seed: i,
    };
    const wanted = chooseFrom(rankLogits(logits, vocab, sampling.temperature), vocab, sampling, 5);
    assert.ok(wanted !== undefined, 'all logits always tell');
    const got = chooseFrom(rankLogits(logits, 32, sampling.temperature), vocab, sampling, 5);
    if (got === undefined) continue;
    told++;
    assert.is(got, wanted, JSON.stringify(sampling));
  }
  assert.ok(told > 200 && told < 400, `${told} of 400 short lists tell`);
});

test('the best of many logits are found in order without sorting all, of equals the first', () => {
  const random = createRandom(10);
  for (const vocab of [1, 2, 33, 1000, 20_000]) {
    const logits = Float32Array.from({ length: vocab }, () => Math.round(8 * random.normal()) / 4);
    const order = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]! || a - b);
    for (const count of [1, 7, 64, 999]) {
      const ranked = rankLogits(logits, count, 0.7);
      assert.equal([...ranked.ids], order.slice(0, count));
      assert.is(ranked.best, logits[order[0]!]);
      const sum = logits.reduce((all, logit) => all + Math.exp(logit - ranked.best), 0);
      assert.ok(Math.abs(ranked.sum / sum - 1) < 1e-12);
    }
  }
});

test('the same seed and position give the same id, others another', () => {
  const text = (seed: number) =>
    Array.from({ length: 40 }, (_, i) => sampleOnCpu(LOGITS, { ...PLAIN, seed }, i)).join();
  assert.is(text(5), text(5));
  assert.is.not(text(5), text(6));
  assert.ok(new Set(text(5).split(',')).size > 2);
});

test('extreme logits: one far ahead is drawn, equal ones all, minus infinity never', () => {
  const spike = new Float32Array(100).fill(-1e30);
  spike[42] = 1e30;
  assert.is(sampleOnCpu(spike, PLAIN, 1), 42);
  const flat = new Float32Array(4).fill(1e30);
  assert.is(new Set(Array.from({ length: 100 }, (_, i) => sampleOnCpu(flat, PLAIN, i))).size, 4);
  const masked = Float32Array.from([Number.NEGATIVE_INFINITY, 1, Number.NEGATIVE_INFINITY, 1]);
  for (let i = 0; i < 200; i++) assert.is(sampleOnCpu(masked, PLAIN, i) % 2, 1);
});

test('argmax takes the first of equals', () => {
  assert.is(argmax(Float32Array.from([1, 3, 3, 2])), 1);
  assert.is(argmax(Float32Array.from([-5])), 0);
});

/** PCG's output permutation over whole numbers of any length. */
function mixExactly(value: bigint): bigint {
  const mask = 0xffffffffn;
  const state = (value * 747796405n + 2891336453n) & mask;
  const word = (((state >> ((state >> 28n) + 4n)) ^ state) * 277803737n) & mask;
  return (word >> 22n) ^ word;
}

test('random numbers are those of the formula, inside (0, 1) and even', () => {
  const random = createRandom(3);
  const counts = new Array<number>(16).fill(0);
  for (let i = 0; i < 20_000; i++) {
    const [seed, position, index] = [random.below(2 ** 32), random.below(2 ** 32), random.below(2 ** 32)];
    const got = uniformAt(seed, position, index);
    const word = mixExactly(BigInt(index) ^ mixExactly(BigInt(position) ^ mixExactly(BigInt(seed))));
    assert.is(got, (Number(word >> 8n) + 0.5) / 2 ** 24);
    assert.ok(got > 0 && got < 1);
    counts[Math.floor(uniformAt(7, i, 0) * 16)]!++;
  }
  const chiSquare = counts.reduce((sum, count) => sum + (count - 1250) ** 2 / 1250, 0);
  assert.ok(chiSquare < 37.7, `chi-square ${chiSquare} of 15 degrees of freedom over neighbouring positions`);
});

test.run();
