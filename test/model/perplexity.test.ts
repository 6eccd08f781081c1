/** What quantisation and int8 arithmetic cost on text that the built-in model has not seen. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../devices/types.ts';
import { makeDocument } from '../../engine/builtin/corpus.ts';
import { type LoadOptions, loadModel } from '../../engine/model.ts';
import { measurePerplexity } from '../../engine/perplexity.ts';
import { createSession } from '../../engine/session.ts';
import { builtinPath, openCheckpoint } from '../../loaders/checkpoint.ts';
import { deviceTests } from '../device.ts';

const test = suite('perplexity');
const check = await deviceTests(test);

/** Its held-out part begins here (engine/builtin/README.md). */
const HELD_OUT_SEED = 10_000_000;
/** A software driver reads a few tokens a second; FIRSTLIGHT_PERPLEXITY_TOKENS takes more. */
const TOKENS = Number(process.env.FIRSTLIGHT_PERPLEXITY_TOKENS ?? 48);

async function perplexityOf(device: Device, options: LoadOptions): Promise<number> {
  const checkpoint = await openCheckpoint(builtinPath());
  const model = await loadModel(device, checkpoint, options);
  const session = await createSession(model, { context: Math.min(512, TOKENS + 1) });
  const { tokenizer } = model;
  assert.ok(tokenizer);
  const ids: number[] = [];
  for (let seed = HELD_OUT_SEED; ids.length < TOKENS; seed++) {
    const document = makeDocument(seed);
    if ('text' in document)
      ids.push(...tokenizer.encode(document.text, { special: false, bos: false }), ...tokenizer.eos);
  }
  const { perplexity } = await measurePerplexity(session, ids.slice(0, TOKENS));
  await session.close();
  await model.close();
  await checkpoint.close();
  return perplexity;
}

check('q4 within 3 %, q8 within 0.2 %, int8 arithmetic within 0.5 %', async (device) => {
  const exact = await perplexityOf(device, { weights: 'f32', arithmetic: 'f32' });
  const q8 = await perplexityOf(device, { weights: 'q8', arithmetic: 'f32' });
  const q4 = await perplexityOf(device, { weights: 'q4', arithmetic: 'f32' });
  const int8 = await perplexityOf(device, { weights: 'q4' });
  console.log(`perplexity of ${TOKENS} tokens: f32 ${exact}, q8 ${q8}, q4 ${q4}, q4 by int8 ${int8}`);
  assert.ok(exact > 1 && exact < 20, `${exact}`);
  assert.ok(Math.abs(q8 / exact - 1) < 0.002, `q8 ${q8}, f32 ${exact}`);
  assert.ok(Math.abs(q4 / exact - 1) < 0.03, `q4 ${q4}, f32 ${exact}`);
  assert.ok(Math.abs(int8 / q4 - 1) < 0.005, `int8 ${int8}, exact ${q4}`);
});

test.run();
