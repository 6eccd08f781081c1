/** A large vocabulary where bindings are small: only with FIRSTLIGHT_TEST_LONG=1, as it takes seconds and a gigabyte. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { loadModel } from '../../engine/model.ts';
import { createReference } from '../../engine/reference.ts';
import { createSession } from '../../engine/session.ts';
import { openFolder } from '../../loaders/checkpoint.ts';
import { deviceTests, onlyLong } from '../device.ts';
import { relativeError } from '../kernel.ts';
import { memoryFolder, randomWeights, SMALL_LLAMA, safetensorsFolder } from '../random-model.ts';

const test = suite('wide output');
const check = onlyLong('wide output', test, await deviceTests(test));

const MIB = 2 ** 20;

check('an output matrix of 128 k rows that exceeds a binding gives the logits of the reference', async (device) => {
  const config = { ...SMALL_LLAMA, vocab: 128_256, hidden: 288, layers: 1, tiedEmbeddings: true };
  const checkpoint = await openFolder(memoryFolder(safetensorsFolder(config, randomWeights(config))));
  // lavapipe's own limit; elsewhere it is pretended
  const limits = {
    ...device.traits.limits,
    maxBindingBytes: Math.min(device.traits.limits.maxBindingBytes, 128 * MIB),
  };
  const model = await loadModel({ ...device, traits: { ...device.traits, limits } }, checkpoint, {
    arithmetic: 'f32',
    context: 64,
  });
  assert.is(model.weights.matrices.get('embed')?.parts.length, 2);
  const session = await createSession(model);
  const reference = await createReference(checkpoint);
  const ids = [5, 128_255, 70_000];
  let at = 0;
  for await (const logits of session.logits(ids)) {
    const error = relativeError(logits, reference.next(ids[at++] as number));
    assert.ok(error < 1e-5, `position ${at}: off by ${error}`);
  }
  await session.close();
  await model.close();
});

test.run();
