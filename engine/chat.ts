/** Conversations: messages, the model's chat template, and a session that keeps what it has read. */
import { FirstlightError } from '../quant/errors.ts';
import { type ChatMessage, encodeChat } from './chat-template.ts';
import { type WhenFull, withContextEnd } from './context-end.ts';
import { generateText, type TextOptions, type TextPart } from './generate-text.ts';
import type { Model } from './model.ts';
import { createSession, type Session, type SessionOptions, type Stats } from './session.ts';
import { describeSpeeds } from './speeds.ts';
import { requireTokenizer } from './tokenizer.ts';

/** What a chat does with its options when a call brings none of its own. */
export interface ChatSettings extends TextOptions {
  /** Text of the system message. Default none. */
  readonly system?: string | undefined;
  /** Messages that the conversation begins with, after the system message. Default none. */
  readonly messages?: readonly ChatMessage[] | undefined;
  /** Jinja source of another chat template. Default the model's own. */
  readonly template?: string | undefined;
  /** Further variables of the template, e.g. enable_thinking. Default none. */
  readonly variables?: Readonly<Record<string, unknown>> | undefined;
  /** What happens when the conversation no longer fits the context. Default `drop`: the oldest turns are not read any more. */
  readonly whenFull?: WhenFull | undefined;
  /** Called when turns, so many messages, are left out from here on. */
  readonly onDrop?: ((messages: number) => void) | undefined;
  /** Of the chat's own session, when it is made from a model. */
  readonly session?: SessionOptions | undefined;
}

/** A conversation: made by createChat(). */
export interface Chat extends AsyncDisposable {
  readonly session: Session;
  /** The whole conversation, also what is no longer read. */
  readonly messages: readonly ChatMessage[];
  /** Messages at the start, behind the system message, that did not fit the context any more. */
  readonly dropped: number;
  /**
   * Says something, and yields the answer token by token. An answer that is aborted or left early stays in the conversation
   * as far as it came. Throws `context-full` when not even the last message fits, `bad-argument` for what the template does
   * not take, and what Session.tokens throws; then the conversation stays as it was.
   */
  stream(prompt: string, options?: TextOptions): AsyncGenerator<TextPart, void, void>;
  /** The same as one text; `onText` gets the pieces meanwhile. */
  generate(
    prompt: string,
    options?: TextOptions & { readonly onText?: ((text: string) => void) | undefined },
  ): Promise<string>;
  /** Answers the last message of the user anew. Throws `bad-argument` when there is none. */
  regenerate(options?: TextOptions): AsyncGenerator<TextPart, void, void>;
  /** Takes the last message of the user and its answer back; false when there is none. */
  undo(): boolean;
  /** Tokens of what the next answer would be made from, before anything more is said. */
  countTokens(): Promise<number>;
  /** Begins anew: with other messages, if given; else with none but the system message. */
  resetChat(start?: Pick<ChatSettings, 'system' | 'messages'>): void;
  /** Times and counts of the last answer. */
  readonly lastStats: Stats;
  /** The same as `prefill: 47.3 tok/s, decode: 12.4 tok/s`. */
  stats(): string;
  /**
   * Measures: goes on with a text, without the template, for exactly `generateLength` tokens. The conversation stays as it is.
   * Throws `context-full` when they do not fit.
   */
  benchmarkGenerate(prompt: string, generateLength: number): Promise<string>;
  /** Gives the memory of the chat's own session back. */
  close(): Promise<void>;
}

const SYSTEM: ReadonlySet<string> = new Set(['system', 'developer']);

/**
 * A conversation over a model, with a session of its own, or over a session that is there. Several chats of one model share
 * its weights and may answer at the same time. Throws `bad-argument` for a model that has no chat template and was given
 * none, `bad-tokenizer` for one without a tokenizer, and what createSession throws.
 */
export async function createChat(base: Model | Session, settings: ChatSettings = {}): Promise<Chat> {
  const model = 'model' in base ? base.model : base;
  const { path } = model;
  const tokenizer = requireTokenizer(model.tokenizer, path);
  const template = settings.template ?? model.chatTemplate;
  if (template === undefined)
    throw new FirstlightError(
      'bad-argument',
      `${path} has no chat template, so it was hardly made for conversations: give a template, or let it go on with a ` +
        'text by generateText()',
    );
  const { whenFull = 'drop', variables } = settings;
  const session = 'model' in base ? base : await createSession(base, settings.session);

  const begin = ({ system = settings.system, messages = [] }: Pick<ChatSettings, 'system' | 'messages'>) => {
    const first: ChatMessage[] = system === undefined ? [] : [{ role: 'system', content: system }];
    return [...first, ...messages];
  };
  let messages = begin(settings);
  let dropped = 0; // messages behind the system message
  let starts = new Map<number, number>(); // by message of the user, where it begins in the ids
  let busy = false;
  let last: { readonly stats: Stats } = session; // what has made the last answer

  const encode = (list: readonly ChatMessage[]) => encodeChat(tokenizer, template, list, { variables });

  /** The messages that are still read. */
  const windowOf = (all: readonly ChatMessage[]) => {
    const system = all[0] && SYSTEM.has(all[0].role) ? 1 : 0;
    return { list: [...all.slice(0, system), ...all.slice(system + dropped)], system };
  };

  /**
   * Where turns of the user begin in the ids. Templates differ, and some refuse a conversation that is cut, so it is found out
   * by what changes when the message says something else.
   */
  const findStarts = async (list: readonly ChatMessage[], ids: readonly number[]): Promise<number[]> => {
    const found = new Map<number, number>();
    for (const [i, message] of list.entries()) {
      if (message.role !== 'user') continue;
      let start = starts.get(i);
      if (start === undefined) {
        const other = await encode(list.with(i, { ...message, content: message.content?.startsWith('x') ? '0' : 'x' }));
        start = 0;
        while (start < ids.length && ids[start] === other[start]) start++;
      }
      found.set(i, start);
    }
    starts = found;
    return [...found.values()];
  };

  async function* answer(all: readonly ChatMessage[], given: TextOptions): AsyncGenerator<TextPart, void, void> {
    if (busy)
      throw new FirstlightError('bad-argument', 'the chat is already answering: wait, abort it, or use another chat');
    busy = true;
    let text = '';
    let any = false;
    try {
      const options = { ...settings, ...given };
      const { list, system } = windowOf(all);
      const ids = await encode(list);
      const turns = whenFull === 'drop' ? await findStarts(list, ids) : undefined;
      const moved = [...(turns ?? [])];
      const source = withContextEnd(session, {
        whenFull,
        turns,
        onDrop({ first, count }) {
          const next = moved.findIndex((start) => start >= first + count);
          const gone = moved.splice(0, next < 0 ? moved.length : next);
          for (const [i, start] of moved.entries()) moved[i] = start - count;
          // messages up to the turn of the user that is now the first
          let left = gone.length;
          let number = 0;
          while (number < list.length - system && (list[system + number]?.role !== 'user' || left-- > 0)) number++;
          list.splice(system, number);
          dropped += number;
          starts = new Map();
          settings.onDrop?.(number);
        },
      });
      last = source;
      for await (const part of generateText(source, ids, options)) {
        any = true;
        text += part.text;
        yield part;
      }
    } finally {
      busy = false;
      if (any) messages = [...all, { role: 'assistant', content: text }];
    }
  }

  const lastQuestion = () => messages.findLastIndex(({ role }) => role === 'user');

  /** Takes back all behind so many messages. */
  const cutBehind = (count: number) => {
    for (const at of starts.keys()) if (at >= count - dropped) starts.delete(at);
    messages = messages.slice(0, count);
    dropped = Math.min(dropped, count - windowOf(messages).system);
  };

  const chat: Chat = {
    session,
    get messages() {
      return messages;
    },
    get dropped() {
      return dropped;
    },
    stream: (prompt, options = {}) => answer([...messages, { role: 'user', content: prompt }], options),
    async generate(prompt, { onText, ...options } = {}) {
      let text = '';
      for await (const part of chat.stream(prompt, options)) {
        text += part.text;
        onText?.(part.text);
      }
      return text;
    },
    async *regenerate(options = {}) {
      const last = lastQuestion();
      if (last < 0)
        throw new FirstlightError('bad-argument', 'nothing has been asked yet: there is no answer to make anew');
      yield* answer(messages.slice(0, last + 1), options);
    },
    undo() {
      const last = lastQuestion();
      if (last >= 0) cutBehind(last);
      return last >= 0;
    },
    async countTokens() {
      const { list } = windowOf(messages);
      return list.length === 0 ? 0 : (await encode(list)).length;
    },
    resetChat(start = {}) {
      messages = begin(start);
      dropped = 0;
      starts = new Map();
    },
    get lastStats() {
      return last.stats;
    },
    stats: () => describeSpeeds(chat.lastStats),
    async benchmarkGenerate(prompt, generateLength) {
      const ids = tokenizer.encode(prompt, { special: false });
      if (ids.length + generateLength > session.context)
        throw new FirstlightError(
          'context-full',
          `${ids.length} + ${generateLength} tokens do not fit the context of ${session.context}: measure fewer`,
        );
      let text = '';
      last = session;
      // whatever comes is fed back, end tokens too
      const options = { temperature: 0, maxTokens: generateLength, stopIds: new Set<number>(), continued: true };
      for await (const part of generateText(session, ids, options)) text += part.text;
      return text;
    },
    async close() {
      if (session !== base) await session.close();
    },
    [Symbol.asyncDispose]: () => chat.close(),
  };
  return chat;
}
