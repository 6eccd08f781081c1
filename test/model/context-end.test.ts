/** Texts longer than the context, in each way that a caller may choose. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../devices/types.ts';
import { type ContextEnd, type Dropped, withContextEnd } from '../../engine/context-end.ts';
import { loadModel } from '../../engine/model.ts';
import { createSession, type GeneratedToken, type Session } from '../../engine/session.ts';
import { openFolder } from '../../loaders/checkpoint.ts';
import type { LlamaConfig } from '../../loaders/types.ts';
import { deviceTests } from '../device.ts';
import { expectError } from '../pure/expect-error.ts';
import { memoryFolder, randomWeights, SMALL_LLAMA, safetensorsFolder } from '../random-model.ts';

const test = suite('end of the context');
const check = await deviceTests(test);

const CONTEXT = 32;
const GREEDY = { temperature: 0 };
/** Of one layer: its keys and values depend on each id alone, so that to move them is the same as to compute them again. */
const ONE_LAYER = { ...SMALL_LLAMA, layers: 1, ropeScaling: { kind: 'linear', factor: 2 } } satisfies LlamaConfig;

async function withSessions(
  device: Device,
  config: LlamaConfig,
  work: (session: Session, alone: (ids: readonly number[], maxTokens: number) => Promise<number[]>) => Promise<void>,
): Promise<void> {
  const checkpoint = await openFolder(memoryFolder(safetensorsFolder(config, randomWeights(config))));
  const model = await loadModel(device, checkpoint, { arithmetic: 'f32', context: CONTEXT });
  const session = await createSession(model);
  try {
    await work(session, async (ids, maxTokens) => {
      const other = await createSession(model);
      const got = idsOf(await collect(other, { whenFull: 'stop' }, ids, maxTokens));
      await other.close();
      return got;
    });
  } finally {
    await session.close();
    await model.close();
  }
}

async function collect(session: Session, end: ContextEnd, ids: readonly number[], maxTokens?: number) {
  const got: GeneratedToken[] = [];
  for await (const token of withContextEnd(session, end).tokens(ids, { ...GREEDY, maxTokens })) got.push(token);
  return got;
}

const idsOf = (tokens: readonly GeneratedToken[]) => tokens.map(({ id }) => id);
const PROMPT = [4, 8, 15, 16, 23, 42, 7, 3, 9, 11];

check('stop: the last token says that the context is full', async (device) => {
  await withSessions(device, SMALL_LLAMA, async (session) => {
    const got = await collect(session, { whenFull: 'stop' }, PROMPT);
    assert.is(got.length, CONTEXT - PROMPT.length);
    assert.equal([...new Set(got.slice(0, -1).map(({ finish }) => finish))], [undefined]);
    assert.is(got.at(-1)?.finish, 'context');
  });
});

check('shift: keys that are turned anew are those of their new positions', async (device) => {
  await withSessions(device, ONE_LAYER, async (session, alone) => {
    const drops: Dropped[] = [];
    const got = await collect(session, { whenFull: 'shift', keep: 2, onDrop: (drop) => drops.push(drop) }, PROMPT, 60);
    assert.is(got.length, 60);
    assert.equal([...new Set(got.slice(0, -1).map(({ finish }) => finish))], [undefined]);
    assert.is(got.at(-1)?.finish, 'length');
    assert.equal(drops, [
      { first: 2, count: 15 },
      { first: 2, count: 15 },
      { first: 2, count: 15 },
    ]);
    assert.is(session.stats.reusedTokens, CONTEXT - 15 - 1, 'nothing but the last id is computed again');
    // what a session without the dropped ids makes of the same text
    const ids = idsOf(got);
    const first = CONTEXT - PROMPT.length;
    const text = [...PROMPT, ...ids.slice(0, first)];
    const rest = [...text.slice(0, 2), ...text.slice(17)];
    assert.equal(ids.slice(first, first + 15), await alone(rest, 15));
  });
});

check('times and counts are those of the whole text', async (device) => {
  await withSessions(device, SMALL_LLAMA, async (session) => {
    const source = withContextEnd(session, { whenFull: 'shift' });
    const startMs = performance.now();
    let made = 0;
    for await (const _ of source.tokens(PROMPT, { ...GREEDY, maxTokens: 50 })) assert.is(source.stats.tokens, ++made);
    const { promptTokens, reusedTokens, tokens, prefillMs, decodeMs } = source.stats;
    assert.equal([promptTokens, reusedTokens, tokens], [PROMPT.length, 0, 50]);
    assert.ok(
      prefillMs > 0 && decodeMs > session.stats.decodeMs && prefillMs + decodeMs <= performance.now() - startMs,
    );
  });
});

check('drop: whole turns go, and the rest is what it would be without them', async (device) => {
  await withSessions(device, SMALL_LLAMA, async (session, alone) => {
    const drops: Dropped[] = [];
    const end: ContextEnd = { whenFull: 'drop', turns: [2, 6, 8], onDrop: (drop) => drops.push(drop) };
    const got = await collect(session, end, PROMPT, 40);
    assert.equal(drops, [{ first: 2, count: 6 }], 'both turns but the last, whose answer this is');
    const room = CONTEXT - PROMPT.length;
    assert.is(got.length, room + 6);
    assert.is(got.at(-1)?.finish, 'context');
    const text = [...PROMPT, ...idsOf(got).slice(0, room)];
    assert.equal(idsOf(got).slice(room), await alone([...text.slice(0, 2), ...text.slice(8)], 6));
  });
});

check('a prompt that is too long loses its oldest part first', async (device) => {
  await withSessions(device, SMALL_LLAMA, async (session, alone) => {
    const long = Array.from({ length: 50 }, (_, i) => (7 * i) % 100);
    const shifted = await collect(session, { whenFull: 'shift' }, long, 4);
    assert.equal(idsOf(shifted), await alone([...long.slice(0, 1), ...long.slice(25)], 4));
    const dropped = await collect(session, { whenFull: 'drop', turns: [3, 20, 30, 45] }, long, 4);
    assert.equal(idsOf(dropped), await alone([...long.slice(0, 3), ...long.slice(30)], 4));
    const tooLong = () => collect(session, { whenFull: 'drop', turns: [3] }, long, 4);
    await expectError(tooLong, 'context-full', /50 tokens.*32 positions/);
    await expectError(() => collect(session, { whenFull: 'drop' }, long, 4), 'bad-argument', /where turns begin/);
  });
});

check('what is not in the history cannot be dropped from it', async (device) => {
  await withSessions(device, SMALL_LLAMA, async (session) => {
    await collect(session, { whenFull: 'stop' }, PROMPT, 1);
    for (const [first, count] of [
      [0, 11],
      [-1, 2],
      [0.5, 2],
    ] as const)
      await expectError(() => session.shift(first, count), 'bad-argument', /history has 10/);
    await session.shift(4, 0);
    assert.equal(session.history, PROMPT);
    await session.shift(4, 2);
    assert.equal(session.history, [...PROMPT.slice(0, 4), ...PROMPT.slice(6)]);
  });
});

test.run();
