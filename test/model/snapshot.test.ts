/** Sessions as files: what comes back is what was saved, and nothing else is taken for it. */
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openDevice } from '../../devices/open.ts';
import type { Device } from '../../devices/types.ts';
import { createDurableSession } from '../../engine/durable-session.ts';
import type { KvFormat } from '../../engine/kv-cache.ts';
import { loadModel } from '../../engine/model.ts';
import { createSession, type Session } from '../../engine/session.ts';
import { openFolder } from '../../loaders/checkpoint.ts';
import { deviceTests, testAdapter } from '../device.ts';
import { destroyAt } from '../faults.ts';
import { expectError } from '../pure/expect-error.ts';
import { memoryFolder, randomWeights, SMALL_LLAMA, safetensorsFolder } from '../random-model.ts';

const test = suite('snapshot');
const check = await deviceTests(test);

const CONFIG = { ...SMALL_LLAMA, headDim: 32, ropeDim: 32 };
const PROMPT = Array.from({ length: 30 }, (_, i) => (11 * i + 2) % 100);
let folder = '';
test.before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'firstlight-'));
});
test.after(() => rm(folder, { recursive: true, force: true }));

const openSeed = (seed: number) => openFolder(memoryFolder(safetensorsFolder(CONFIG, randomWeights(CONFIG, seed))));

async function withSession<T>(
  device: Device,
  options: { readonly kv?: KvFormat; readonly seed?: number; readonly context?: number },
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const { kv = 'f16', seed = 1, context = 128 } = options;
  const model = await loadModel(device, await openSeed(seed), { kv, arithmetic: 'f32', context });
  const session = await createSession(model, { reserve: 64 });
  try {
    return await work(session);
  } finally {
    await session.close();
    await model.close();
  }
}

async function collect(session: Session, ids: readonly number[], maxTokens: number): Promise<number[]> {
  const got: number[] = [];
  for await (const id of session.generate(ids, { temperature: 0, maxTokens })) got.push(id);
  return got;
}

for (const kv of ['f16', 'q8', 'f32'] as const) {
  check(`a session with a cache in ${kv} goes on in another one, as if nothing had happened`, async (device) => {
    const path = join(folder, `${kv}.session`);
    const { first, rest, history } = await withSession(device, { kv }, async (session) => {
      const first = await collect(session, PROMPT, 45); // beyond the first capacity
      await session.save(path);
      const history = [...session.history];
      return { first, history, rest: await collect(session, [...PROMPT, ...first], 10) };
    });
    await withSession(device, { kv }, async (session) => {
      await collect(session, [1, 2, 3], 2);
      await session.restore(path);
      assert.equal(session.history, history);
      assert.equal(await collect(session, [...PROMPT, ...first], 10), rest);
      assert.is(session.stats.reusedTokens, PROMPT.length + first.length - 1);
    });
    assert.equal(
      (await readdir(folder)).filter((name) => name.endsWith('.part')),
      [],
    );
  });
}

check('what does not belong to the model or the session is refused, and the session stays as it is', async (device) => {
  const path = join(folder, 'own.session');
  await withSession(device, {}, async (session) => {
    await collect(session, PROMPT, 4);
    await session.save(path);
  });
  const restores = (
    options: Parameters<typeof withSession>[1],
    file: string,
    code: 'bad-argument' | 'context-full',
    message: RegExp,
  ) =>
    withSession(device, options, async (session) => {
      await collect(session, [1, 2, 3], 2);
      const { history } = session;
      await expectError(() => session.restore(file), code, message);
      assert.equal(session.history, history);
    });
  await restores({ seed: 2 }, path, 'bad-argument', /is a session of another model \(memory\)/);
  await restores({ kv: 'q8' }, path, 'bad-argument', /KV cache in f16, this model's is in q8: load the model with f16/);
  await restores({ context: 32 }, path, 'context-full', /has 33 positions, the session only 32/);
  await restores({}, join(folder, 'none.session'), 'bad-argument', /none.session cannot be read: it does not exist/);
  await restores({}, folder, 'bad-argument', /cannot be read: it is a folder|holds no session/);
  await withSession(device, {}, async (session) => {
    const nowhere = join(folder, 'missing', 'x.session');
    await expectError(() => session.save(nowhere), 'bad-argument', /cannot be written: its folder does not exist/);
  });
});

check('a file that is cut off or changed is no session', async (device) => {
  const path = join(folder, 'whole.session');
  await withSession(device, {}, async (session) => {
    const first = await collect(session, PROMPT, 4);
    await session.save(path);
    const bytes = await readFile(path);
    const broken = join(folder, 'broken.session');
    const refused = async (message: RegExp) => {
      await expectError(() => session.restore(broken), 'bad-file', message);
      // whatever has been read of it is not used
      assert.equal(await collect(session, PROMPT, 4), first);
    };
    for (const at of [2, 9, 20, bytes.length >> 1, bytes.length - 1]) {
      const changed = Buffer.from(bytes);
      changed[at]! ^= 16;
      await writeFile(broken, changed);
      await refused(at < 8 ? /holds no session/ : /cut off or damaged/);
    }
    for (const length of [0, 5, 11, 100, bytes.length - 1]) {
      await writeFile(broken, bytes);
      await truncate(broken, length);
      await refused(/holds no session|cut off or damaged/);
    }
  });
});

check('a session whose device is lost before or while it is saved, or restored', async () => {
  const path = join(folder, 'durable.session');
  const submits = destroyAt(-1);
  const told: string[] = [];
  const session = await createDurableSession({
    checkpoint: await openSeed(1),
    openDevice: async () => submits.watch(await openDevice({ adapter: testAdapter, validate: true })),
    load: { arithmetic: 'f32', context: 128 },
    onFault: (line) => told.push(line),
  });
  const first = await collect(session, PROMPT, 8);
  const history = [...PROMPT, ...first.slice(0, -1)];
  const rest = await collect(session, [...PROMPT, ...first], 6);
  const before = () => session.model.device.gpu.destroy();
  for (const [lose, work] of [
    [before, 'save'],
    [() => submits.destroyIn(0), 'save'],
    [() => submits.destroyIn(5), 'save'],
    [before, 'restore'],
    [() => submits.destroyIn(0), 'restore'],
  ] as const) {
    const faults = told.length;
    session.rewind(history.length);
    assert.equal(session.history, history);
    lose();
    await session[work](path);
    assert.is(told.length, faults + 1, work);
    assert.equal(session.history, history);
    await session.restore(path);
    assert.equal(await collect(session, [...PROMPT, ...first], 6), rest);
    assert.is(session.stats.reusedTokens, history.length);
  }
  await session.close();
});

test.run();
