/** What the flags of commands that load a model mean for the engine: each sets what it is named after, and nothing else. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readArguments } from '../../bin/arguments.ts';
import { openMeasured, SHAPE_FLAG } from '../../bin/measured.ts';
import {
  loadOptions,
  MODEL_FLAGS,
  type ModelFlags,
  type PLACEMENT_FLAGS,
  tuningMode,
  wantedAdapter,
} from '../../bin/model-flags.ts';
import type { LoadOptions } from '../../engine/model.ts';
import { expectError } from './expect-error.ts';

const test = suite('model flags');

function valuesOf(...args: string[]): ModelFlags {
  return readArguments({ operands: [], about: [], flags: MODEL_FLAGS, run: async () => {} }, args).values;
}

const PLACED: Readonly<
  Record<Exclude<keyof typeof PLACEMENT_FLAGS, 'adapter'>, readonly [args: string[], Partial<LoadOptions>][]>
> = {
  weights: [[['--weights', 'q8'], { weights: 'q8' }]],
  kv: [[['--kv', 'q8'], { kv: 'q8' }]],
  exact: [[['--exact'], { arithmetic: 'f32' }]],
  ctx: [
    [['--ctx', '77'], { context: 77 }],
    [['--ctx', 'largest'], { context: 'largest' }],
  ],
  margin: [[['--margin', '3'], { marginBytes: 3 * 2 ** 20 }]],
  memory: [[['--memory', '2GiB'], { memoryBytes: 2 ** 31 }]],
  'no-stream': [[['--no-stream'], { stream: false }]],
  overcommit: [[['--overcommit'], { overcommit: true }]],
};
for (const [flag, cases] of Object.entries(PLACED))
  test(`--${flag}`, () => {
    for (const [args, wanted] of cases) {
      const given = Object.entries(loadOptions(valuesOf(...args))).filter(([, value]) => value !== undefined);
      assert.equal(Object.fromEntries(given), { stream: true, ...wanted });
    }
  });

test('--adapter is a number or a part of a name', () => {
  assert.is(wantedAdapter(valuesOf('--adapter', '1')), 1);
  assert.is(wantedAdapter(valuesOf('--adapter', 'RADV 2')), 'RADV 2');
  assert.is(wantedAdapter(valuesOf()), undefined);
});

test('--no-tune and --retune', () => {
  assert.is(tuningMode(valuesOf('--no-tune')), 'never');
  assert.is(tuningMode(valuesOf('--retune')), 'again');
  assert.is(tuningMode(valuesOf()), 'auto');
});

test('--shape and --type make random weights instead of reading a file', async () => {
  const flags = { operands: [], about: [], flags: SHAPE_FLAG, run: async () => {} };
  const open = (...args: string[]) => openMeasured(readArguments(flags, args).values, undefined);
  const typesOf = async (...args: string[]) => {
    const checkpoint = await open(...args);
    const types = [...checkpoint.tensors.values()].filter(({ rows }) => rows > 1).map(({ type }) => type);
    await checkpoint.close();
    return [checkpoint.config.layers, ...new Set(types)];
  };
  assert.equal(await typesOf('--shape', 'llama2-7b'), [32, 'Q4_0']);
  assert.equal(await typesOf('--shape', 'llama3.2-1b', '--type', 'Q8_0'), [16, 'Q8_0']);
  await expectError(() => open('--shape', 'llama9'), 'bad-argument', /there is no shape "llama9": it must be one of/);
  const usage = await open('--type', 'Q8_0').then(
    () => '',
    (error: Error) => error.message,
  );
  assert.match(usage, /--type is for random weights/);
});

test.run();
