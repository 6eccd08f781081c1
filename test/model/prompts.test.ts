/**
 * What follows a prompt does not depend on how the prompt was read: pass by pass of any size, by kernels for one column, a few
 * or many. FIRSTLIGHT_TEST_LONG=1: 4,000 tokens (500 on CPU drivers, which take seconds for each size) in passes of every size from
 * 1 to 64, and more models.
 */
import { existsSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../devices/types.ts';
import { loadModel } from '../../engine/model.ts';
import { createReference } from '../../engine/reference.ts';
import { createSession, type GeneratedToken } from '../../engine/session.ts';
import { hasMatrixUnits } from '../../engine/variants.ts';
import { openCheckpoint, openFolder } from '../../loaders/checkpoint.ts';
import type { LlamaConfig } from '../../loaders/types.ts';
import { deviceTests, LONG, testDevice } from '../device.ts';
import { createRandom, relativeError } from '../kernel.ts';
import { sharedPath, skipModel } from '../pure/shared-data.ts';
import { memoryFolder, randomWeights, SMALL_LLAMA, safetensorsFolder } from '../random-model.ts';

const test = suite('prompts');
const check = await deviceTests(test);

const traits = (await testDevice())?.traits;
const software = traits?.software;
const hasUnits = traits !== undefined && hasMatrixUnits(traits);
const TOKENS = !LONG ? 100 : software ? 500 : 4000;
const SIZES = LONG ? Array.from({ length: 64 }, (_, i) => i + 1) : [3, 64];
/** No trained model at hand has so many positions. */
const MODEL: LlamaConfig = { ...SMALL_LLAMA, heads: 2, kvHeads: 1, context: LONG ? 4096 : 256 };

/** It takes seconds for a kernel: there, what SwiftShader cannot do. */
const isLavapipe = ({ traits }: Device) => traits.name.startsWith('llvmpipe');

/** A device whose plans are those of a GPU: kernels of their own for a few columns, for some, and for many. */
function plannedAsGpu(device: Device): Device {
  return { ...device, traits: { ...device.traits, software: false } };
}

const RUNS = [
  ['i8', 'q8', hasUnits ? 0.03 : 0.01], // codes on an edge fall either way, and matrix units attend in f16
  ['f32', 'f32', 1e-5],
] as const;
for (const [arithmetic, weights, tolerance] of LONG ? RUNS : RUNS.slice(0, 1)) {
  check(
    `${TOKENS} tokens in passes of ${SIZES.length} sizes, ${arithmetic}: the same token follows`,
    async (device) => {
      if (isLavapipe(device) || (arithmetic === 'i8' && !device.traits.packedDot)) return;
      const random = createRandom(11);
      const ids = Array.from({ length: TOKENS }, () => random.below(MODEL.vocab));
      const checkpoint = await openFolder(memoryFolder(safetensorsFolder(MODEL, randomWeights(MODEL))));
      const model = await loadModel(plannedAsGpu(device), checkpoint, { arithmetic, weights, gemv: 'lanes' });
      const next = async (chunk: number) => {
        const session = await createSession(model, { chunk, reserve: TOKENS + 1 });
        let token: GeneratedToken | undefined;
        for await (token of session.tokens(ids, { temperature: 0, maxTokens: 1, logprobs: 2 }));
        await session.close();
        return token!;
      };
      const first = await next(SIZES[0]!);
      const [best, second] = first.logprobs!.top;
      const gap = best!.logprob - second!.logprob;
      assert.ok(gap > 2 * tolerance, `the best token is ahead by ${gap} only`);
      let most = 0;
      for (const chunk of SIZES.slice(1)) {
        const { id, logprobs } = await next(chunk);
        assert.is(id, first.id, `passes of ${chunk}`);
        most = Math.max(most, Math.abs(logprobs!.logprob - best!.logprob));
      }
      await model.close();
      await checkpoint.close();
      console.log(`  log probabilities of the token, ahead by ${gap.toFixed(3)}, differ by ${most} at most`);
      assert.ok(most < tolerance, `a log probability differs by ${most}`);
    },
  );
}

check('heads of 64 have an attention for many columns: logits as in the reference', async (device) => {
  if (!device.traits.f16) return; // it multiplies in f16
  const config: LlamaConfig = { ...SMALL_LLAMA, layers: 1, heads: 2, kvHeads: 1, headDim: 64, ropeDim: 64 };
  const random = createRandom(3);
  const ids = Array.from({ length: 90 }, () => random.below(config.vocab));
  const checkpoint = await openFolder(memoryFolder(safetensorsFolder(config, randomWeights(config))));
  const reference = await createReference(checkpoint, { weights: 'f16', kv: 'f16' });
  const wanted = ids.flatMap((id) => [...reference.next(id)]);
  const model = await loadModel(device, checkpoint, { weights: 'f16', many: 'tiles', context: 96 });
  const session = await createSession(model, { chunk: 70 });
  const got: number[] = [];
  for await (const row of session.logits(ids)) got.push(...row);
  await session.close();
  await model.close();
  await checkpoint.close();
  const error = relativeError(got, wanted);
  assert.ok(error < 1e-3, `relative error ${error}`);
});

const gguf = (name: string) => `aidreams260K/gguf/aidreams260K-${name}.gguf`;
const kquant = (name: string) => `tiny-kquant/tiny-kquant-${name}.gguf`;
const MORE = [
  gguf('Q8_0'),
  gguf('Q4_1'),
  gguf('Q5_0'),
  kquant('Q2_K'),
  kquant('Q3_K_M'),
  kquant('Q4_K_M'),
  kquant('Q5_K_M'),
];
for (const name of [gguf('Q4_0'), ...(LONG ? MORE : [])]) {
  const path = sharedPath(`models/${name}`);
  if (!existsSync(path)) {
    skipModel(test, name);
    continue;
  }
  check(`${name}: logits of a prompt in tiles are those of token by token, with int8 activations`, async (device) => {
    if (isLavapipe(device) || !device.traits.packedDot) return;
    const checkpoint = await openCheckpoint(path);
    const random = createRandom(5);
    // a code on an edge may fall either way, and then moves all later logits: many texts, as short as tiles take
    const texts = Array.from({ length: 6 }, () => Array.from({ length: 16 }, () => 3 + random.below(200)));
    const rows: Float32Array[][] = [];
    for (const many of ['gemv', 'tiles'] as const) {
      const model = await loadModel(device, checkpoint, { arithmetic: 'i8', many });
      const session = await createSession(model, { context: 64, chunk: many === 'gemv' ? 1 : 16 });
      const all: Float32Array[] = [];
      for (const ids of texts) for await (const row of session.logits(ids)) all.push(row);
      rows.push(all);
      await session.close();
      await model.close();
    }
    await checkpoint.close();
    const errors = rows[0]!.map((row, i) => Math.max(...row.map((value, j) => Math.abs(value - rows[1]![i]![j]!))));
    const close = errors.filter((error) => error < 1e-4).length;
    console.log(`  ${close} of ${errors.length} positions within 1e-4, largest difference ${Math.max(...errors)}`);
    assert.ok(close >= 0.6 * errors.length && Math.max(...errors) < 0.3);
  });
}

test.run();
