/** Models in which every matrix has a type of its own, from the file's blocks to logits, against the CPU reference. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../devices/types.ts';
import { loadModel } from '../../engine/model.ts';
import { createReference } from '../../engine/reference.ts';
import { createSession } from '../../engine/session.ts';
import { openFolder } from '../../loaders/checkpoint.ts';
import type { Checkpoint, LlamaConfig } from '../../loaders/types.ts';
import { FILE_TYPES, type FileType } from '../../quant/file-types.ts';
import { isQuantised } from '../../quant/layout.ts';
import { nativeFormat } from '../../quant/pack.ts';
import { deviceTests } from '../device.ts';
import { relativeError } from '../kernel.ts';
import { memoryFolder, plainCheckpoint, SMALL_LLAMA } from '../random-model.ts';
import { groupFolder } from '../write-groups.ts';

const test = suite('types');
const check = await deviceTests(test);

/** Whole super-blocks; q and k rows that are reordered. */
const CONFIG: LlamaConfig = {
  ...SMALL_LLAMA,
  architecture: 'qwen2',
  attentionBias: true,
  layers: 1,
  hidden: 256,
  feedForward: 256,
  heads: 8,
  kvHeads: 2,
  headDim: 32,
  ropeDim: 32,
};
const IDS = [1, 42, 7];
const QUANTISED = (Object.keys(FILE_TYPES) as FileType[]).filter((type) => isQuantised(nativeFormat(type)));

async function compare(device: Device, checkpoint: Checkpoint, arithmetic: 'f32' | 'i8') {
  const model = await loadModel(device, checkpoint, { arithmetic, kv: 'f32', context: 16 });
  const session = await createSession(model, { context: 16 });
  const reference = await createReference(checkpoint, { activations: arithmetic === 'i8' ? 'i8' : 'f64' });
  let at = 0;
  for await (const logits of session.logits(IDS)) {
    const error = relativeError(logits, reference.next(IDS[at] as number));
    // an int8 value on the edge of two codes may fall either way
    assert.ok(error < (arithmetic === 'i8' ? 1e-2 : 1e-5), `position ${at}: off by ${error}`);
    at++;
  }
  await session.close();
  await model.close();
}

/** Types for the nine matrices, from the `first`th on: k and v, gate and up, embedding and output differ. */
function typesFrom(first: number) {
  const types = new Map<string, FileType>();
  return (name: string): FileType => {
    const known = types.get(name) ?? QUANTISED[(first + types.size) % QUANTISED.length]!;
    types.set(name, known);
    return known;
  };
}

for (let first = 0; first < QUANTISED.length; first += 9) {
  for (const arithmetic of ['f32', 'i8'] as const) {
    const names = Array.from({ length: 9 }, (_, i) => QUANTISED[(first + i) % QUANTISED.length]).join(', ');
    check(`a model of ${names}, ${arithmetic}`, async (device) => {
      if (arithmetic === 'i8' && !device.traits.packedDot) return;
      await compare(device, plainCheckpoint(CONFIG, typesFrom(first)), arithmetic);
    });
  }
}

for (const arithmetic of ['f32', 'i8'] as const) {
  check(`GPTQ with inputs in the order of activations, ${arithmetic}`, async (device) => {
    if (arithmetic === 'i8' && !device.traits.packedDot) return;
    const { files } = groupFolder(CONFIG, { method: 'gptq', group: 32, order: (i, n) => (i * 7) % (n / 32) });
    await compare(device, await openFolder(memoryFolder(files)), arithmetic);
  });
}

test.run();
