/** Text from a random model: where it stops, what a grammar makes of it, and several sessions at once. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../devices/types.ts';
import { createBatch } from '../../engine/batch.ts';
import { benchGrammar } from '../../engine/bench-grammar.ts';
import { generateSamples, generateText, type TextOptions, type TextPart } from '../../engine/generate-text.ts';
import { parseGbnf } from '../../engine/grammar-gbnf.ts';
import { JSON_GRAMMAR } from '../../engine/grammar-json.ts';
import { grammarOfSchema } from '../../engine/grammar-schema.ts';
import { loadModel, type Model } from '../../engine/model.ts';
import { createSession, type Session } from '../../engine/session.ts';
import { openFolder } from '../../loaders/checkpoint.ts';
import { deviceTests } from '../device.ts';
import { expectError } from '../pure/expect-error.ts';
import { byteLevelJson } from '../pure/small-tokenizers.ts';
import { memoryFolder, randomWeights, SMALL_LLAMA, safetensorsFolder } from '../random-model.ts';

const test = suite('text');
const check = await deviceTests(test);

const CONFIG = { ...SMALL_LLAMA, vocab: 271, context: 512 };
const END = 269;

async function withModel(device: Device, work: (model: Model) => Promise<void>): Promise<void> {
  const files = safetensorsFolder(CONFIG, randomWeights(CONFIG));
  files.set('tokenizer.json', Buffer.from(JSON.stringify(byteLevelJson())));
  files.set('tokenizer_config.json', Buffer.from(JSON.stringify({ bos_token: '<|bos|>', eos_token: '<|end|>' })));
  const model = await loadModel(device, await openFolder(memoryFolder(files)), { context: 512 });
  try {
    await work(model);
  } finally {
    await model.close();
  }
}

async function write(session: Session, ids: readonly number[], options: TextOptions) {
  const parts: TextPart[] = [];
  for await (const part of generateText(session, ids, options)) parts.push(part);
  return { parts, text: parts.map(({ text }) => text).join(''), finish: parts.at(-1)?.finish };
}

const FREE = { temperature: 1.5, topK: 0, topP: 1, seed: 3 };

check('stop strings and end tokens end a text, ignoring the end goes on to the most tokens', async (device) => {
  await withModel(device, async (model) => {
    const session = await createSession(model);
    const all = await write(session, [5, 6], { ...FREE, maxTokens: 60, ignoreEos: true });
    assert.is(all.finish, 'length');
    assert.is(all.parts.length, 60);
    assert.not.ok(all.parts.some(({ id }) => id === END));
    const stop = all.text.slice(20, 23);
    const cut = await write(session, [5, 6], { ...FREE, maxTokens: 60, ignoreEos: true, stop: [stop, 'no such text'] });
    assert.is(cut.finish, 'stop');
    assert.is(cut.text, all.text.slice(0, all.text.indexOf(stop)));
    assert.ok(cut.parts.length < 60);
    const wanted = new Map([[END, 100]]);
    const ended = await write(session, [5, 6], { ...FREE, logitBias: wanted });
    assert.equal(
      ended.parts.map(({ id, finish }) => [id, finish]),
      [[END, 'stop']],
    );
    assert.is(ended.text, '');
    await session.close();
  });
});

check('a schema makes a document of what would be babble, by all ways of choosing', async (device) => {
  await withModel(device, async (model) => {
    const grammar = grammarOfSchema({
      type: 'object',
      properties: {
        name: { type: 'string', maxLength: 12 },
        size: { enum: ['small', 'large'] },
        points: { type: 'array', items: { type: 'integer', minimum: -5, maximum: 5 }, minItems: 1, maxItems: 4 },
      },
      required: ['name', 'size', 'points'],
    });
    const session = await createSession(model);
    const ways: TextOptions[] = [
      { temperature: 0 },
      { ...FREE, temperature: 3 },
      { temperature: 2, topK: 64, repetitionPenalty: 1.3 },
      { temperature: 3, topK: 0, topP: 0.9, stop: ['never'] },
    ];
    for (const [i, options] of ways.entries()) {
      const { text, finish } = await write(session, [7], { ...options, seed: i, grammar });
      assert.is(finish, 'stop', text);
      const value = JSON.parse(text);
      assert.ok([...value.name].length <= 12 && /^(small|large)$/.test(value.size) && value.points.length <= 4);
      assert.ok(value.points.every((point: unknown) => Number.isInteger(point) && Math.abs(point as number) <= 5));
    }
    const list = parseGbnf('root ::= "<" [a-z]+ ("," [a-z]+){2,12} ">"?');
    const { text } = await write(session, [7], { ...FREE, grammar: list, maxTokens: 80 });
    assert.match(text, /^<[a-z]+(,[a-z]*){0,12}>?$/);
    await session.close();
  });
});

check('a text that its grammar never ends is ended by the most tokens or the context', async (device) => {
  await withModel(device, async (model) => {
    const session = await createSession(model, { context: 24 });
    const grammar = parseGbnf('root ::= [a-z]+');
    for (const sampling of [{ temperature: 0 }, { ...FREE, topP: 0.9 }]) {
      const endless = { ...sampling, grammar, ignoreEos: true };
      const short = await write(session, [7, 8], { ...endless, maxTokens: 5 });
      assert.equal([short.parts.length, short.finish], [5, 'length']);
      const full = await write(session, [7, 8], endless);
      assert.equal([full.parts.length, full.finish], [24 - 2, 'context']);
      assert.match(full.text, /^[a-z]+$/);
    }
    await session.close();
  });
});

check('six sessions of one model at the same time make what each makes alone, drawn or greedy', async (device) => {
  await withModel(device, async (model) => {
    const jobs: { ids: number[]; options: TextOptions }[] = [
      { ids: [1, 2, 3], options: { temperature: 0 } },
      { ids: [9], options: { temperature: 0, frequencyPenalty: 0.8 } },
      { ids: [40, 41, 42, 43, 44], options: { temperature: 0, logprobs: 2 } },
      { ids: [7, 7], options: { temperature: 0, grammar: parseGbnf('root ::= [a-z ]+') } },
      { ids: [3], options: FREE },
      { ids: [3, 5], options: { temperature: 1, topK: 30, seed: 8, presencePenalty: 0.5 } },
    ];
    const alone: string[] = [];
    for (const { ids, options } of jobs) {
      const session = await createSession(model);
      alone.push((await write(session, ids, { ...options, maxTokens: 40, ignoreEos: true })).text);
      await session.close();
    }
    const sessions = await Promise.all(jobs.map(() => createSession(model)));
    const together = await Promise.all(
      jobs.map(({ ids, options }, i) => write(sessions[i]!, ids, { ...options, maxTokens: 40, ignoreEos: true })),
    );
    assert.equal(
      together.map(({ text }) => text),
      alone,
    );
    for (const session of sessions) await session.close();
  });
});

check('samples of one prompt are what each seed makes alone; of a closed model there are none', async (device) => {
  await withModel(device, async (model) => {
    const ids = [3, 4, 5];
    const options = { ...FREE, seed: 2 ** 32 - 1, maxTokens: 8 };
    const session = await createSession(model);
    const samples = await generateSamples(session, ids, 3, options);
    assert.equal(
      samples.map(({ seed }) => seed),
      [2 ** 32 - 1, 0, 1],
    );
    assert.is(session.stats.reusedTokens, ids.length - 1, 'the prompt is read once');
    for (const { seed, text, finish } of samples) {
      const alone = await write(session, ids, { ...options, seed });
      assert.equal([text, finish], [alone.text, alone.finish]);
    }
    const batch = await createBatch(model, { slots: 2, context: 64 });
    assert.equal(await generateSamples(batch, ids, 3, options), samples);
    const failing = generateSamples(batch, [...ids, 999], 3, options);
    await expectError(() => failing, 'bad-argument', /token id 999 is outside/);
    const constraint = { mask: () => new Uint32Array(9), accept() {}, done: false };
    await expectError(() => generateSamples(batch, ids, 2, { constraint }), 'bad-argument', /give a grammar/);
    await batch.close();
    await model.close();
    await expectError(() => write(session, ids, options), 'bad-argument', /is closed: load it again/);
    await expectError(() => createSession(model), 'bad-argument', /is closed: load it again/);
    await session.close();
  });
});

check('what a grammar costs is measured text beside text', async (device) => {
  await withModel(device, async (model) => {
    const { results, overhead, first, later } = await benchGrammar(model, JSON_GRAMMAR, { tokens: 12, repetitions: 1 });
    assert.equal(
      results.map(({ name, tokens, tokensPerSecond }) => [name, tokens, tokensPerSecond.length]),
      [
        ['tg12 drawn', 12, 1],
        ['tg12 grammar', 12, 1],
      ],
    );
    const [free, masked] = results.map(({ median }) => median) as [number, number];
    assert.ok(free > 0 && masked > 0);
    assert.ok(Math.abs((1 + overhead) * masked - free) < 1e-6 * free);
    for (const { median, p99 } of [first, later]) assert.ok(median > 0 && p99 >= median);
  });
});

test.run();
