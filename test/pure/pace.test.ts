import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createPace } from '../../engine/pace.ts';

/** A pace that has seen tokens with these gaps, and the time of the last. */
function paceOf(gaps: readonly number[]) {
  const pace = createPace();
  let now = 0;
  for (const gap of gaps) {
    now += gap;
    pace.arrived(now);
  }
  return { pace, now };
}

const steady = new Array<number>(20).fill(2);

const test = suite('pace');

test('a steady pace is foreseen', () => {
  const pace = createPace();
  assert.is(pace.dueMs(0), 0);
  for (let at = 0; at <= 100; at += 10) pace.arrived(at);
  assert.is(pace.dueMs(100), 10);
  assert.is(pace.dueMs(104), 6);
  assert.is(pace.dueMs(150), 0);
});

test('a stall, and the tokens that were ready behind it, do not change what is foreseen', () => {
  const { pace, now } = paceOf([...steady, 50, 0, 0]);
  assert.is(pace.dueMs(now), 2);
});

test('a new pace is learnt within a few tokens', () => {
  const { pace, now } = paceOf([...steady, ...new Array<number>(7).fill(40)]);
  assert.is(pace.dueMs(now), 40);
});

/** A GPU that takes so long for each token, behind a queue of bursts; answers the milliseconds that a text takes. */
function play(pace: ReturnType<typeof createPace>, tokenMs: number, tokens: number, lateMs: number): number {
  const queue: { readonly count: number; readonly readyMs: number }[] = [];
  let [nowMs, gpuMs, sent, read] = [0, 0, 0, 0];
  pace.restart();
  while (read < tokens) {
    while (queue.length < 3 && sent < tokens) {
      const count = Math.min(pace.burst(), tokens - sent);
      gpuMs = Math.max(gpuMs, nowMs) + count * tokenMs;
      queue.push({ count, readyMs: gpuMs });
      sent += count;
    }
    const { count, readyMs } = queue.shift()!;
    const sleepMs = Math.floor(pace.dueMs(nowMs, count));
    if (sleepMs >= 1) nowMs += sleepMs + lateMs;
    const waited = readyMs > nowMs;
    nowMs = Math.max(nowMs, readyMs) + 0.05;
    pace.arrived(nowMs, count, waited);
    read += count;
  }
  return nowMs;
}

test('who has slept too long comes to look in time again', () => {
  for (const lateMs of [0.2, 1]) {
    const { pace } = paceOf(new Array(20).fill(20)); // as at the start, when the GPU still sleeps
    play(pace, 2, 64, lateMs);
    const tookMs = play(pace, 2, 256, lateMs);
    assert.ok(tookMs < 1.05 * 2 * 256, `${tookMs} ms`);
    assert.is(pace.burst(), 6);
  }
});

test('tokens that were there already tell nothing of the pace', () => {
  const { pace, now } = paceOf(steady);
  pace.arrived(now + 5, 1, false);
  assert.is(pace.dueMs(now + 5, 4), 4); // 5 tokens behind the last that was waited for, looked for 1 ms early
  pace.arrived(now + 11, 4, true);
  assert.is(pace.dueMs(now + 11), 2);
});

test('bursts are as long as nobody notices, and none before the pace is known', () => {
  assert.is(paceOf([1, 1, 1]).pace.burst(), 1);
  assert.is(paceOf(steady).pace.burst(), 6);
  assert.is(paceOf(new Array(20).fill(0.1)).pace.burst(), 16);
  assert.is(paceOf(new Array(20).fill(80)).pace.burst(), 1);
});

test('a burst counts as its tokens', () => {
  const pace = createPace();
  for (let at = 0; at <= 80; at += 8) pace.arrived(at, 4);
  assert.is(pace.dueMs(80), 2);
  assert.is(pace.dueMs(81, 4), 7);
});

test('the next text begins at the pace of the last, and the pause between them is no gap', () => {
  const { pace, now } = paceOf(steady);
  pace.restart();
  assert.is(pace.dueMs(now + 9000), 0);
  assert.is(pace.burst(), 6);
  pace.arrived(now + 9000);
  assert.is(pace.dueMs(now + 9000), 2);
});

test.run();
