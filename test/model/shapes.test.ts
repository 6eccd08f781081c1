/** Decode at the widths of a well-known model: only with FIRSTLIGHT_TEST_LONG=1. FIRSTLIGHT_TEST_SHAPE names the model. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { loadModel } from '../../engine/model.ts';
import { referenceLogits } from '../../engine/reference.ts';
import { argmax } from '../../engine/sampler.ts';
import { createSession } from '../../engine/session.ts';
import { randomCheckpoint } from '../../engine/shapes.ts';
import { deviceTests, onlyLong } from '../device.ts';

const test = suite('shapes');
const check = onlyLong('shapes', test, await deviceTests(test));

const SHAPE = process.env.FIRSTLIGHT_TEST_SHAPE ?? 'llama2-7b';
const POSITIONS = 16;

const checkpoint = randomCheckpoint(SHAPE);
const known = new Map<string, Promise<Float64Array[]>>(); // by the text: it takes minutes

// merged: as where that is faster
for (const merged of [undefined, true])
  check(`${POSITIONS} greedy tokens of a random ${SHAPE}${merged ? ', in merged steps' : ''}`, async (device) => {
    const model = await loadModel(device, checkpoint, { context: 64, merged });
    const session = await createSession(model);
    const ids = [1];
    for await (const id of session.generate([1], { temperature: 0, maxTokens: POSITIONS })) ids.push(id);
    await session.close();
    await model.close();

    const activations = device.traits.packedDot ? 'i8' : 'f64';
    const key = ids.join();
    if (!known.has(key))
      known.set(key, referenceLogits(checkpoint, ids.slice(0, POSITIONS), { activations, kv: 'f16' }));
    const wanted = (await known.get(key)) as Float64Array[];
    let ties = 0;
    for (const [position, logits] of wanted.entries()) {
      const best = argmax(Float32Array.from(logits));
      const chosen = ids[position + 1] as number;
      if (best === chosen) continue;
      // a code on the edge moves a logit of unit variance by about this much: only a choice between such neighbours is open
      const behind = (logits[best] as number) - (logits[chosen] as number);
      assert.ok(behind < 0.02, `position ${position}: ${chosen} instead of ${best}, ${behind} behind it`);
      ties++;
    }
    console.log(
      `  ${checkpoint.config.layers} layers, ${activations}: ${POSITIONS - ties} equal, ${ties} within a near-tie`,
    );
  });

test.run();
