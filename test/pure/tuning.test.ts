import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { tuningMode } from '../../bin/model-flags.ts';
import { dawnVersion, tuningPath } from '../../bin/tuning.ts';

const test = suite('tuning of the command line');

test('the version of Dawn is the pinned one', () => {
  const { dependencies } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  assert.is(dawnVersion(), dependencies.webgpu);
});

test('--no-tune outweighs --retune', () => {
  assert.is(tuningMode({ 'no-tune': true, retune: true }), 'never');
});

test('tunings are kept under XDG_CACHE_HOME', () => {
  const before = process.env.XDG_CACHE_HOME;
  process.env.XDG_CACHE_HOME = '/cache';
  try {
    assert.is(tuningPath(), '/cache/firstlight/tune.json');
  } finally {
    if (before === undefined) delete process.env.XDG_CACHE_HOME;
    else process.env.XDG_CACHE_HOME = before;
  }
});

test.run();
