/** Models of every file type, and of several at once, from a GGUF file to logits, against the CPU reference. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../devices/types.ts';
import { loadModel } from '../../engine/model.ts';
import { createReference } from '../../engine/reference.ts';
import { createSession } from '../../engine/session.ts';
import { openGgufSource } from '../../loaders/checkpoint.ts';
import { memorySource } from '../../loaders/source.ts';
import type { Checkpoint, LlamaConfig } from '../../loaders/types.ts';
import { FILE_TYPES, type FileType } from '../../quant/file-types.ts';
import { isQuantised } from '../../quant/layout.ts';
import { nativeFormat } from '../../quant/pack.ts';
import { deviceTests } from '../device.ts';
import { relativeError } from '../kernel.ts';
import { ggufFile, plainCheckpoint, randomWeights, SMALL_LLAMA } from '../random-model.ts';

const test = suite('types');
const check = await deviceTests(test);

/** Whole super-blocks; q and k rows that are reordered; gate and up by turns. */
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
const openGguf = (type: (name: string) => FileType) =>
  openGgufSource(memorySource('m.gguf', ggufFile(CONFIG, randomWeights(CONFIG), type)));
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

for (const type of QUANTISED)
  check(`a model of ${type}`, async (device) => {
    const checkpoint = FILE_TYPES[type].planes ? plainCheckpoint(CONFIG, type) : await openGguf(() => type);
    await compare(device, checkpoint, device.traits.packedDot ? 'i8' : 'f32');
  });

const MIXED: readonly (readonly [RegExp, FileType])[] = [
  [/embd/, 'Q6_K'],
  [/attn_q/, 'Q4_K'],
  [/attn_k/, 'IQ4_XS'],
  [/attn_v/, 'Q5_1'],
  [/gate/, 'Q3_K'],
  [/up/, 'Q4_0'],
];
for (const arithmetic of ['f32', 'i8'] as const)
  check(`a model with types of its own for nearly every matrix, ${arithmetic}`, async (device) => {
    if (arithmetic === 'i8' && !device.traits.packedDot) return;
    const checkpoint = await openGguf((name) => MIXED.find(([pattern]) => pattern.test(name))?.[1] ?? 'Q8_0');
    await compare(device, checkpoint, arithmetic);
  });

test.run();
