/** What takes minutes or much memory: only with FIRSTLIGHT_TEST_LONG=1. */
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
import { deviceTests, testAdapter } from '../device.ts';
import { SMALL_LLAMA } from '../random-model.ts';

const test = suite('long');
const LONG = Boolean(process.env.FIRSTLIGHT_TEST_LONG);
const check = LONG ? await deviceTests(test) : (name: string, _: (device: Device) => Promise<void>) => test.skip(name);
if (!LONG) console.log('long: 2 tests are skipped, they need FIRSTLIGHT_TEST_LONG=1');

const MIB = 2 ** 20;
const ROUNDS = 50;
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

/** What V8 has not collected yet is no leak, and varies by tens of MiB. */
setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

/** Loads, makes a token, and closes, over and over; compares what the process holds early and late. */
async function stayFlat(round: () => Promise<void>): Promise<void> {
  const resident: number[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    await round();
    collectGarbage();
    resident.push(process.memoryUsage.rss());
  }
  const least = (from: number, to: number) => Math.min(...resident.slice(from, to));
  const [early, late] = [least(5, 15), least(ROUNDS - 10, ROUNDS)];
  console.log(`  ${Math.round(early / MIB)} MiB in rounds 6 to 15, ${Math.round(late / MIB)} MiB in the last ten`);
  assert.ok(late <= 1.05 * early, `${early} bytes became ${late}`);
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
