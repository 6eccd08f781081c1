/** How long passes are cut. */
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../devices/types.ts';
import type { EncodedStep } from '../../engine/encode.ts';
import { createCutting, createPieces, cutSteps, passSizes, pieceBudgetMs } from '../../engine/pieces.ts';
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
    const cutting = createCutting(200, 60e9);
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

/** A GPU that does steps of `stepMs` one after another; `submits` are the milliseconds of each submit. */
function fakeGpu(stepMs: number) {
  const submits: number[] = [];
  let freeMs = 0;
  const createCommandEncoder = () => {
    let ms = 0;
    const dispatchWorkgroups = () => {
      ms += stepMs;
    };
    const pass = { setPipeline() {}, setBindGroup() {}, dispatchWorkgroups, end() {} };
    return { beginComputePass: () => pass, finish: () => ({ ms }) };
  };
  const queue = {
    submit([{ ms }]: [{ ms: number }]) {
      submits.push(ms);
      freeMs = Math.max(freeMs, performance.now()) + ms;
    },
    onSubmittedWorkDone: () => sleep(Math.max(0, freeMs - performance.now())),
  };
  const device = { gpu: { createCommandEncoder, queue }, guard: (done: unknown) => done, traits: DECK };
  return { device: device as unknown as Device, submits };
}

const stepsOf = (count: number, macs: number, over: 'columns' | 'outputs' = 'columns') => {
  const grid = { x: 1, over, each: 1, z: 1 };
  return Array.from({ length: count }, () => ({ macs, macsPerKey: 0, grid }) as unknown as EncodedStep);
};

test('a slow device gets submits within the budget, and progress and aborts are heard between them', async () => {
  const { device, submits } = fakeGpu(10);
  const pieces = createPieces(device, 50);
  const steps = stepsOf(40, 10e9); // the first piece is a guess: five or six of them
  const shares: number[] = [];
  await pieces.run({ steps }, { size: { columns: 1, outputs: 1 }, keys: 1, onPiece: (share) => shares.push(share) });
  assert.is(
    submits.reduce((sum, ms) => sum + ms, 0),
    400,
  );
  assert.ok(Math.max(...submits) <= 60, `submits of ${submits} ms`);
  assert.is(shares.length, submits.length - 1);
  for (const [i, share] of shares.entries()) assert.ok(share > (shares[i - 1] ?? 0) && share < 1);

  const before = submits.length;
  const onPiece = () => {
    throw new Error('enough');
  };
  const stopped = pieces.run({ steps }, { size: { columns: 1, outputs: 1 }, keys: 1, onPiece });
  await stopped.then(
    () => assert.unreachable(),
    (error: Error) => assert.is(error.message, 'enough'),
  );
  assert.is(submits.length, before + 1, 'nothing is submitted after the abort');
});

test('logits count for the outputs of a pass, not for its columns', async () => {
  const { device } = fakeGpu(1);
  const steps = [...stepsOf(1, 1e9), ...stepsOf(1, 1e9, 'outputs')];
  const shares: number[] = [];
  const size = { columns: 99, outputs: 1 };
  await createPieces(device, 50).run({ steps }, { size, keys: 1, onPiece: (share) => shares.push(share) });
  assert.equal(
    shares.map((share) => share.toFixed(2)),
    ['0.99'],
  );
});

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
  assert.is(pieceBudgetMs({ ...DECK, software: true }, topology(undefined)), 500, 'nothing watches a CPU driver');
});

test.run();
