/** Which tests a benchmark is made of. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
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

test.run();
