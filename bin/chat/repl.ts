/** The conversation itself: asks, lets the model answer, shows what it says and how fast, until the user leaves. */
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { startPowerMeter } from '../../devices/power.ts';
import { findGpu, readTopology } from '../../devices/topology.ts';
import { type Chat, type ChatSettings, createChat } from '../../engine/chat.ts';
import type { ChatMessage } from '../../engine/chat-template.ts';
import type { TextOptions, TextPart } from '../../engine/generate-text.ts';
import type { Session } from '../../engine/session.ts';
import { describeSpeeds } from '../../engine/speeds.ts';
import { openModel } from '../../loaders/named.ts';
import { FirstlightError } from '../../quant/errors.ts';
import { UsageError } from '../arguments.ts';
import { formatTopology } from '../memory-lines.ts';
import { describeAdapter, mebibytes, note, print, startProgress } from '../output.ts';
import { columnsOf, hasColors } from '../screen.ts';
import { historyPath } from './history.ts';
import { createMarkdownWriter } from './markdown.ts';
import type { Questions } from './questions.ts';
import { type Next, optionsOf, runSlash, type Settings, type Talk } from './slash.ts';
import { formatStatus, poolsOf } from './status.ts';
import { saveTranscript } from './transcript.ts';

export interface ReplOptions {
  /** What the user called the model. */
  readonly model: string;
  readonly questions: Questions;
  readonly settings: Settings;
  /** What the settings mean for the engine. */
  readonly sampling: TextOptions;
  readonly chat: Pick<ChatSettings, 'system' | 'messages' | 'template' | 'whenFull'>;
  /** No lines about speed. */
  readonly quiet: boolean;
  readonly signal: AbortSignal;
}

/** Errors after which a conversation can go on. */
const HARMLESS: readonly string[] = ['bad-argument', 'bad-file', 'context-full', 'unsupported-model', 'bad-tokenizer'];

/** How a conversation stands when it is left. */
export interface Left {
  readonly next: Exclude<Next, 'go on'>;
  readonly messages: readonly ChatMessage[];
  readonly settings: Settings;
  readonly sampling: TextOptions;
}

/** Talks until the user leaves or wants another model. What ends it otherwise leaves the conversation in a file. */
export async function runRepl(session: Session, options: ReplOptions): Promise<Left> {
  const { questions, quiet, signal } = options;
  const chat = await createChat(session, {
    ...options.chat,
    onDrop: (count) =>
      note(`firstlight: the context is full: the oldest ${count} messages are no longer read (/save keeps all)`),
  });
  let interrupted = false;

  const show = async (stream: (options: TextOptions) => AsyncGenerator<TextPart, void, void>) => {
    interrupted = false;
    const stop = new AbortController();
    const answering = AbortSignal.any([signal, stop.signal]);
    await questions.during(
      () => answer(chat, stream, { ...talk.options, signal: answering }, quiet),
      () => {
        // what does not stop is left, as any program is
        if (interrupted) process.kill(process.pid, 'SIGINT');
        interrupted = true;
        stop.abort();
      },
    );
    signal.throwIfAborted();
  };

  const talk: Talk = {
    chat,
    model: options.model,
    settings: options.settings,
    options: optionsOf(options.settings, options.sampling),
    print,
    describe: () => describe(chat),
    regenerate: () => show((given) => chat.regenerate(given)),
    async checkModel(name) {
      await (await openModel(name)).close();
    },
  };

  const left = (next: Left['next']): Left => {
    const { settings, options: sampling } = talk;
    return { next, messages: chat.messages, settings, sampling };
  };

  for (;;) {
    const line = await questions.ask(interrupted);
    interrupted = false;
    if (line === undefined || signal.aborted) return left('exit');
    if (line.trim() === '') continue;
    try {
      if (line.startsWith('/') && !line.startsWith('//')) {
        const next = await runSlash(talk, line);
        if (next !== 'go on') return left(next);
      } else {
        const message = line.startsWith('//') ? line.slice(1) : line;
        await show((given) => chat.stream(message, given));
      }
    } catch (error) {
      if (signal.aborted) return left('exit');
      const harmless = error instanceof FirstlightError && HARMLESS.includes(error.code);
      if (!harmless && !(error instanceof UsageError)) {
        await keep(options.model, chat.messages);
        throw error;
      }
      note((error as Error).message, 'red');
    }
  }
}

/** Writes a conversation where it can be gone on with after what is about to end it. */
async function keep(model: string, messages: readonly ChatMessage[]): Promise<void> {
  if (messages.length === 0) return;
  const path = join(dirname(historyPath()), 'last-chat.json');
  await mkdir(dirname(path), { recursive: true }).catch(() => undefined);
  const kept = await saveTranscript(path, { model, messages }).then(
    () => true,
    () => false,
  );
  if (kept) note(`firstlight: the conversation is kept: go on with "firstlight chat ${model} --load ${path}"`);
}

/** Shows an answer as it comes; that it is interrupted is no error. */
async function answer(
  chat: Chat,
  stream: (options: TextOptions) => AsyncGenerator<TextPart, void, void>,
  options: TextOptions,
  quiet: boolean,
): Promise<void> {
  const { session } = chat;
  const screen = process.stdout;
  const topology = await readTopology();
  const sensor = findGpu(topology, session.model.device.traits)?.powerSensor;
  let meter: ReturnType<typeof startPowerMeter> | undefined;
  const reading = startProgress('reading');
  const writer = screen.isTTY
    ? createMarkdownWriter({ write: print, columns: () => columnsOf(screen), color: hasColors(screen) })
    : { push: print, end: () => {} };
  let text = '';
  let finish: TextPart['finish'];
  try {
    for await (const part of stream({ ...options, onPrefill: reading.update })) {
      if (text === '') reading.end();
      meter ??= startPowerMeter(sensor);
      text += part.text;
      writer.push(part.text);
      finish = part.finish;
    }
  } catch (error) {
    if (!options.signal?.aborted) throw error;
  } finally {
    reading.end();
    writer.end();
    if (text !== '' || meter) print(text.endsWith('\n') ? '' : '\n');
  }
  const energy = await meter?.stop();
  if (finish === 'length' || finish === 'context')
    note(finish === 'length' ? '(cut: /set tokens allows more)' : '(the context is full)', 'dim');
  if (!meter || quiet) return;
  const status = formatStatus(
    {
      stats: chat.lastStats,
      used: session.history.length,
      context: session.context,
      deviceBytes: heldBytes(session),
      pools: poolsOf(await readTopology(), session),
      energy,
    },
    columnsOf(process.stderr),
  );
  note(`[${status}]`, 'dim');
}

function heldBytes({ model }: Session): number {
  return Object.values(model.memory()).reduce((sum, bytes) => sum + bytes, 0);
}

async function describe({ session, lastStats: stats }: Chat): Promise<string> {
  const { model, context } = session;
  const memory = Object.entries(model.memory()).filter(([, bytes]) => bytes > 0);
  return [
    `${describeSpeeds(stats)} (${stats.promptTokens} prompt tokens, of which ${stats.reusedTokens} were in the cache; ${stats.tokens} made)`,
    describeAdapter(model.device.traits),
    `${model.path}: ${model.fileFormat}, weights ${model.weightsOption}, KV ${model.kv}, context ${context}`,
    `memory: ${memory.map(([purpose, bytes]) => `${purpose} ${mebibytes(bytes)}`).join(', ')}`,
    ...formatTopology(await readTopology()),
  ].join('\n');
}
