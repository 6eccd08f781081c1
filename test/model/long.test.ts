/** What takes minutes or much memory: only with FIRSTLIGHT_TEST_LONG=1. */
import { setImmediate as turn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openDevice } from '../../devices/open.ts';
import type { Device } from '../../devices/types.ts';
import { loadModel } from '../../engine/model.ts';
import { createSession } from '../../engine/session.ts';
import type { LlamaConfig } from '../../loaders/types.ts';
import { blankCheckpoint } from '../blank-model.ts';
import { deviceTests, onlyLong, testAdapter } from '../device.ts';
import { SMALL_LLAMA } from '../random-model.ts';

const test = suite('long');
const check = onlyLong('long', test, await deviceTests(test));

const MIB = 2 ** 20;
const ROUNDS = 50;
const WARM_UP = 15;
/** Of the first and of the last so many rounds the medians are compared. */
const SOME = 10;
/** 30 MiB of weights. */
const MODEL: LlamaConfig = {
  ...SMALL_LLAMA,
  layers: 4,
  hidden: 1024,
  feedForward: 2816,
  heads: 16,
  kvHeads: 16,
  headDim: 64,
};

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

/** What V8 has not collected yet is no leak. Dawn's objects end in finalizers, which run after a turn and let go of others. */
async function collectAll(): Promise<void> {
  for (let i = 0; i < 3; i++) {
    collectGarbage();
    await turn();
  }
}

/**
 * Loads, makes a token, and closes, over and over. First some rounds in which V8 compiles and the allocator's arenas take
 * their shape; then neither the process nor V8's heap may grow.
 */
async function stayFlat(round: () => Promise<void>): Promise<void> {
  const used: { readonly process: number; readonly heap: number }[] = [];
  for (let i = 0; i < WARM_UP + ROUNDS; i++) {
    await round();
    await collectAll();
    const { rss, heapUsed } = process.memoryUsage();
    used.push({ process: rss, heap: heapUsed });
  }
  for (const what of ['process', 'heap'] as const) {
    const series = used.slice(WARM_UP).map((each) => each[what]);
    const [early, late] = [medianOf(series.slice(0, SOME)), medianOf(series.slice(-SOME))];
    const change = `${what}: ${(early / MIB).toFixed(1)} MiB became ${(late / MIB).toFixed(1)} MiB in ${ROUNDS} rounds`;
    console.log(`  ${change}`);
    assert.ok(late <= 1.05 * early, change);
  }
}

function medianOf(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

async function loadAndClose(device: Device): Promise<void> {
  const model = await loadModel(device, blankCheckpoint({ ...MODEL, ropeDim: 64 }, 'Q4_0'), { context: 128 });
  const session = await createSession(model);
  for await (const _ of session.generate([1, 2, 3], { temperature: 0, maxTokens: 2 }));
  await session.close();
  await model.close();
}

check(`${ROUNDS} loads on one device leave the process and the device as they were`, async (device) => {
  await loadAndClose(device);
  const before = device.memory();
  await stayFlat(async () => {
    await loadAndClose(device);
    assert.equal(device.memory(), before);
  });
});

check(`${ROUNDS} loads, each on a device of its own that is closed with all it holds`, async () => {
  await stayFlat(async () => {
    const device = await openDevice({ adapter: testAdapter });
    const model = await loadModel(device, blankCheckpoint({ ...MODEL, ropeDim: 64 }, 'Q4_0'), { context: 128 });
    await createSession(model);
    device.close();
    await device.lost;
  });
});

test.run();
