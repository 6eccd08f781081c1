/** The choice of the next token on the GPU, against the CPU's sampler and by statistics; and the embedding that follows. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../devices/types.ts';
import { sampleOnCpu } from '../../engine/candidates.ts';
import { argmax, type CompleteSampling, uniformAt } from '../../engine/sampler.ts';
import { encodeSampler, encodeState, FROM_RING, RING, SAMPLER_BYTES } from '../../engine/state.ts';
import { weightSpec } from '../../engine/variants.ts';
import { blocksOf, type Format, roundUp } from '../../quant/layout.ts';
import { packRows, unpackRows } from '../../quant/pack.ts';
import { readBlocks } from '../blocks.ts';
import { deviceTests } from '../device.ts';
import { createRandom, floats, relativeError, runKernel } from '../kernel.ts';

const test = suite('select');
const check = await deviceTests(test);

const GREEDY: CompleteSampling = { temperature: 1, topK: 64, topP: 1, minP: 0, typicalP: 1, seed: 1 };

/** Runs the kernel on logits; answers the chosen id after checking what else it leaves. */
async function choose(
  device: Device,
  choice: string,
  logits: Float32Array,
  sampling: CompleteSampling,
  position: number,
) {
  const vocab = logits.length;
  const padded = new Float32Array(roundUp(vocab, 32));
  padded.set(logits);
  const peaks = new Float32Array((padded.length / 32) * 2);
  const ids = new Uint32Array(peaks.buffer);
  for (let block = 0; block < padded.length / 32; block++) {
    const best = block * 32 + argmax(logits.subarray(block * 32, block * 32 + 32));
    peaks[2 * block] = logits[best] as number;
    ids[2 * block + 1] = best;
  }
  const places = [position - 3, position - 2, position - 1].map((each) => ({ position: each, slot: 1 }));
  const samplers = new Uint32Array(2 * (SAMPLER_BYTES / 4));
  samplers.set(encodeSampler(sampling), SAMPLER_BYTES / 4);
  const result = await runKernel(
    device,
    'select',
    { CHOICE: choice, VOCAB: vocab, THREADS: 64 },
    {
      state: encodeState(places, [2], 4096, true),
      samplers,
      tokens: 64,
      picked: 512,
      logits: padded,
      peaks,
    },
    [1, 1],
  );
  const id = result.tokens?.[0] as number;
  assert.is(result.picked?.[64 + (position % 64)], id, 'the CPU finds the id in the slot of its position');
  assert.equal(
    Array.from(result.state?.subarray(0, 8) ?? []),
    Array.from(encodeState([{ position, slot: 1 }], [0], 4096, true)),
    'the next pass is one column behind this one',
  );
  return id;
}

const randomLogits = (vocab: number, seed: number) => {
  const random = createRandom(seed);
  return Float32Array.from({ length: vocab }, () => 3 * random.normal());
};

for (const vocab of [259, 4096, 33000]) {
  check(`greedy: the first of the largest of ${vocab} logits`, async (device) => {
    const logits = randomLogits(vocab, vocab);
    assert.is(await choose(device, 'greedy', logits, GREEDY, 7), argmax(logits));
    logits[200] = 50;
    logits[201] = 50;
    logits[vocab - 1] = 50;
    assert.is(await choose(device, 'greedy', logits, GREEDY, 70), 200, 'of equals the first');
    assert.is(await choose(device, 'greedy', new Float32Array(vocab).fill(-1e30), GREEDY, 3), 0);
  });

  check(`top: the same ids as the CPU's sampler from ${vocab} logits`, async (device) => {
    const random = createRandom(vocab + 1);
    let same = 0;
    for (let i = 0; i < 30; i++) {
      const logits = randomLogits(vocab, 100 + i);
      if (i % 3 === 0) for (let j = 0; j < 100; j++) logits[random.below(vocab)] = 7.25; // more equals than fit
      if (i % 5 === 0) logits.fill(-1e30, 40);
      const sampling = {
        temperature: [0.3, 1, 2.5][i % 3] as number,
        topK: [64, 40, 2, 1][i % 4] as number,
        topP: [1, 0.9, 0.4][i % 3] as number,
        minP: [0, 0.1][i % 2] as number,
        typicalP: 1,
        seed: 1000 + i,
      };
      const wanted = sampleOnCpu(logits, sampling, 64 + i);
      const got = await choose(device, 'top', logits, sampling, 64 + i);
      if (got === wanted) same++;
      // among equal logits the kernel may take others than the CPU, but never something less probable
      else assert.is(logits[got], logits[wanted], `case ${i}: ${got} instead of ${wanted}`);
    }
    assert.ok(same >= 20, `only ${same} of 30 ids are the same`);
  });
}

check('noise: the same ids as Gumbel noise on the CPU with the same numbers', async (device) => {
  for (let i = 0; i < 20; i++) {
    const logits = randomLogits(500, 300 + i);
    const sampling = { ...GREEDY, temperature: [0.5, 1.5][i % 2] as number, seed: 77 + i };
    const noisy = logits.map(
      (logit, id) => logit / sampling.temperature - Math.log(-Math.log(uniformAt(sampling.seed, 40 + i, id))),
    );
    assert.is(await choose(device, 'noise', logits, sampling, 40 + i), argmax(noisy), `case ${i}`);
  }
});

check('noise: of those that min-p leaves, and never a forbidden one', async (device) => {
  const logits = randomLogits(700, 9);
  const best = Math.max(...logits);
  for (let i = 0; i < 20; i++) {
    const sampling = { ...GREEDY, topK: 0, temperature: 2, minP: 0.2, seed: i };
    const id = await choose(device, 'noise', logits, sampling, 50);
    assert.ok((logits[id] as number) >= best + Math.log(0.2) * 2 - 1e-5, `logit ${logits[id]} below ${best}`);
  }
  const few = new Float32Array(700).fill(-1e30);
  few[3] = -20;
  few[680] = -21;
  for (const choice of ['noise', 'top']) {
    const got = new Set<number>();
    for (let i = 0; i < 20; i++) got.add(await choose(device, choice, few, { ...GREEDY, temperature: 3, seed: i }, 9));
    assert.equal([...got].sort(), [3, 680], choice);
  }
});

for (const choice of ['noise', 'top']) {
  check(`${choice}: draws follow the softmax (chi-square)`, async (device) => {
    const logits = Float32Array.from([1, 0.5, 0, -0.5, -1, 1.5, -2, 0.2]);
    const temperature = 1.3;
    const weights = logits.map((logit) => Math.exp(logit / temperature));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    const draws = 400;
    const counts = new Array<number>(logits.length).fill(0);
    for (let i = 0; i < draws; i++) {
      const id = await choose(device, choice, logits, { ...GREEDY, temperature, seed: 5 }, 3 + i);
      counts[id] = (counts[id] as number) + 1;
    }
    let chiSquare = 0;
    for (const [i, weight] of weights.entries()) {
      const expected = (draws * weight) / total;
      chiSquare += ((counts[i] as number) - expected) ** 2 / expected;
    }
    assert.ok(
      chiSquare < 24.3,
      `chi-square ${chiSquare} of 7 degrees of freedom: one right sampler in a thousand is above 24.3`,
    );
  });
}

for (const format of ['f32', 'f16', 'bf16', 'q8', 'q4'] as const satisfies readonly Format[]) {
  check(`embed: rows of a ${format} matrix that lies in two parts, scaled`, async (device) => {
    const [vocab, hidden, split] = [90, 70, 64];
    const SCALE = format === 'bf16' ? 1 : Math.sqrt(hidden);
    const random = createRandom(format.length);
    const values = Float32Array.from({ length: vocab * hidden }, () => random.normal());
    const BLOCKS = blocksOf(hidden);
    const gains = Float32Array.from({ length: BLOCKS * 32 }, (_, i) => (i < hidden ? random.normal() : 0));
    const tokens = Uint32Array.from([0, 63, 64, 89]);
    const columns = tokens.length;
    const places = Array.from(tokens, (_, position) => ({ position, slot: 0 }));
    // one of the tokens is what the GPU itself chose
    const picked = new Uint32Array(RING);
    picked[2] = tokens[2] as number;
    const seen = unpackRows(packRows('F32', new Uint8Array(values.buffer), vocab, hidden, format));
    let residual = new Float32Array(columns * BLOCKS * 32);
    let codes = new Uint32Array(columns * BLOCKS * 32);
    let meta = new Float32Array(columns * BLOCKS * 4);
    for (const [FIRST_ROW, end] of [
      [0, split],
      [split, vocab],
    ] as const) {
      const rows = end - FIRST_ROW;
      const bytes = new Uint8Array(values.buffer, FIRST_ROW * hidden * 4, rows * hidden * 4);
      const packed = packRows('F32', bytes, rows, hidden, format);
      const result = await runKernel(
        device,
        'embed',
        {
          ...weightSpec(format),
          BLOCKS,
          FIRST_ROW,
          PART_ROWS: roundUp(rows, 32),
          SCALE,
          GAIN: 'vector',
          STORE: 'f32',
          Y_BLOCKS: BLOCKS,
          OPAQUE: device.traits.software,
        },
        {
          state: encodeState(places, [], 64, false),
          tokens: tokens.map((token, i) => (i === 2 ? FROM_RING : token)),
          picked,
          codes: packed.codes,
          scales: packed.scales,
          residual,
          gains,
          y_codes: codes,
          y_meta: meta,
        },
        [BLOCKS, columns],
      );
      residual = floats(result.residual as Uint32Array).slice();
      codes = (result.y_codes as Uint32Array).slice();
      meta = floats(result.y_meta as Uint32Array).slice();
    }
    const blocks = readBlocks('f32', codes, meta, columns, hidden);
    for (const [column, token] of tokens.entries()) {
      const row = seen.subarray(token * hidden, (token + 1) * hidden).map((value) => SCALE * value);
      assert.ok(
        relativeError(residual.subarray(column * BLOCKS * 32, column * BLOCKS * 32 + hidden), row) < 1e-7,
        `token ${token}`,
      );
      const gained = row.map((value, i) => value * (gains[i] as number));
      assert.ok(
        relativeError(blocks.subarray(column * hidden, (column + 1) * hidden), gained) < 1e-6,
        `blocks of ${token}`,
      );
      const squares = Array.from({ length: BLOCKS }, (_, b) => meta[(column * BLOCKS + b) * 4 + 2] as number);
      const wanted = row.reduce((sum, value) => sum + value * value, 0);
      assert.ok(Math.abs(squares.reduce((a, b) => a + b, 0) - wanted) < 1e-4 * wanted, `squares of ${token}`);
    }
  });
}

test.run();
