/** Layers that are brought to the device for every pass: the same results, whatever number of them it is. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../devices/types.ts';
import { type LoadOptions, loadModel } from '../../engine/model.ts';
import { createSession, type Session } from '../../engine/session.ts';
import { openFolder } from '../../loaders/checkpoint.ts';
import type { Checkpoint } from '../../loaders/types.ts';
import { FirstlightError } from '../../quant/errors.ts';
import { deviceTests } from '../device.ts';
import { expectError } from '../pure/expect-error.ts';
import { memoryFolder, randomWeights, SMALL_LLAMA, safetensorsFolder } from '../random-model.ts';

const test = suite('streaming');
const check = await deviceTests(test);

const CONFIG = { ...SMALL_LLAMA, layers: 7, vocab: 64 };
const FILES = { Q4_0: files('Q4_0'), F16: files('F16') };
const PROMPT = Array.from({ length: 20 }, (_, i) => (7 * i + 3) % 64);

function files(type: 'Q4_0' | 'F16') {
  return safetensorsFolder(CONFIG, randomWeights(CONFIG), type);
}

interface Disk {
  /** Names of the tensors that have been read. */
  reads: string[];
  broken: boolean;
}

async function withSession<T>(
  device: Device,
  type: 'Q4_0' | 'F16',
  options: LoadOptions,
  work: (session: Session, disk: Disk) => Promise<T>,
): Promise<T> {
  const opened = await openFolder(memoryFolder(FILES[type]));
  const disk: Disk = { reads: [], broken: false };
  const checkpoint: Checkpoint = {
    ...opened,
    async readRows(name, ...rows) {
      if (disk.broken) throw new FirstlightError('bad-file', 'the disk is gone');
      disk.reads.push(name);
      return opened.readRows(name, ...rows);
    },
  };
  const before = device.memory();
  const model = await loadModel(device, checkpoint, { context: 64, ...options });
  const session = await createSession(model, { chunk: 8 });
  try {
    return await work(session, disk);
  } finally {
    await session.close();
    await model.close();
    const after = device.memory();
    assert.equal({ ...after, readback: 0 }, { ...before, readback: 0 }); // the device keeps what it reads back through
  }
}

async function collect(session: Session, maxTokens = 12): Promise<number[]> {
  const got: number[] = [];
  for await (const id of session.generate(PROMPT, { temperature: 0, maxTokens })) got.push(id);
  return got;
}

const layersOf = (names: readonly string[]) =>
  [...new Set(names.map((name) => Number(/layers\.(\d+)\./.exec(name)?.[1])))].sort();

check('as many layers as one likes are streamed, and the text stays the same', async (device) => {
  const wanted = await withSession(device, 'Q4_0', {}, (session) => collect(session));
  for (const residentLayers of [0, 1, 4]) {
    await withSession(device, 'Q4_0', { residentLayers }, async (session, disk) => {
      const { stream } = session.model;
      assert.ok(stream && stream.bytesPerSecond > 0);
      disk.reads = [];
      assert.equal(await collect(session), wanted, `${residentLayers} layers stay`);
      assert.equal(
        layersOf(disk.reads),
        Array.from({ length: 7 - residentLayers }, (_, i) => residentLayers + i),
        'what stays is not read again',
      );
    });
  }
});

check('weights that the CPU packs are packed once', async (device) => {
  const options = { weights: 'q4' } as const;
  const wanted = await withSession(device, 'F16', options, (session) => collect(session));
  await withSession(device, 'F16', { ...options, residentLayers: 2 }, async (session, disk) => {
    assert.equal(await collect(session), wanted);
    disk.reads = [];
    session.rewind(0);
    assert.equal(await collect(session), wanted);
    assert.equal(disk.reads, []);
  });
});

check('two sessions of one streamed model at once', async (device) => {
  await withSession(device, 'Q4_0', { residentLayers: 1 }, async (session) => {
    const wanted = await collect(session);
    const other = await createSession(session.model, { chunk: 5 });
    session.rewind(0);
    assert.equal(await Promise.all([collect(session), collect(other)]), [wanted, wanted]);
    await other.close();
  });
});

check('a file that cannot be read for a while ends the text with an error, and not the session', async (device) => {
  await withSession(device, 'Q4_0', { residentLayers: 1 }, async (session, disk) => {
    const wanted = await collect(session);
    session.rewind(0);
    disk.broken = true;
    await expectError(() => collect(session), 'bad-file', /^the disk is gone$/);
    disk.broken = false;
    assert.equal(await collect(session), wanted);
  });
});

check('a model that is loaded by its path keeps its file open as long as it is streamed', async (device) => {
  const folder = await mkdtemp(join(tmpdir(), 'firstlight-'));
  try {
    for (const [name, bytes] of FILES.Q4_0) await writeFile(join(folder, name), bytes);
    const texts: number[][] = [];
    for (const residentLayers of [7, 2]) {
      const model = await loadModel(device, folder, { context: 64, residentLayers });
      const session = await createSession(model, { chunk: 8 });
      texts.push(await collect(session));
      await session.close();
      await model.close();
    }
    assert.equal(texts[1], texts[0]);
  } finally {
    await rm(folder, { recursive: true });
  }
});

check('only whole numbers of layers that the model has can stay', async (device) => {
  for (const residentLayers of [-1, 8, 1.5])
    await expectError(
      () => withSession(device, 'Q4_0', { residentLayers }, async () => {}),
      'bad-argument',
      /^residentLayers is .* has 7 layers/,
    );
});

test.run();
