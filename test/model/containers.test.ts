/** The small models of the shared data in other containers: the logits stay the expected ones. */
import { existsSync, readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../devices/types.ts';
import { loadModel } from '../../engine/model.ts';
import { createSession } from '../../engine/session.ts';
import { openCheckpoint, openFolder } from '../../loaders/checkpoint.ts';
import type { Checkpoint } from '../../loaders/types.ts';
import { decodeRows } from '../../quant/file-types.ts';
import { deviceTests } from '../device.ts';
import type { Weights } from '../gguf-conventions.ts';
import { sharedPath, skipModel } from '../pure/shared-data.ts';
import { memoryFolder } from '../random-model.ts';
import { mlcExport } from '../write-mlc.ts';
import { writePyTorch } from '../write-pytorch.ts';

const test = suite('containers');
const check = await deviceTests(test);

async function readWeights(path: string): Promise<{ checkpoint: Checkpoint; weights: Map<string, Weights> }> {
  const checkpoint = await openCheckpoint(path);
  const weights = new Map<string, Weights>();
  for (const { name, type, rows, cols } of checkpoint.tensors.values()) {
    const values = decodeRows(type, await checkpoint.readRows(name, 0, rows), rows, cols);
    weights.set(name, { shape: rows === 1 ? [cols] : [rows, cols], values });
  }
  await checkpoint.close();
  return { checkpoint, weights };
}

async function compare(device: Device, path: string, files: ReadonlyMap<string, Uint8Array>) {
  const { prompt_ids: ids } = JSON.parse(readFileSync(`${path}/expected.json`, 'utf8'));
  const raw = readFileSync(`${path}/logits.f32`);
  const expected = new Float32Array(raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.length));
  const checkpoint = await openFolder(memoryFolder(files));
  const model = await loadModel(device, checkpoint, { arithmetic: 'f32' });
  const session = await createSession(model, { context: 32 });
  let position = 0;
  for await (const logits of session.logits(ids)) {
    const wanted = expected.subarray(position * logits.length, ++position * logits.length);
    const off = logits.reduce((most, value, i) => Math.max(most, Math.abs(value - (wanted[i] as number))), 0);
    assert.ok(off < 1e-3, `position ${position - 1}: a logit is off by ${off}`);
  }
  assert.is(position, ids.length);
  await session.close();
  await model.close();
  await checkpoint.close();
}

for (const name of ['tiny-llama3', 'tiny-qwen2', 'tiny-mistral']) {
  const path = sharedPath(`models/${name}`);
  if (!existsSync(path)) {
    skipModel(test, name);
    continue;
  }
  check(`${name} as MLC's q0f32`, async (device) => {
    const { checkpoint, weights } = await readWeights(path);
    const { files } = mlcExport(checkpoint.config, weights, 'q0f32');
    await compare(device, path, files);
  });
}

const llama3 = sharedPath('models/tiny-llama3');
if (existsSync(llama3)) {
  check('tiny-llama3 as pytorch_model.bin', async (device) => {
    const { weights } = await readWeights(llama3);
    const tensors = [...weights].map(([name, { shape, values }]) => {
      return { name, type: 'F32', shape, bytes: new Uint8Array(values.buffer) };
    });
    const files = new Map<string, Uint8Array>([
      ['config.json', readFileSync(`${llama3}/config.json`)],
      ['pytorch_model.bin', writePyTorch(tensors)],
    ]);
    await compare(device, llama3, files);
  });
} else skipModel(test, 'tiny-llama3 as pytorch_model.bin');

test.run();
