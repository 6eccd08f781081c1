/** What takes minutes or much memory: only with FIRSTLIGHT_TEST_LONG=1. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openDevice } from '../../devices/open.ts';
import type { Device } from '../../devices/types.ts';
import { loadModel } from '../../engine/model.ts';
import { createReference } from '../../engine/reference.ts';
import { createSession } from '../../engine/session.ts';
import { openFolder } from '../../loaders/checkpoint.ts';
import type { LlamaConfig } from '../../loaders/types.ts';
import { blankCheckpoint } from '../blank-model.ts';
import { deviceTests, testAdapter } from '../device.ts';
import { relativeError } from '../kernel.ts';
import { memoryFolder, randomWeights, SMALL_LLAMA, safetensorsFolder } from '../random-model.ts';

const test = suite('long');
const LONG = Boolean(process.env.FIRSTLIGHT_TEST_LONG);
const check = LONG ? await deviceTests(test) : (name: string, _: (device: Device) => Promise<void>) => test.skip(name);
if (!LONG) console.log('long: 3 tests are skipped, they need FIRSTLIGHT_TEST_LONG=1');

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

/** Loads, makes a token, and closes, over and over; compares what the process holds early and late. */
async function stayFlat(round: () => Promise<void>): Promise<void> {
  const resident: number[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    await round();
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

check('an output matrix of 128 k rows that exceeds a binding gives the logits of the reference', async (device) => {
  const config = { ...SMALL_LLAMA, vocab: 128_256, hidden: 288, layers: 1, tiedEmbeddings: true };
  const checkpoint = await openFolder(memoryFolder(safetensorsFolder(config, randomWeights(config))));
  // lavapipe's own limit; elsewhere it is pretended
  const limits = {
    ...device.traits.limits,
    maxBindingBytes: Math.min(device.traits.limits.maxBindingBytes, 128 * MIB),
  };
  const model = await loadModel({ ...device, traits: { ...device.traits, limits } }, checkpoint, {
    arithmetic: 'f32',
    context: 64,
  });
  assert.is(model.weights.matrices.get('embed')?.parts.length, 2);
  const session = await createSession(model);
  const reference = await createReference(checkpoint);
  const ids = [5, 128_255, 70_000];
  let at = 0;
  for await (const logits of session.logits(ids)) {
    const error = relativeError(logits, reference.next(ids[at++] as number));
    assert.ok(error < 1e-5, `position ${at}: off by ${error}`);
  }
  await session.close();
  await model.close();
});

test.run();
