/** What happens to logits before and beside the choice of a token: edits, masks, lists of the best, against their CPU twins. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../devices/types.ts';
import { rankLogits } from '../../engine/candidates.ts';
import { applyEdits, type Edits } from '../../engine/edits.ts';
import { argmax } from '../../engine/sampler.ts';
import {
  CANDIDATES_BYTES,
  decodeCandidates,
  editsBytes,
  encodeEdits,
  encodeSampler,
  encodeState,
  RING,
  SAMPLER_BYTES,
} from '../../engine/state.ts';
import { blocksOf, roundUp } from '../../quant/layout.ts';
import { deviceTests } from '../device.ts';
import { createRandom, floats, runKernel } from '../kernel.ts';

const test = suite('choice');
const check = await deviceTests(test);

const SLOTS = 3;
const THREADS = 64;

/** Two outputs, of columns 1 and 0, whose sequences are in slots 2 and 0. */
const STATE = encodeState(
  [
    { position: 10, slot: 0 },
    { position: 30, slot: 2 },
  ],
  [1, 0],
  64,
  false,
);
const SLOT_OF_OUTPUT = [2, 0];

/** Logits of both outputs as the output matrix leaves them, with their peaks. */
function outputs(vocab: number, logits: readonly Float32Array[]) {
  const width = roundUp(vocab, 32);
  const all = new Float32Array(logits.length * width).fill(77); // padding must not be read
  const peaks = new Float32Array((all.length / 32) * 2);
  const ids = new Uint32Array(peaks.buffer);
  for (const [output, one] of logits.entries()) {
    all.set(one, output * width);
    for (let block = 0; block < width / 32; block++) {
      const best = block * 32 + argmax(one.subarray(block * 32, block * 32 + 32));
      const at = 2 * (output * (width / 32) + block);
      peaks[at] = one[best]!;
      ids[at + 1] = best;
    }
  }
  return { all, peaks, width };
}

function randomEdits(vocab: number, count: number, masked: boolean, seed: number): Edits {
  const random = createRandom(seed);
  const chosen = new Set(Array.from({ length: count }, () => random.below(vocab)));
  const ids = Uint32Array.from([...chosen].sort((a, b) => a - b));
  const mask = Uint32Array.from({ length: blocksOf(vocab) }, (_, block) =>
    block % 3 === 0 ? 0xffffffff : random.below(2 ** 32),
  );
  return {
    ids,
    divisors: Float32Array.from(ids, () => 0.5 + random.uniform()),
    biases: Float32Array.from(ids, () => (random.below(4) === 0 ? -1e30 : 2 * random.normal())),
    mask: masked ? mask : undefined,
  };
}

for (const [vocab, counts] of [
  [59, [7, 0]],
  [4096, [300, 64]],
  [33001, [0, 1500]],
] as const) {
  check(`edits and masks of two sequences, ${vocab} logits`, async (device) => {
    const random = createRandom(vocab);
    const logits = counts.map(() => Float32Array.from({ length: vocab }, () => 3 * random.normal()));
    const { all, peaks, width } = outputs(vocab, logits);
    const MOST_EDITS = 2000;
    const edits = counts.map((count, output) => randomEdits(vocab, count, output === 0, vocab + output));
    const lists = new Uint32Array((SLOTS * editsBytes(MOST_EDITS)) / 4).fill(1);
    const masks = new Uint32Array(SLOTS * blocksOf(vocab));
    for (const [output, slot] of SLOT_OF_OUTPUT.entries()) {
      lists.set(encodeEdits(edits[output]!), (slot * editsBytes(MOST_EDITS)) / 4);
      masks.set(edits[output]!.mask ?? [], slot * blocksOf(vocab));
    }
    const result = await runKernel(
      device,
      'edit',
      { VOCAB: vocab, THREADS, MOST_EDITS, OPAQUE: device.traits.software },
      { state: STATE, edits: lists, masks, logits: all, peaks },
      [Math.ceil(width / 32 / THREADS), 2],
    );
    for (const [output, one] of logits.entries()) {
      const before = one.slice();
      applyEdits(one, edits[output]!);
      // a quotient is off by 2.5 units in its last place where WGSL allows it; a bias may cancel most of it
      const near = (id: number) => Math.max(Math.abs(one[id]!), 2 * Math.abs(before[id]!)) * 4e-7;
      const got = floats(result.logits!).subarray(output * width, output * width + vocab);
      for (const [id, value] of one.entries())
        assert.ok(Math.abs(got[id]! - value) <= near(id), `output ${output}, id ${id}: ${got[id]} for ${value}`);
      if (vocab % 32 > 0) assert.is(floats(result.logits!)[output * width + vocab], 77, 'padding');
      for (let block = 0; block < width / 32; block++) {
        const best = argmax(got.subarray(block * 32, block * 32 + 32));
        const at = 2 * (output * (width / 32) + block);
        assert.is(floats(result.peaks!)[at], got[block * 32 + best], `peak of block ${block}`);
        assert.is(result.peaks![at + 1], block * 32 + best);
      }
    }
  });
}

async function rank(device: Device, vocab: number, logits: readonly Float32Array[], temperature: number) {
  const { all, peaks } = outputs(vocab, logits);
  const samplers = new Uint32Array(SLOTS * (SAMPLER_BYTES / 4));
  for (let slot = 0; slot < SLOTS; slot++)
    samplers.set(
      encodeSampler({ seed: 1, topK: 0, topP: 1, minP: 0, temperature: slot === 2 ? temperature : 1 }),
      slot * (SAMPLER_BYTES / 4),
    );
  const result = await runKernel(
    device,
    'rank',
    { VOCAB: vocab, THREADS },
    { state: STATE, samplers, logits: all, peaks, candidates: SLOTS * CANDIDATES_BYTES },
    [1, 2],
  );
  const { candidates } = result;
  const bytes = new Uint8Array(candidates!.buffer, candidates!.byteOffset, candidates!.byteLength);
  return SLOT_OF_OUTPUT.map((slot) =>
    decodeCandidates(bytes.slice(slot * CANDIDATES_BYTES, (slot + 1) * CANDIDATES_BYTES)),
  );
}

for (const vocab of [40, 4096, 33001]) {
  check(`the best of ${vocab} logits and the sums over all`, async (device) => {
    const random = createRandom(vocab + 5);
    for (const temperature of [0.4, 1.7]) {
      const logits = [0, 1].map(() => Float32Array.from({ length: vocab }, () => 3 * random.normal()));
      logits[1]!.fill(-1e30, 30);
      const got = await rank(device, vocab, logits, temperature);
      for (const [output, one] of logits.entries()) {
        const wanted = rankLogits(one, 64, output === 0 ? temperature : 1);
        const { ids, best, sum, temperedSum, moment } = got[output]!;
        assert.equal([...ids.subarray(0, 30)], [...wanted.ids.subarray(0, 30)]);
        assert.is(ids.length, Math.min(vocab, 64));
        assert.equal([...got[output]!.logits], [...wanted.logits]);
        assert.is(best, wanted.best);
        const near = (a: number, b: number, what: string) =>
          assert.ok(Math.abs(a - b) <= 2e-5 * Math.abs(b), `${what}: ${a} instead of ${b}`);
        near(sum, wanted.sum, 'sum');
        near(temperedSum, wanted.temperedSum, 'tempered sum');
        near(moment, wanted.moment, 'moment');
      }
    }
  });
}

check('the chosen token of each sequence is reported, before and after its place has advanced', async (device) => {
  const vocab = 100;
  const random = createRandom(3);
  const logits = [0, 1].map(() => Float32Array.from({ length: vocab }, () => random.normal()));
  const { all } = outputs(vocab, logits);
  const picked = new Uint32Array(SLOTS * RING);
  picked[2 * RING + 31] = 42; // output 0: slot 2, position 30 + 1
  picked[0 * RING + 11] = 99;
  const advanced = encodeState(
    [
      { position: 31, slot: 2 },
      { position: 11, slot: 0 },
    ],
    [0, 1],
    64,
    true,
  );
  for (const state of [STATE, advanced]) {
    const result = await runKernel(
      device,
      'report',
      { VOCAB: vocab },
      { state, picked, logits: all, candidates: SLOTS * CANDIDATES_BYTES },
      [1, 2],
    );
    const chosen = (slot: number) => floats(result.candidates!)[(slot * CANDIDATES_BYTES) / 4 + 5];
    assert.is(chosen(2), logits[0]![42]);
    assert.is(chosen(0), logits[1]![99]);
  }
});

test.run();
