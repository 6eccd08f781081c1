/** Waiting, on a stand-in for a device whose loss and errors the tests raise when they like. */
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Watch, watchDevice } from '../../devices/wait.ts';
import { FirstlightError } from '../../quant/errors.ts';

interface Context {
  watch: Watch;
  lose(message: string): void;
  raise(error: { message: string }): void;
}

class GPUOutOfMemoryError extends Error {}

const test = suite<Context>('wait');

test.before.each((context) => {
  let listener: (event: { error: { message: string } }) => void = () => {};
  const lost = new Promise<{ message: string }>((resolve) => {
    context.lose = (message) => resolve({ message });
  });
  context.raise = (error) => listener({ error });
  const gpu = {
    lost,
    addEventListener(type: string, given: typeof listener) {
      assert.is(type, 'uncapturederror');
      listener = given;
    },
  };
  context.watch = watchDevice(gpu as unknown as GPUDevice, 500);
});

async function failureOf(work: Promise<unknown>): Promise<Error & { code?: string }> {
  return work.then(
    () => assert.unreachable('it did not fail'),
    (error) => error,
  );
}

const never = new Promise<never>(() => {});

test('passes on what work resolves to, and its own errors', async ({ watch }) => {
  assert.is(await watch.guard(Promise.resolve(7), 'counting'), 7);
  const own = new Error('its own');
  assert.is(await failureOf(watch.guard(Promise.reject(own), 'counting')), own);
});

test('ends at the time-out that is given, and not before', async ({ watch }) => {
  const start = performance.now();
  const error = await failureOf(watch.guard(never, 'hanging', 40));
  const tookMs = performance.now() - start;
  assert.ok(tookMs >= 35 && tookMs < 400, `${tookMs} ms`);
  assert.is(error.code, 'device-timeout');
  assert.match(error.message, 'did not answer within 40 ms while hanging');
});

test('ends every wait when the device is lost, in one line', async ({ watch, lose }) => {
  const waits = [failureOf(watch.guard(never, 'reading')), failureOf(watch.guard(never, 'writing'))];
  lose('VK_ERROR_DEVICE_LOST\n    at Submit (/somewhere/QueueVk.cpp:12)\n');
  const [first, second] = await Promise.all(waits);
  assert.equal([first!.code, second!.code], ['device-lost', 'device-lost']);
  assert.match(first!.message, /^the GPU was lost while reading \(VK_ERROR_DEVICE_LOST\): open the device again/);
  assert.match(second!.message, 'while writing');
  assert.is(await watch.lost, 'VK_ERROR_DEVICE_LOST\n    at Submit (/somewhere/QueueVk.cpp:12)\n');
  assert.is((await failureOf(watch.guard(Promise.resolve(1), 'more'))).code, 'device-lost');
});

test('takes work that fails just before the loss as lost', async ({ watch, lose }) => {
  const wait = failureOf(watch.guard(Promise.reject(new Error('AbortError')), 'mapping'));
  await sleep(2);
  lose('reset');
  assert.is((await wait).code, 'device-lost');
});

test('throws what was raised since the last wait, once', async ({ watch, raise }) => {
  raise(new Error('bad binding\n - While encoding'));
  const error = await failureOf(watch.guard(Promise.resolve(1), 'running'));
  assert.match(error.message, /the GPU refused a call.*: bad binding - While encoding$/);
  assert.is(await watch.guard(Promise.resolve(1), 'running'), 1);
  raise(new GPUOutOfMemoryError('vkAllocateMemory'));
  assert.is((await failureOf(watch.guard(Promise.resolve(1), 'running'))).code, 'not-enough-memory');
});

test('gives the reason that was raised rather than its effect', async ({ watch, raise }) => {
  const wait = failureOf(watch.guard(Promise.reject(new Error('not mapped')), 'mapping'));
  raise(new Error('no such buffer'));
  assert.match((await wait).message, 'no such buffer');
});

test('keeps what is raised after a time-out for the next wait', async ({ watch, raise }) => {
  let finish: () => void = () => {};
  const slow = new Promise<void>((resolve) => {
    finish = resolve;
  });
  await failureOf(watch.guard(slow, 'running', 5));
  raise(new Error('late'));
  finish();
  await sleep(5);
  assert.match((await failureOf(watch.guard(Promise.resolve(1), 'running'))).message, 'late');
});

test('joins several errors, but not thousands', async ({ watch, raise }) => {
  for (let i = 0; i < 1000; i += 1) raise(new Error(`number ${i}.`));
  const { message } = await failureOf(watch.guard(Promise.resolve(1), 'running'));
  assert.match(message, /number 0\.; then: .*number 1\./);
  assert.ok(message.length < 2000, `${message.length} characters`);
});

test('memory that ran out is told without what followed from it', async ({ watch, raise }) => {
  raise(new Error('[Invalid Buffer "x"] is invalid due to a previous error.'));
  watch.collect(Promise.resolve(new FirstlightError('not-enough-memory', 'no room')));
  const error = await failureOf(watch.guard(Promise.resolve(1), 'running'));
  assert.equal([error.code, error.message], ['not-enough-memory', 'no room']);
});

test('awaits the outcome of error scopes', async ({ watch }) => {
  watch.collect(sleep(10).then(() => new FirstlightError('not-enough-memory', 'no room')));
  watch.collect(sleep(5).then(() => undefined));
  watch.collect(sleep(5).then(() => Promise.reject(new Error('a scope of a lost device'))));
  const error = await failureOf(watch.guard(Promise.resolve(1), 'running'));
  assert.equal([error.code, error.message], ['not-enough-memory', 'no room']);
  assert.is(await watch.guard(Promise.resolve(1), 'running'), 1);
});

test.run();
