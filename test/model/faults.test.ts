/**
 * Faults at every kind of place: allocations that fail, devices that are lost or hang. The same tokens follow, or it ends with
 * an error that says why, and all memory is given back.
 *
 * FIRSTLIGHT_TEST_LONG=1 tries many more places.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openDevice } from '../../devices/open.ts';
import type { Device } from '../../devices/types.ts';
import { createDurableSession, type DurableOptions } from '../../engine/durable-session.ts';
import { loadModel } from '../../engine/model.ts';
import { createSession, type Session, type TokenOptions } from '../../engine/session.ts';
import { openFolder } from '../../loaders/checkpoint.ts';
import { FirstlightError } from '../../quant/errors.ts';
import { deviceTests, LONG, testAdapter } from '../device.ts';
import { destroyAt, watchAllocations } from '../faults.ts';
import { expectError } from '../pure/expect-error.ts';
import { memoryFolder, randomWeights, SMALL_LLAMA, safetensorsFolder } from '../random-model.ts';

const test = suite('faults');
const check = await deviceTests(test);

const PLACES = LONG ? 40 : 4;
const CHECKPOINT = await openFolder(memoryFolder(safetensorsFolder(SMALL_LLAMA, randomWeights(SMALL_LLAMA), 'Q4_0')));
const PROMPT = Array.from({ length: 40 }, (_, i) => (13 * i + 5) % 100);
const TOKENS = 36;
const open = (timeoutMs?: number) => openDevice({ adapter: testAdapter, validate: true, timeoutMs });

/** With a chunk that makes several passes of the prompt, and a cache that grows while tokens are made: beyond 64 positions. */
const SESSION = { chunk: 8, reserve: 32 };

async function durable(options: Partial<DurableOptions> = {}): Promise<Session> {
  return createDurableSession({
    checkpoint: CHECKPOINT,
    openDevice: open,
    load: { context: 128 },
    session: SESSION,
    ...options,
  });
}

async function collect(session: Session, options: TokenOptions = {}): Promise<number[]> {
  const got: number[] = [];
  for await (const { id } of session.tokens(PROMPT, { temperature: 0, maxTokens: TOKENS, ...options })) got.push(id);
  return got;
}

let undisturbed: number[] = [];
let undisturbedBytes: ReturnType<Device['memory']>;
let submits = 0;
check('undisturbed, for comparison', async () => {
  const counter = destroyAt(-1);
  const session = await durable({ openDevice: async () => counter.watch(await open()) });
  undisturbed = await collect(session);
  submits = counter.count;
  undisturbedBytes = session.model.memory();
  await session.close();
  assert.is(undisturbed.length, TOKENS);
  assert.ok(submits > 30, `${submits} submits`);
});

check(`a device that is lost at ${PLACES} places from the load to the last token`, async () => {
  let lost = 0;
  for (let place = 0; place < PLACES; place++) {
    const submit = Math.floor((place * (submits - 1)) / (PLACES - 1));
    const counter = destroyAt(submit);
    const told: string[] = [];
    const session = await durable({
      openDevice: async () => counter.watch(await open()),
      onFault: (line) => told.push(line),
    });
    assert.equal(await collect(session), undisturbed, `lost at submit ${submit} of ${submits}`);
    assert.ok(told.length <= 1, `lost at submit ${submit} of ${submits}`);
    assert.equal(session.model.memory(), undisturbedBytes, `lost at submit ${submit} of ${submits}`);
    lost += told.length;
    for (const line of told) assert.match(line, /^the GPU was lost while .*goes on where it was$/);
    await session.close();
  }
  // how many submits there are goes by the pace; the last ones may not be needed, or not come
  assert.ok(lost >= PLACES / 2, `${lost} of ${PLACES} were noticed`);
});

check('sampled text with penalties goes on as it would have', async () => {
  const options = { temperature: 1.2, seed: 7, presencePenalty: 1, frequencyPenalty: 0.5, topK: 20 };
  const session = await durable();
  const wanted = await collect(session, options);
  const got: number[] = [];
  for await (const { id } of session.tokens(PROMPT, { maxTokens: TOKENS, ...options }))
    if (got.push(id) === 9) session.model.device.gpu.destroy();
  await session.close();
  assert.equal(got, wanted);
});

check('a device that is lost between two generations, and in the middle of logits', async () => {
  const told: string[] = [];
  const session = await durable({ onFault: (line) => told.push(line) });
  assert.equal(await collect(session), undisturbed);
  session.model.device.gpu.destroy();
  assert.equal(await collect(session), undisturbed);
  const rows: number[][] = [];
  for await (const row of session.logits(PROMPT.slice(0, 12)))
    if (rows.push([...row]) === 3) session.model.device.gpu.destroy();
  const whole: number[][] = [];
  for await (const row of session.logits(PROMPT.slice(0, 12))) whole.push([...row]);
  assert.equal(rows, whole);
  assert.is(told.length, 2);
  await session.close();
});

check('a driver that hangs', async () => {
  let hanging = false;
  const never = new Promise<undefined>(() => {});
  const hang = (device: Device): Device => {
    const queue = device.gpu.queue as GPUQueue & Record<string, unknown>;
    const { onSubmittedWorkDone } = queue;
    queue.onSubmittedWorkDone = () => (hanging ? never : onSubmittedWorkDone.call(queue));
    const gpu = device.gpu as GPUDevice & Record<string, unknown>;
    const { createBuffer } = gpu;
    gpu.createBuffer = (descriptor) => {
      const buffer = createBuffer.call(gpu, descriptor) as GPUBuffer & Record<string, unknown>;
      const { mapAsync } = buffer;
      buffer.mapAsync = (...args: Parameters<GPUBuffer['mapAsync']>) =>
        hanging ? never : mapAsync.apply(buffer, args);
      return buffer;
    };
    return device;
  };
  const told: string[] = [];
  let opened = 0;
  const session = await durable({
    openDevice: async () => {
      const device = await open(opened++ === 0 ? 1500 : undefined);
      return opened === 1 ? hang(device) : device;
    },
    onFault: (line) => {
      hanging = false;
      told.push(line);
    },
  });
  const got: number[] = [];
  for await (const { id } of session.tokens(PROMPT, { temperature: 0, maxTokens: TOKENS }))
    if (got.push(id) === 5) hanging = true;
  assert.equal(got, undisturbed);
  assert.is(told.length, 1);
  assert.match(told[0]!, /^the GPU did not answer within 1500 ms/);
  await session.close();
});

check('a device that is lost again and again is given up after two faults', async () => {
  const told: string[] = [];
  const session = await durable({ onFault: (line) => told.push(line) });
  const got: number[] = [];
  const lose = () => session.model.device.gpu.destroy();
  const onPrefill = () => {
    if (got.length > 0) lose(); // while the text so far is read again
  };
  const work = async () => {
    for await (const { id } of session.tokens(PROMPT, { temperature: 0, maxTokens: TOKENS, onPrefill }))
      if (got.push(id) === 3) lose();
  };
  await expectError(work, 'device-lost', /^the GPU was lost .*then again: the GPU was lost/);
  assert.is(told.length, 1);
  assert.equal(got, undisturbed.slice(0, got.length));
  assert.ok(got.length >= 3 && got.length < TOKENS);
  assert.equal(await collect(session), undisturbed, 'whoever asks again gets another device');
  await session.close();
});

check('mistakes are no faults: they are told at once, and the session goes on', async () => {
  const session = await durable();
  const { device } = session.model;
  await expectError(() => collect(session, { temperature: -1 }), 'bad-argument', /temperature/);
  const stop = new Error('enough');
  const aborted = await collect(session, { signal: AbortSignal.abort(stop) }).catch((error) => error);
  assert.is(aborted, stop);
  assert.is(session.model.device, device);
  assert.equal(await collect(session), undisturbed);
  await session.close();
  await expectError(() => collect(session), 'bad-argument', /closed/);
});

check(
  'each allocation of a load and a session fails once: an error, no memory kept, and the next try works',
  async (device) => {
    const load = async () => {
      const model = await loadModel(device, CHECKPOINT, { context: 128 });
      try {
        const session = await createSession(model, SESSION);
        try {
          return await collect(session);
        } finally {
          await session.close();
        }
      } finally {
        await model.close();
      }
    };
    assert.equal(await load(), undisturbed); // takes the buffers that a device keeps, such as those for reading back
    const before = device.memory();
    const counter = watchAllocations(device, () => false);
    await load();
    counter.restore();
    assert.ok(counter.count > 40, `${counter.count} allocations`);
    const step = LONG ? 1 : Math.ceil(counter.count / 8);
    for (let failing = 0; failing < counter.count; failing += step) {
      const allocations = watchAllocations(device, (index) => index === failing);
      try {
        const error = await load().then(
          () => undefined,
          (error) => error,
        );
        assert.ok(error instanceof FirstlightError, `allocation ${failing}: ${error}`);
        assert.is(error.code, 'not-enough-memory', `allocation ${failing}: ${error.message}`);
      } finally {
        allocations.restore();
      }
      assert.equal(device.memory(), before, `allocation ${failing}`);
      if (LONG) assert.equal(await load(), undisturbed, `after allocation ${failing}`);
    }
    assert.equal(await load(), undisturbed);
  },
);

check('an allocation that fails while text is made is tried again on a fresh device', async () => {
  const told: string[] = [];
  const session = await durable({ onFault: (line) => told.push(line) });
  const first = session.model.device;
  const allocations = watchAllocations(first, (index) => index === 2);
  assert.equal(await collect(session), undisturbed);
  allocations.restore();
  assert.is(told.length, 1);
  assert.match(told[0]!, /^the KV cache cannot grow/);
  assert.is.not(session.model.device, first);
  await session.close();
});

check('closing what lies on a device that is closed already is no fault', async () => {
  const device = await open();
  const model = await loadModel(device, CHECKPOINT, { context: 128 });
  const session = await createSession(model, SESSION);
  await collect(session, { maxTokens: 2 });
  device.close();
  await expectError(() => collect(session), 'device-lost', /./);
  await session.close();
  await model.close();
});

test.run();
