/** Which tests a benchmark is made of. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readArguments } from '../../bin/arguments.ts';
import { bench, testsOf } from '../../bin/bench.ts';
import { usualTests } from '../../engine/bench.ts';

const test = suite('bench');

test('the usual tests, as far as the context has room for them', () => {
  const names = (context: number) => usualTests(context).map(({ name }) => name);
  assert.equal(names(131072), ['pp128', 'pp512', 'pp2048', 'tg128', 'pp512@d4096']);
  assert.equal(names(4096), ['pp128', 'pp512', 'pp2048', 'tg128', 'pp512@d3582']);
  assert.equal(names(1024), ['pp128', 'pp512', 'tg128', 'pp512@d510']);
  assert.equal(names(130), ['pp128', 'tg128']);
  assert.equal(names(128), []);
});

test('the flags choose the tests', () => {
  const names = (...args: string[]) => testsOf(readArguments(bench, args).values, 4096).map(({ name }) => name);
  assert.equal(names(), ['pp512', 'tg128']);
  assert.equal(names('-p', '0', '--depth', '64'), ['tg128@d64']);
  assert.equal(names('-n', '0', '--prompt', '7'), ['pp7']);
  assert.equal(names('--blog'), ['tg512']);
  assert.equal(
    names('--full'),
    usualTests(4096).map(({ name }) => name),
  );
});

test.run();
