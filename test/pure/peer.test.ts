/** Reading what the two benchmarks print, and the ratios made of it. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { compare, median, readOurs, readPeer, readStreams } from '../peer.ts';

const test = suite('peer');

test("llama-bench's JSON", () => {
  const entries = [
    { n_prompt: 512, n_gen: 0, n_depth: 0, samples_ts: [10, 12, 11] },
    { n_prompt: 0, n_gen: 128, n_depth: 2048, samples_ts: [3, 5] },
  ];
  const samples = readPeer(JSON.stringify(entries), 0);
  assert.equal(
    [...samples],
    [
      ['pp512', [10, 12, 11]],
      ['tg128@d2048', [3, 5]],
    ],
  );
});

test('one line of runs, behind other lines', () => {
  const line = {
    model: 'x',
    d: 2048,
    runs: [{ fa: 1, pp512: [9, 1, 8, 10], tg128: [4, 1, 3, 5], tg128_ms: { min: 1 } }],
  };
  const samples = readPeer(`{"shape":"x"}\n${JSON.stringify(line)}\n`, 2048);
  assert.equal(
    [...samples],
    [
      ['pp512@d2048', [8, 10]],
      ['tg128@d2048', [3, 5]],
    ],
  );
  assert.throws(() => readPeer('error: no device', 0), /neither llama-bench's JSON/);
});

test("llama-batched-bench's lines, and our names for them", () => {
  const line = (pl: number, speed_tg: number) => JSON.stringify({ pp: 1, tg: 128, pl, speed_pp: 9, speed_tg });
  const samples = readStreams(`main: n_kv_max = 4096\n\n${[line(1, 20), line(16, 90), line(16, 110)].join('\n')}\n`);
  assert.equal(
    [...samples],
    [
      ['tg128x1', [20]],
      ['tg128x16', [90, 110]],
    ],
  );
  assert.throws(() => readStreams('error: no device'), /no lines/);
});

test('ratios of medians, of the tests that both have', () => {
  const ours = readOurs(
    JSON.stringify({
      results: [
        { name: 'tg128', tokensPerSecond: [20, 40, 30] },
        { name: 'pp9', tokensPerSecond: [1] },
      ],
    }),
  );
  assert.is(median([4, 1, 3, 2]), 2.5);
  assert.equal(compare(ours, new Map([['tg128', [10, 11, 15, 12]]])), [
    { test: 'tg128', firstlight: 30, peer: 11.5, ratio: 30 / 11.5 },
  ]);
});

test.run();
