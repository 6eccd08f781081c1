/** The check of a model's first logits: sound models of all kinds pass it, and numbers that are wrong do not go unnoticed. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../devices/types.ts';
import { createBatch } from '../../engine/batch.ts';
import { type LoadOptions, loadModel, type Model } from '../../engine/model.ts';
import { createSession } from '../../engine/session.ts';
import { openFolder } from '../../loaders/checkpoint.ts';
import type { LlamaConfig } from '../../loaders/types.ts';
import { deviceTests } from '../device.ts';
import { expectError } from '../pure/expect-error.ts';
import { memoryFolder, randomWeights, SMALL_LLAMA, safetensorsFolder } from '../random-model.ts';

const test = suite('self-test');
const check = await deviceTests(test);

async function withModel(
  device: Device,
  config: LlamaConfig,
  options: LoadOptions,
  work: (model: Model) => Promise<void>,
): Promise<void> {
  const folder = memoryFolder(safetensorsFolder(config, randomWeights(config)));
  const model = await loadModel(device, await openFolder(folder), { context: 64, ...options });
  try {
    await work(model);
  } finally {
    await model.close();
  }
}

async function first(model: Model, ids: readonly number[]): Promise<number> {
  const session = await createSession(model);
  try {
    return (await session.generate(ids, { temperature: 0, maxTokens: 1 }).next()).value as number;
  } finally {
    await session.close();
  }
}

for (const weights of ['native', 'q4', 'q8'] as const) {
  check(`a sound model passes, with ${weights} weights`, async (device) => {
    for (const config of [
      SMALL_LLAMA,
      { ...SMALL_LLAMA, tiedEmbeddings: true, hidden: 60, headDim: 20, ropeDim: 20, heads: 3, kvHeads: 3 },
    ])
      await withModel(device, config, { weights }, async (model) => {
        assert.ok(model.selfTest.pending);
        await first(model, [1, 2, 3, 4, 5]);
        assert.not.ok(model.selfTest.pending, 'it was checked');
      });
  });
}

check('weights that have not arrived, and numbers that are none, are told', async (device) => {
  for (const name of ['output.codes', 'finalGain', 'layers.0.attentionGain']) {
    await withModel(device, SMALL_LLAMA, {}, async (model) => {
      const buffer = model.buffer(name)!;
      const garbage = new Float32Array(buffer.size / 4);
      // of another model, or what overflows to no number at all
      for (let i = 0; i < garbage.length; i++)
        garbage[i] = name === 'layers.0.attentionGain' ? 3e38 : Math.sin(i * i) / (name === 'output.codes' ? 8 : 1);
      await device.upload(buffer, 0, garbage);
      await expectError(
        () => first(model, [1, 2, 3]),
        'wrong-result',
        /computes wrong numbers, the first logits are (off by \d+ %|no numbers): see "firstlight doctor"/,
      );
      await expectError(() => first(model, [4]), 'wrong-result', /wrong numbers/);
      const batch = await createBatch(model, { slots: 2 });
      await expectError(() => batch.tokens([1, 2]).next(), 'wrong-result', /wrong numbers/);
      await batch.close();
    });
  }
});

test.run();
