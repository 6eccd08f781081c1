/** The model that ships with firstlight: its greedy text, and that int8 arithmetic tells a story too. */
import { existsSync, readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { runGolden } from '../../engine/golden.ts';
import { loadModel } from '../../engine/model.ts';
import { createSession } from '../../engine/session.ts';
import { builtinPath, openCheckpoint } from '../../loaders/checkpoint.ts';
import { deviceTests } from '../device.ts';
import { runCli } from '../run-cli.ts';

const test = suite('built-in model');
const check = await deviceTests(test);

/** Logits are right to about this; a smaller gap may close. */
const EXACT = 1e-3;

check('exact arithmetic gives the greedy ids that PyTorch computed', async (device) => {
  assert.ok(existsSync(builtinPath()), 'the built-in model is in the package');
  const expected = JSON.parse(readFileSync(new URL('../../engine/builtin/expected.json', import.meta.url), 'utf8'));
  const checkpoint = await openCheckpoint(builtinPath());
  const model = await loadModel(device, checkpoint, { arithmetic: 'f32' });
  const session = await createSession(model, { context: 128 });
  assert.equal(model.tokenizer?.encode(expected.prompt), expected.prompt_ids);
  const tie = expected.gaps.findIndex((gap: number) => gap < 2 * EXACT);
  const count = tie < 0 ? expected.greedy_ids.length : tie;
  assert.ok(count >= 32, 'enough ids before the first near-tie');
  const ids: number[] = [];
  for await (const id of session.generate(expected.prompt_ids, { temperature: 0, maxTokens: count })) ids.push(id);
  assert.equal(ids, expected.greedy_ids.slice(0, count));
  await session.close();
  await model.close();
  await checkpoint.close();
});

check("the golden test finds nothing wrong with this device's usual kernels", async (device) => {
  const before = device.memory();
  const { checked, wrong } = await runGolden(device, 'usual');
  assert.is(wrong, 0);
  assert.ok(checked >= 15, `${checked} positions are clear`);
  assert.equal(device.memory(), before);
});

test('the doctor says what is wrong, for people and for programs, by its exit code too', async () => {
  const { code, stdout } = await runCli(['doctor', '--adapter', 'Voodoo 2', '--json']);
  assert.is(code, 1);
  const { ok, findings, adapter } = JSON.parse(stdout);
  assert.equal([ok, adapter], [false, null]);
  const found = findings.find(({ check }: { check: string }) => check === 'adapter');
  assert.match(found.text, /no adapter "Voodoo 2"|no Vulkan device answers/);
  const people = await runCli(['doctor', '--adapter', 'Voodoo 2']);
  assert.match(people.stdout, /^error {4}adapter/m);
});

test.run();
