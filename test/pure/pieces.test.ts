/** How long passes are cut. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createCutting, cutSteps, passSizes, pieceBudgetMs } from '../../engine/pieces.ts';
import { DECK } from '../deck.ts';

const test = suite('pieces');

/** Runs a pass on a GPU of a speed; answers the milliseconds of each piece. */
function simulate(works: readonly number[], cutting: ReturnType<typeof createCutting>, macsPerMs: number): number[] {
  return [...cutSteps(works, cutting.limit)].map(({ work }) => {
    const ms = 0.05 + work / macsPerMs;
    cutting.took(work, ms);
    return ms;
  });
}

for (const [name, macsPerMs] of [
  ['an APU', 1e9],
  ['a slow GPU', 0.2e9],
  ['a large GPU', 80e9],
] as const) {
  test(`no piece takes much longer than the budget on ${name}, and soon few are needed`, () => {
    const cutting = createCutting(200);
    // Llama-2-7B, 512 tokens
    const works = Array.from({ length: 32 * 4 }, () => (6.5e9 / 128) * 512);
    const first = simulate(works, cutting, macsPerMs);
    const second: number[] = [];
    for (const { work } of cutSteps(works, cutting.limit)) {
      const ms = work / macsPerMs;
      cutting.took(work, ms);
      second.push(ms);
    }
    // the first piece is a guess
    assert.ok(Math.max(...first) <= Math.max(210, 60e9 / macsPerMs), `${Math.max(...first)} ms`);
    assert.ok(Math.max(...second) <= 210, `${Math.max(...second)} ms`);
    const whole = second.reduce((sum, ms) => sum + ms, 0);
    // a step is not cut, so pieces may be only half full; and their work doubles at most from one to the next
    assert.ok(second.length <= Math.ceil(whole / 100) + 3, `${second.length} pieces of ${whole} ms`);
  });
}

test('every step is in one piece, in order; a step beyond the limit is alone', () => {
  const pieces = [...cutSteps([5, 5, 50, 1, 1, 9], () => 10)].map(({ first, end }) => [first, end]);
  assert.equal(pieces, [
    [0, 2],
    [2, 3],
    [3, 5],
    [5, 6],
  ]);
});

test('passes over a prompt are about equal and no longer than a chunk', () => {
  assert.equal(passSizes(1, 512), [1]);
  assert.equal(passSizes(512, 512), [512]);
  assert.equal(passSizes(513, 512), [320, 193]);
  assert.equal(passSizes(2048, 512), [512, 512, 512, 512]);
  assert.equal(passSizes(100, 32), [32, 32, 32, 4]);
  for (const [tokens, chunk] of [
    [4000, 37],
    [777, 128],
    [65, 64],
  ] as const) {
    const sizes = passSizes(tokens, chunk);
    assert.is(
      sizes.reduce((sum, size) => sum + size, 0),
      tokens,
    );
    assert.ok(Math.max(...sizes) <= chunk && Math.min(...sizes) > 0);
  }
});

test('the budget is a tenth of what the driver allows, at most 200 ms', () => {
  const gpu = { driver: 'amdgpu', pci: '1002:163f', card: 'card0' };
  const topology = (lockup: object | undefined) =>
    ({ gpus: [{ ...gpu, lockupTimeoutMs: lockup }] }) as unknown as Parameters<typeof pieceBudgetMs>[1];
  assert.is(pieceBudgetMs(DECK, topology({ gfx: 10_000, compute: 10_000, sdma: 1, video: 1 })), 200);
  assert.is(pieceBudgetMs(DECK, topology({ gfx: 500, compute: 'never', sdma: 1, video: 1 })), 50);
  assert.is(pieceBudgetMs(DECK, topology(undefined)), 200);
  assert.is(pieceBudgetMs({ ...DECK, software: true }, topology(undefined)), undefined);
});

test.run();
