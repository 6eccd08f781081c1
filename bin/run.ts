/** `firstlight run`: a model answers a prompt, goes on with a text, or tells a story. */
import { existsSync } from 'node:fs';
import { encodeChat } from '../engine/chat-template.ts';
import { withContextEnd } from '../engine/context-end.ts';
import { generateText, type TextOptions, type TokenSource } from '../engine/generate-text.ts';
import type { Logprobs } from '../engine/logprobs.ts';
import type { Model } from '../engine/model.ts';
import { seedsFrom } from '../engine/sampler.ts';
import type { Session, Stats } from '../engine/session.ts';
import { describeSpeeds, speedsOf } from '../engine/speeds.ts';
import { requireTokenizer } from '../engine/tokenizer.ts';
import { FirstlightError } from '../quant/errors.ts';
import { defineCommand, UsageError } from './arguments.ts';
import { ABOUT_MODEL, ABOUT_TEXT, isBuiltin, readText, readTextFile, splitOperands } from './model.ts';
import { MODEL_FLAGS } from './model-flags.ts';
import { describeAdapter, mebibytes, note, print, printJson, startProgress } from './output.ts';
import { MOST_SEED, SAMPLING_FLAGS, samplingOptions } from './sampling.ts';
import { withoutControls } from './screen.ts';
import { withSession } from './session.ts';
import { readTemplate, TEMPLATE_FLAG, templateFor } from './template.ts';

const DEFAULT_TOKENS = 128;
/** What the built-in model goes on from when it is not asked anything. */
const OPENING = 'Once upon a time';

export const run = defineCommand({
  operands: ['[MODEL]', '[PROMPT]'],
  about: [
    'A model with a chat template answers PROMPT; any other goes on with it. Without PROMPT the built-in model tells a story.',
    ABOUT_MODEL,
    ABOUT_TEXT,
    'The text goes to stdout as it is made; the device and the speed go to stderr.',
  ],
  flags: {
    tokens: {
      kind: 'number',
      short: 'n',
      whole: true,
      least: 1,
      most: 2 ** 31 - 1,
      about: `most tokens to make (default ${DEFAULT_TOKENS}; a story is told to its end)`,
    },
    ...SAMPLING_FLAGS,
    samples: {
      kind: 'number',
      whole: true,
      least: 1,
      most: 1000,
      about: 'answers to make, each with a seed one higher than the one before (default 1)',
    },
    logprobs: {
      kind: 'number',
      whole: true,
      least: 0,
      most: 64,
      about: 'with --json: the log probability of each token and of so many alternatives',
    },
    session: {
      kind: 'text',
      placeholder: 'FILE',
      about: 'keep what has been read and made in FILE: a later run whose text begins alike does not read it again',
    },
    'when-full': {
      kind: 'choice',
      choices: ['stop', 'shift'],
      about: 'at the end of the context stop, or leave out the older half of the text and go on (default stop)',
    },
    file: {
      kind: 'text',
      short: 'f',
      placeholder: 'FILE',
      about: 'text of a file as the prompt, or behind PROMPT, two lines below it',
    },
    system: { kind: 'text', placeholder: 'TEXT', about: 'system message: what the model should be like' },
    raw: { kind: 'switch', about: 'no chat template: go on with PROMPT as it is; control tokens in it stay text' },
    ...TEMPLATE_FLAG,
    ...MODEL_FLAGS,
    json: {
      kind: 'switch',
      about: 'one JSON object when all is done (a list with --samples): text, ids, promptTokens, tokens, finish, stats',
    },
    quiet: { kind: 'switch', short: 'q', about: 'neither placement nor speed on stderr' },
  },
  async run(values, operands, signal) {
    const { model, text } = splitOperands(operands);
    const { raw = false, system, file } = values;
    if (raw && values.template !== undefined) throw new UsageError('--raw uses no template: leave one of both out');
    if (raw && system !== undefined) throw new UsageError('--raw has no system message: leave one of both out');
    if (values.logprobs !== undefined && !values.json) throw new UsageError('--logprobs is told with --json only');
    const given = text === undefined ? [] : [await readText(text)];
    if (file !== undefined) given.push(await readTextFile(file, '--file'));
    const prompt = given.length > 0 ? given.join('\n\n') : undefined;
    const template = await readTemplate(values.template);
    const isStory = prompt === undefined && isBuiltin(model) && !raw;
    const sampling = await samplingOptions(values);
    const show = process.stdout.isTTY ? (text: string) => print(withoutControls(text)) : print;
    const { samples = 1, seed: firstSeed = Math.floor(Math.random() * (MOST_SEED + 1)) } = values;
    await withSession(model, values, signal, async (session) => {
      const opening = isStory ? OPENING : '';
      const { ids, continued } = await encodePrompt(session.model, isStory ? OPENING : prompt, {
        raw: isStory || raw,
        template,
        system,
      });
      const answers: object[] = [];
      let last = session.stats;
      if (values.session !== undefined && existsSync(values.session)) await session.restore(values.session);
      for (const [sample, seed] of seedsFrom(firstSeed, samples).entries()) {
        if (signal.aborted) break;
        if (samples > 1 && !values.json) print(`${sample > 0 ? '\n' : ''}--- ${sample + 1}, seed ${seed}\n`);
        let leftOut = 0;
        const source = withContextEnd(session, {
          whenFull: values['when-full'] ?? 'stop',
          onDrop({ count }) {
            leftOut += count;
          },
        });
        const answer = await writeText(source, ids, opening, values.json ? () => {} : show, {
          ...sampling,
          maxTokens: values.tokens ?? (isStory ? undefined : DEFAULT_TOKENS),
          logprobs: values.json ? values.logprobs : undefined,
          continued,
          seed,
          signal,
        });
        const counts = { promptTokens: ids.length, tokens: answer.ids.length };
        if (values.json) answers.push({ ...answer, ...counts, seed, stats: statsJson(session, source.stats) });
        else if (!answer.text.endsWith('\n')) print('\n');
        const full = `the context of ${session.context} positions`;
        if (leftOut > 0) note(`${full} was full: ${leftOut} older tokens were left out on the way`);
        if (answer.finish === 'context') note(`${full} is full: ask for more by --ctx, or go on by --when-full shift`);
        last = source.stats;
      }
      if (values.session !== undefined && session.history.length > 0) await session.save(values.session);
      if (values.json) printJson(samples > 1 ? answers : answers[0]);
      if (!values.quiet) note(describeStats(session, last));
    });
  },
});

/** Ids of the prompt, and whether the answer goes on in the same line. */
async function encodePrompt(
  model: Model,
  prompt: string | undefined,
  {
    raw,
    template: chosen,
    system,
  }: { readonly raw: boolean; readonly template: string | undefined; readonly system: string | undefined },
): Promise<{ ids: number[]; continued: boolean }> {
  const tokenizer = requireTokenizer(model.tokenizer, model.path);
  const template = raw ? undefined : templateFor(model, chosen);
  if (template === undefined) {
    if (system !== undefined && !raw)
      throw new FirstlightError(
        'bad-argument',
        `${model.path} has no chat template, so there is no place for a system message: choose one with --template`,
      );
    const text = prompt ?? '';
    return { ids: tokenizer.encode(text, { special: false }), continued: text !== '' };
  }
  if (prompt === undefined)
    throw new UsageError('this model answers: give it a PROMPT, or --raw to let it write freely');
  return {
    ids: await encodeChat(tokenizer, template, [
      ...(system === undefined ? [] : [{ role: 'system' as const, content: system }]),
      { role: 'user', content: prompt },
    ]),
    continued: false,
  };
}

interface Answer {
  readonly text: string;
  /** With the end token, if there was one. */
  readonly ids: readonly number[];
  readonly finish: 'stop' | 'length' | 'context' | 'interrupted';
  /** For each of the ids, where it was asked for. */
  readonly logprobs?: readonly Logprobs[];
}

/** Writes until the model ends its text or `maxTokens` are made; that the signal interrupts is no error here. */
async function writeText(
  source: TokenSource,
  promptIds: readonly number[],
  opening: string,
  write: (text: string) => void,
  options: TextOptions,
): Promise<Answer> {
  let text = opening;
  write(opening);
  const ids: number[] = [];
  const logprobs: Logprobs[] = [];
  let finish: Answer['finish'] = 'length';
  const reading = startProgress('reading');
  try {
    for await (const part of generateText(source, promptIds, { ...options, onPrefill: reading.update })) {
      reading.end();
      text += part.text;
      write(part.text);
      ids.push(part.id);
      if (part.logprobs) logprobs.push(part.logprobs);
      if (part.finish) finish = part.finish;
    }
  } catch (error) {
    if (!options.signal?.aborted) throw error;
    finish = 'interrupted';
  } finally {
    reading.end();
  }
  return { text, ids, finish, ...(options.logprobs === undefined ? {} : { logprobs }) };
}

function memoryBytes({ model }: Session): number {
  return Object.values(model.memory()).reduce((sum, bytes) => sum + bytes, 0);
}

function describeStats(session: Session, stats: Stats): string {
  const { model } = session;
  return (
    `${describeSpeeds(stats)} (${stats.promptTokens} + ${stats.tokens} tokens; ` +
    `${describeAdapter(model.device.traits)}; ${mebibytes(memoryBytes(session))})`
  );
}

function statsJson(session: Session, stats: Stats) {
  const { context, model } = session;
  const { prefill, decode } = speedsOf(stats);
  const { name, driver, software } = model.device.traits;
  return {
    prefillTokensPerSecond: prefill ?? null,
    decodeTokensPerSecond: decode ?? null,
    prefillMs: stats.prefillMs,
    decodeMs: stats.decodeMs,
    device: { name, driver, software },
    weights: model.weightsOption,
    context,
    memoryBytes: memoryBytes(session),
  };
}
