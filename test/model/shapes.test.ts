/** Decode at the widths of a well-known model: only with FIRSTLIGHT_TEST_LONG=1. FIRSTLIGHT_TEST_SHAPE names the model. */
import { freemem } from 'node:os';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { loadModel } from '../../engine/model.ts';
import { createReference } from '../../engine/reference.ts';
import { argmax } from '../../engine/sampler.ts';
import { createSession } from '../../engine/session.ts';
import { randomCheckpointOf, shapeConfig } from '../../engine/shapes.ts';
import { expectedTensors } from '../../loaders/model-tensors.ts';
import type { LlamaConfig } from '../../loaders/types.ts';
import { deviceTests, onlyLong } from '../device.ts';

const test = suite('shapes');
const check = onlyLong('shapes', test, await deviceTests(test));

const SHAPE = process.env.FIRSTLIGHT_TEST_SHAPE ?? 'llama2-7b';
const POSITIONS = 16;

/** As many of the layers as the reference, which holds all weights in f32, has memory for. */
function fitting(config: LlamaConfig): LlamaConfig {
  const bytes = (layers: number) => {
    let sum = 0;
    for (const shape of expectedTensors({ ...config, layers }).values())
      sum += shape.reduce((product, size) => product * size, 4);
    return sum;
  };
  const layer = bytes(2) - bytes(1);
  const layers = Math.min(config.layers, Math.floor((freemem() / 2 - bytes(0)) / layer));
  assert.ok(layers >= 1, `${SHAPE} needs more memory than the ${freemem()} bytes that are free`);
  return { ...config, layers };
}

check(`${POSITIONS} greedy tokens of a random ${SHAPE} are those of the reference`, async (device) => {
  const config = fitting(shapeConfig(SHAPE));
  const checkpoint = randomCheckpointOf(config, SHAPE);
  const model = await loadModel(device, checkpoint, { context: 64 });
  const session = await createSession(model);
  const ids = [1];
  for await (const id of session.generate([1], { temperature: 0, maxTokens: POSITIONS })) ids.push(id);
  await session.close();
  await model.close();

  const activations = device.traits.packedDot ? 'i8' : 'f64';
  const reference = await createReference(checkpoint, { activations, kv: 'f16' });
  let ties = 0;
  for (const [position, id] of ids.slice(0, POSITIONS).entries()) {
    const logits = reference.next(id);
    const best = argmax(Float32Array.from(logits));
    const chosen = ids[position + 1] as number;
    if (best === chosen) continue;
    // a code on the edge moves a logit of unit variance by about this much: only a choice between such neighbours is open
    const behind = (logits[best] as number) - (logits[chosen] as number);
    assert.ok(behind < 0.02, `position ${position}: ${chosen} instead of ${best}, ${behind} behind it`);
    ties++;
  }
  console.log(`  ${config.layers} layers, ${activations}: ${POSITIONS - ties} equal, ${ties} within a near-tie`);
});

test.run();
