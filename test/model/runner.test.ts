/** Several sequences in one pass: each gets what it would get alone. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { loadModel } from '../../engine/model.ts';
import { createRunner } from '../../engine/runner.ts';
import { completeSampling } from '../../engine/sampler.ts';
import { createSession } from '../../engine/session.ts';
import { FROM_RING } from '../../engine/state.ts';
import { openFolder } from '../../loaders/checkpoint.ts';
import { deviceTests } from '../device.ts';
import { memoryFolder, randomWeights, SMALL_LLAMA, safetensorsFolder } from '../random-model.ts';

const test = suite('runner');
const check = await deviceTests(test);

check('three sequences at different positions, chosen tokens fed from the ring and by themselves', async (device) => {
  const checkpoint = await openFolder(memoryFolder(safetensorsFolder(SMALL_LLAMA, randomWeights(SMALL_LLAMA))));
  const model = await loadModel(device, checkpoint, { context: 64 });
  const prompts = [[5, 9, 2, 7], [1], [3, 3, 8, 99, 42, 17, 6]];
  const makeAlone = async (ids: readonly number[]) => {
    const session = await createSession(model);
    const got: number[] = [];
    for await (const id of session.generate(ids, { temperature: 0, maxTokens: 6 })) got.push(id);
    await session.close();
    return got;
  };
  const wanted: number[][] = [];
  for (const ids of prompts) wanted.push(await makeAlone(ids));

  const runner = await createRunner(model, { slots: prompts.length });
  try {
    const choice = 'greedy';
    await runner.prepare(choice, [1]);
    const got: number[][] = [];
    for (const [slot, ids] of prompts.entries()) {
      runner.setSampler(slot, completeSampling({ temperature: 0 }));
      const columns = ids.map((token, position) => ({ token, position, slot }));
      runner.place(columns, [columns.length - 1], false);
      const size = { columns: columns.length, outputs: 1 };
      await runner.submit({ kind: 'ending', choice }, size, { ticket: 0, slot, position: ids.length });
      got.push([...(await runner.chosen(0, 0)).ids]);
    }
    const slots = [...prompts.keys()];
    for (let step = 0; step < 5; step++) {
      // the first pass is placed by the CPU, which need not know the tokens; the others go on by themselves
      const columns = prompts.map((ids, slot) => ({ token: FROM_RING, position: ids.length + step, slot }));
      if (step < 2) runner.place(columns, slots, step === 1);
      await runner.submit({ kind: 'decode', choice, position: 0 }, { columns: 3, outputs: 3 });
      for (const [slot, { position }] of columns.entries()) {
        await runner.submit(
          { kind: 'prompt' },
          { columns: 0, outputs: 0 },
          { ticket: 0, slot, position: position + 1 },
        );
        got[slot]?.push(...(await runner.chosen(0, 0)).ids);
      }
    }
    assert.equal(got, wanted);
  } finally {
    await runner.close();
    await model.close();
    await checkpoint.close();
  }
});

check('a burst makes the tokens of single passes, also over the end of the ring and of the cache', async (device) => {
  const checkpoint = await openFolder(memoryFolder(safetensorsFolder(SMALL_LLAMA, randomWeights(SMALL_LLAMA))));
  const model = await loadModel(device, checkpoint, { context: 96 });
  const prompt = Array.from({ length: 58 }, (_, i) => (i * 7) % 90);
  const session = await createSession(model);
  const wanted: number[] = [];
  for await (const id of session.generate(prompt, { temperature: 0, maxTokens: 13 })) wanted.push(id);
  await session.close();

  const runner = await createRunner(model, { chunk: prompt.length });
  try {
    const choice = 'greedy';
    await runner.prepare(choice, [prompt.length]);
    runner.setSampler(0, completeSampling({ temperature: 0 }));
    const columns = prompt.map((token, position) => ({ token, position, slot: 0 }));
    runner.place(columns, [columns.length - 1], true);
    const first = { ticket: 0, slot: 0, position: prompt.length };
    await runner.submit({ kind: 'ending', choice }, { columns: columns.length, outputs: 1 }, first);
    const got = [...(await runner.chosen(0, 0)).ids];
    for (const tokens of [4, 8]) {
      const position = prompt.length + got.length; // of the first of them
      const wantedThere = { ticket: tokens % 3, slot: 0, position };
      await runner.submitBurst({ kind: 'decode', choice, position: position - 1 }, tokens, wantedThere);
      got.push(...(await runner.chosen(tokens % 3, 0, tokens)).ids);
    }
    assert.equal(got, wanted);
  } finally {
    await runner.close();
    await model.close();
    await checkpoint.close();
  }
});

test.run();
