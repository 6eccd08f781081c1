/** Tuning: which cuts it measures, that a session obeys it, and the file it is kept in. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { loadModel } from '../../engine/model.ts';
import { createSession } from '../../engine/session.ts';
import { tune } from '../../engine/tune.ts';
import { deviceKey, readTuning, writeTuning } from '../../engine/tuning-store.ts';
import type { Tuning } from '../../engine/variants.ts';
import { openGgufSource } from '../../loaders/checkpoint.ts';
import { memorySource } from '../../loaders/source.ts';
import { deviceTests } from '../device.ts';
import { ggufFile, randomWeights, SMALL_LLAMA } from '../random-model.ts';

const test = suite('tune');
const check = await deviceTests(test);

check(
  'every cut that is measured agrees with the portable kernel, and a tuned session says the same',
  async (device) => {
    if (!device.traits.timestamps) return;
    const config = { ...SMALL_LLAMA, layers: 1 };
    const checkpoint = await openGgufSource(
      memorySource('random.gguf', ggufFile(config, randomWeights(config), 'Q4_0')),
    );
    const model = await loadModel(device, checkpoint, { gemv: 'lanes' });
    const reports: string[] = [];
    const tuning = await tune(model, {
      budgetMs: device.traits.software ? 1 : 60_000, // the first shape is finished nevertheless
      onShape({ shape, candidates }) {
        reports.push(shape);
        assert.ok(candidates.length > 0, shape);
        for (const { cut, wrong } of candidates) assert.not(wrong, `${shape} ${JSON.stringify(cut)} is wrong`);
      },
    });
    assert.ok(reports.length > 0);
    assert.equal(Object.keys(tuning).sort(), reports.sort());

    const text = async (options: { tuning?: Tuning }) => {
      const session = await createSession(model, { context: 64, ...options });
      const ids: number[] = [];
      for await (const id of session.generate([1, 2, 3], { temperature: 0, maxTokens: 8 })) ids.push(id);
      await session.close();
      return ids;
    };
    assert.equal(await text({ tuning }), await text({}));
    await model.close();
  },
);

const TUNING: Tuning = { 'i8-q4 64x64 by 32': { subgroup: 32, rowsEach: 4, split: 2 } };

test('a tuning comes back from its file, for its device only', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'firstlight-tune-'));
  const path = join(folder, 'deep', 'tune.json');
  try {
    assert.is(await readTuning(path, 'a'), undefined);
    await writeTuning(path, 'a', TUNING);
    await writeTuning(path, 'b', {});
    assert.equal(await readTuning(path, 'a'), TUNING);
    assert.equal(await readTuning(path, 'b'), {});
    assert.is(await readTuning(path, 'c'), undefined);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('a damaged or foreign file counts as none and is written anew', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'firstlight-tune-'));
  const path = join(folder, 'tune.json');
  try {
    const odd = [
      '',
      '{"version":2,"dev',
      '[]',
      'null',
      '{"version":1,"devices":{"a":{}}}',
      '{"version":2,"devices":{"a":{"x":{"subgroup":"32"}}}}',
    ];
    for (const text of odd) {
      await writeFile(path, text);
      assert.is(await readTuning(path, 'a'), undefined, text);
    }
    await writeTuning(path, 'a', TUNING);
    assert.equal(await readTuning(path, 'a'), TUNING);
    assert.match(await readFile(path, 'utf8'), '"version": 2');
  } finally {
    await rm(folder, { recursive: true });
  }
});

check('the key of a device names its driver, Dawn and kernels', (device) => {
  const key = deviceKey(device.traits, '9.9.9');
  assert.ok(key.includes(device.traits.name) && key.includes(device.traits.driver) && key.includes('webgpu 9.9.9'));
  assert.match(key, /kernels [0-9a-f]{12}$/);
});

test.run();
