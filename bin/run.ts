/** `firstlight run`: a model answers a prompt, goes on with a text, or tells a story. */
import { encodeChat } from '../engine/chat-template.ts';
import type { Model } from '../engine/model.ts';
import type { Session, Stats } from '../engine/session.ts';
import { defineCommand, UsageError } from './arguments.ts';
import {
  ABOUT_MODEL,
  ABOUT_TEXT,
  describeAdapter,
  isBuiltin,
  MODEL_FLAGS,
  readText,
  requireTokenizer,
  splitOperands,
  withSession,
} from './model.ts';
import { mebibytes, note, print, printJson } from './output.ts';
import { readTemplate, TEMPLATE_FLAG, templateFor } from './template.ts';

const DEFAULT_TOKENS = 128;
const MOST_SEED = 2 ** 32 - 1;
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
    temp: {
      kind: 'number',
      whole: false,
      least: 0,
      most: 100,
      about: 'temperature; 0 always takes the most probable token (default 0.8)',
    },
    'top-k': {
      kind: 'number',
      whole: true,
      least: 0,
      most: 2 ** 31 - 1,
      about: 'only the k best; 0 = all (default 40)',
    },
    'top-p': {
      kind: 'number',
      whole: false,
      least: 1e-6,
      most: 1,
      about: 'only the best that together have this probability; 1 = all (default 0.95)',
    },
    'min-p': {
      kind: 'number',
      whole: false,
      least: 0,
      most: 1,
      about: 'only those at least this probable relative to the best; 0 = all (default 0)',
    },
    seed: {
      kind: 'number',
      whole: true,
      least: 0,
      most: MOST_SEED,
      about: 'makes the draw repeatable (default random)',
    },
    raw: { kind: 'switch', about: 'no chat template: go on with PROMPT as it is; control tokens in it stay text' },
    ...TEMPLATE_FLAG,
    ...MODEL_FLAGS,
    json: { kind: 'switch', about: 'one JSON object when all is done: text, ids, promptTokens, tokens, finish, stats' },
    quiet: { kind: 'switch', short: 'q', about: 'neither placement nor speed on stderr' },
  },
  async run(values, operands, signal) {
    const { model, text } = splitOperands(operands);
    const prompt = text === undefined ? undefined : await readText(text);
    if (values.raw && values.template !== undefined)
      throw new UsageError('--raw uses no template: leave one of both out');
    const template = await readTemplate(values.template);
    const isStory = prompt === undefined && isBuiltin(model) && !values.raw;
    const seed = values.seed ?? Math.floor(Math.random() * (MOST_SEED + 1));
    await withSession(model, values, signal, async (session) => {
      const start = isStory ? OPENING : prompt;
      const { ids, continued } = await encodePrompt(session.model, start, isStory || values.raw === true, template);
      const answer = await generateText(session, ids, {
        opening: isStory ? OPENING : '',
        continued,
        write: values.json ? () => {} : print,
        options: {
          maxTokens: values.tokens ?? (isStory ? undefined : DEFAULT_TOKENS),
          temperature: values.temp,
          topK: values['top-k'],
          topP: values['top-p'],
          minP: values['min-p'],
          seed,
          signal,
        },
      });
      const { stats } = session;
      if (values.json) {
        const { promptTokens, tokens } = stats;
        printJson({ ...answer, promptTokens, tokens, seed, stats: statsJson(session) });
      } else if (!answer.text.endsWith('\n')) print('\n');
      if (!values.quiet) note(describeStats(session));
    });
  },
});

/** Ids of the prompt, and whether the answer goes on in the same line. */
async function encodePrompt(
  model: Model,
  prompt: string | undefined,
  raw: boolean,
  chosen: string | undefined,
): Promise<{ ids: number[]; continued: boolean }> {
  const tokenizer = requireTokenizer(model.tokenizer, model.path);
  const template = raw ? undefined : templateFor(model, chosen);
  if (template === undefined) {
    const text = prompt ?? '';
    return { ids: tokenizer.encode(text, { special: false }), continued: text !== '' };
  }
  if (prompt === undefined)
    throw new UsageError('this model answers: give it a PROMPT, or --raw to let it write freely');
  return {
    ids: await encodeChat(tokenizer, template, [{ role: 'user', content: prompt }]),
    continued: false,
  };
}

interface Answer {
  readonly text: string;
  /** With the end token, if there was one. */
  readonly ids: readonly number[];
  readonly finish: 'stop' | 'length' | 'interrupted';
}

interface Writing {
  /** Stands before what the model makes. */
  readonly opening: string;
  readonly continued: boolean;
  readonly write: (text: string) => void;
  readonly options: NonNullable<Parameters<Session['generate']>[1]>;
}

/** Generates until the model ends its text, `maxTokens` are made, or the signal interrupts, which is no error here. */
async function generateText(
  session: Session,
  promptIds: readonly number[],
  { opening, continued, write, options }: Writing,
): Promise<Answer> {
  const tokenizer = requireTokenizer(session.model.tokenizer, session.model.path);
  const stopIds: ReadonlySet<number> = new Set(tokenizer.eos);
  const decoder = tokenizer.decoder({ continued });
  let text = '';
  const show = (piece: string) => {
    text += piece;
    write(piece);
  };
  const ids: number[] = [];
  let finish: Answer['finish'] = 'length';
  show(opening);
  try {
    for await (const id of session.generate(promptIds, { ...options, stopIds })) {
      ids.push(id);
      if (stopIds.has(id)) finish = 'stop';
      else show(decoder.push(id));
    }
  } catch (error) {
    if (!options.signal?.aborted) throw error;
    finish = 'interrupted';
  }
  show(decoder.end());
  return { text, ids, finish };
}

/** Tokens per second; undefined where nothing was timed. The first token belongs to the prompt's time. */
function speeds({ promptTokens, reusedTokens, prefillMs, tokens, decodeMs }: Stats) {
  return {
    prefill: prefillMs > 0 ? (1000 * (promptTokens - reusedTokens)) / prefillMs : undefined,
    decode: tokens > 1 && decodeMs > 0 ? (1000 * (tokens - 1)) / decodeMs : undefined,
  };
}

function memoryBytes({ model }: Session): number {
  return Object.values(model.memory()).reduce((sum, bytes) => sum + bytes, 0);
}

function describeStats(session: Session): string {
  const { stats, model } = session;
  const { prefill, decode } = speeds(stats);
  const rate = (speed: number | undefined) => `${speed?.toFixed(1) ?? '-'} tok/s`;
  return (
    `prefill: ${rate(prefill)}, decode: ${rate(decode)} (${stats.promptTokens} + ${stats.tokens} tokens; ` +
    `${describeAdapter(model.device.traits)}; ${mebibytes(memoryBytes(session))})`
  );
}

function statsJson(session: Session) {
  const { stats, context, model } = session;
  const { prefill, decode } = speeds(stats);
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
