/** Perplexity against its definition, on a model made up of a table. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { measurePerplexity } from '../../engine/perplexity.ts';
import type { Session } from '../../engine/session.ts';
import { randomInteger, seededRandom } from '../random.ts';
import { expectError } from './expect-error.ts';

const test = suite('perplexity');

const VOCAB = 11;

/** Logits that depend on how many tokens are before and which: every mistake about a window's beginning shows. */
function logitsAfter(ids: readonly number[]): Float32Array {
  const seed = ids.reduce((hash, id) => Math.imul(hash, 31) + id + 1, ids.length);
  const random = seededRandom(seed);
  return Float32Array.from({ length: VOCAB }, () => 4 * random());
}

function nllOf(id: number, before: readonly number[]): number {
  const logits = logitsAfter(before);
  const total = logits.reduce((sum, logit) => sum + Math.exp(logit), 0);
  return Math.log(total) - logits[id]!;
}

/** A session of the table; counts the positions that it was asked for. */
function tableSession(context: number, bos: number | undefined) {
  const asked = { logits: 0, ids: 0 };
  const session = {
    context,
    model: { tokenizer: { bos, addBos: bos !== undefined, bytes: () => new Uint8Array(2) } },
    async *logits(ids: readonly number[], { from = 0 }: { from?: number } = {}) {
      assert.ok(ids.length < context + 1, `${ids.length} ids in a context of ${context}`);
      asked.ids += ids.length;
      for (let i = from; i < ids.length; i++) {
        asked.logits++;
        yield logitsAfter(ids.slice(0, i + 1));
      }
    },
  } as unknown as Session;
  return { session, asked };
}

/** The definition, window by window. */
function byDefinition(ids: readonly number[], context: number, stride: number, bos: number | undefined): number[] {
  const head = bos === undefined ? [] : [bos];
  const window = context - head.length;
  const nlls: number[] = [];
  let scored = 0;
  for (let start = 0; scored < ids.length; start += stride) {
    const end = Math.min(start + window, ids.length);
    for (let i = scored; i < end; i++) {
      const before = [...head, ...ids.slice(start, i)];
      if (before.length > 0) nlls.push(nllOf(ids[i]!, before));
    }
    scored = end;
  }
  return nlls;
}

test('random texts, windows and strides', async () => {
  const random = seededRandom(3);
  for (let round = 0; round < 200; round++) {
    const bos = round % 2 === 0 ? 10 : undefined;
    const context = randomInteger(4, 20, random);
    const window = context - (bos === undefined ? 0 : 1);
    const stride = round % 5 === 0 ? undefined : randomInteger(1, window, random);
    const ids = Array.from({ length: randomInteger(2, 60, random) }, () => randomInteger(0, 9, random));
    const { session, asked } = tableSession(context, bos);
    const result = await measurePerplexity(session, ids, { stride });
    const nlls = byDefinition(ids, context, stride ?? Math.max(1, Math.floor(window / 2)), bos);
    const mean = nlls.reduce((sum, nll) => sum + nll, 0) / nlls.length;
    const where = JSON.stringify({ bos, context, stride, ids });
    assert.is(result.tokens, nlls.length, where);
    assert.ok(Math.abs(result.nll - mean) < 1e-5, `${result.nll} ${mean} ${where}`);
    assert.is(result.perplexity, Math.exp(result.nll));
    assert.is(asked.logits, nlls.length, 'no logits are read that are not scored');
    assert.ok(Math.abs(result.bitsPerByte! - mean / Math.LN2 / 2) < 1e-5);
    const variance = nlls.reduce((sum, nll) => sum + (nll - mean) ** 2, 0) / nlls.length / (nlls.length - 1);
    if (nlls.length > 1) assert.ok(Math.abs(result.error - result.perplexity * Math.sqrt(variance)) < 1e-3, where);
  }
});

test('progress comes to the total', async () => {
  const { session } = tableSession(8, 10);
  const told: number[][] = [];
  const ids = Array.from({ length: 20 }, (_, i) => i % 10);
  await measurePerplexity(session, ids, { onProgress: (done, total) => told.push([done, total]) });
  assert.equal(told.at(-1), [20, 20]);
  assert.ok(told.length > 2);
});

test('what cannot be measured', async () => {
  const { session } = tableSession(8, undefined);
  for (const ids of [[], [1]])
    await expectError(() => measurePerplexity(session, ids), 'bad-argument', /no token to score/);
  for (const stride of [0, -1, 1.5, 9])
    await expectError(
      () => measurePerplexity(session, [1, 2, 3], { stride }),
      'bad-argument',
      /whole number from 1 to 8/,
    );
  const broken = {
    ...session,
    async *logits() {
      yield new Float32Array(VOCAB).fill(Number.NaN);
    },
  } as unknown as Session;
  await expectError(() => measurePerplexity(broken, [1, 2]), 'wrong-result', /before token 1 .* no numbers/);
});

test.run();
