/** The KV cache as it grows: the same text whatever it began with, and nothing lost that cannot be read again. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../devices/types.ts';
import type { KvFormat } from '../../engine/kv-cache.ts';
import { loadModel, type Model } from '../../engine/model.ts';
import { createRunner } from '../../engine/runner.ts';
import { createSession, type Session } from '../../engine/session.ts';
import { openFolder } from '../../loaders/checkpoint.ts';
import { deviceTests } from '../device.ts';
import { watchAllocations } from '../faults.ts';
import { expectError } from '../pure/expect-error.ts';
import { memoryFolder, randomWeights, SMALL_LLAMA, safetensorsFolder } from '../random-model.ts';

const test = suite('kv cache');
const check = await deviceTests(test);

const CONFIG = { ...SMALL_LLAMA, headDim: 32, ropeDim: 32, context: 2048 };
const FILES = safetensorsFolder(CONFIG, randomWeights(CONFIG));

async function withModel(device: Device, kv: KvFormat, work: (model: Model) => Promise<void>): Promise<void> {
  const checkpoint = await openFolder(memoryFolder(FILES));
  const model = await loadModel(device, checkpoint, { kv, arithmetic: 'f32', context: 1024 });
  try {
    await work(model);
  } finally {
    await model.close();
  }
}

async function collect(session: Session, ids: readonly number[], maxTokens: number): Promise<number[]> {
  const got: number[] = [];
  for await (const id of session.generate(ids, { temperature: 0, maxTokens })) got.push(id);
  return got;
}

for (const kv of ['f32', 'q8'] as const) {
  check(`a ${kv} cache that grows while tokens are made gives the same text`, async (device) => {
    await withModel(device, kv, async (model) => {
      const texts: number[][] = [];
      const bytes: number[] = [];
      for (const reserve of [1024, 64]) {
        const before = device.memory();
        const session = await createSession(model, { reserve });
        const first = device.memory().kv - before.kv;
        texts.push(await collect(session, [1, 2, 3], 290));
        bytes.push(first, device.memory().kv - before.kv);
        await session.close();
        assert.equal(device.memory(), before);
      }
      assert.equal(texts[1], texts[0]);
      const [whole = 0, , few = 0, grown = 0] = bytes;
      assert.is(whole, few * 16);
      assert.is(grown, (whole * 320) / 1024, '64, then 256 more');
    });
  });
}

check('several sequences keep their places in a cache that grows', async (device) => {
  await withModel(device, 'q8', async (model) => {
    const runner = await createRunner(model, { slots: 3, reserve: 64, context: 256 });
    const rows = async () => new Uint8Array((await runner.inspect('layers.1.kv')).slice().buffer);
    for (const slot of [0, 1, 2]) {
      const columns = Array.from({ length: 20 + slot }, (_, position) => ({
        token: 7 * slot + position,
        position,
        slot,
      }));
      runner.place(columns, [], false);
      await runner.submit({ kind: 'prompt' }, { columns: columns.length, outputs: 0 });
    }
    const before = await rows();
    await runner.reserve(65);
    const after = await rows();
    assert.is(after.length, 4 * before.length);
    const head = 64 * CONFIG.headDim;
    for (let i = 0; i < 3 * 2 * CONFIG.kvHeads; i++)
      assert.equal(after.subarray(4 * i * head, (4 * i + 1) * head), before.subarray(i * head, (i + 1) * head));
    await runner.close();
  });
});

check('a cache that finds no room to grow is as large as before, and its text can be read again', async (device) => {
  await withModel(device, 'f16', async (model) => {
    const session = await createSession(model, { reserve: 64 });
    const wanted = await collect(session, [5, 6], 100);
    await session.close();
    const before = device.memory();
    for (const failing of [0, 1, 2]) {
      const small = await createSession(model, { reserve: 64 });
      const held = device.memory();
      const allocations = watchAllocations(device, (index) => index === failing);
      await expectError(() => collect(small, [5, 6], 100), 'not-enough-memory', /64|"rope"/);
      allocations.restore();
      assert.ok(allocations.count > failing);
      assert.is(device.memory().kv, held.kv);
      assert.equal(await collect(small, [5, 6], 40), wanted.slice(0, 40), `after allocation ${failing} failed`);
      assert.equal(await collect(small, [5, 6], 100), wanted);
      await small.close();
      assert.equal(device.memory(), before);
    }
  });
});

test.run();
