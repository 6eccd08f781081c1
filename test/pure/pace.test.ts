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
  const { pace, now } = paceOf([...steady, 40, 40, 40, 40, 40]);
  assert.is(pace.dueMs(now), 40);
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
