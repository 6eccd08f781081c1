/**
 * Chat templates: Jinja programs that come with a model and turn messages into the one text that it was trained on.
 *
 * Such a text is full of control tokens, and a message may spell the same ones: `<|im_end|>` in a user's question must
 * stay these ten characters. Encoding the messages apart from the template's text would do that but change the ids, for
 * tokens reach across the border between both. So the text is encoded as a whole, with barriers where no control token
 * may be recognised. To know their places after the template has trimmed, cut and joined the messages, a mark (a private
 * use character found nowhere else) goes into the messages before each thing that could become a control token, and is
 * taken out of the rendered text again. A message without such things gets no mark. One with them still trims, splits
 * and searches as ever, the mark being in front of the control token's text; only a template that asks whether a message
 * equals or begins with a control token is told no, which is what it should hear of text that is not one.
 */
import { isJsonObject } from '../loaders/json.ts';
import { literalPattern } from '../loaders/split-regex.ts';
import { FirstlightError } from '../quant/errors.ts';
import { renderTemplate, TemplateRefusal } from './jinja.ts';
import type { Tokenizer } from './tokenizer.ts';

/** A message of a conversation, as templates take it. */
export interface ChatMessage {
  readonly role: 'system' | 'developer' | 'user' | 'assistant' | 'tool';
  readonly content: string | null;
  /** What else templates know, by their names: tool_calls, tool_call_id, name, reasoning_content, ... */
  readonly [field: string]: unknown;
}

/** Options of encodeChat(). */
export interface ChatOptions {
  /** Ends the text with the beginning of an answer. Defaults to true. */
  readonly addGenerationPrompt?: boolean;
  /** Text of the BOS token. Defaults to '', for encodeChat to the tokenizer's. */
  readonly bosToken?: string;
  /** Text of the EOS token. Defaults to '', for encodeChat to the tokenizer's first. */
  readonly eosToken?: string;
  /** Functions that the model may call, as JSON schemas. Defaults to none. */
  readonly tools?: readonly unknown[];
  /** Further variables of the template, e.g. enable_thinking for Qwen3. Defaults to none. */
  readonly variables?: Readonly<Record<string, unknown>>;
  /** The date that a template may print. Defaults to today. */
  readonly now?: Date;
  /**
   * Nothing is lost: a system message that the template refuses or leaves out goes before the user's first message, and
   * tools that it leaves out are an error. Defaults to true; false does what transformers does.
   */
  readonly lossless?: boolean;
}

const ROLES: ReadonlySet<string> = new Set(['system', 'developer', 'user', 'assistant', 'tool']);

/** Levels of nesting in a message or tool. */
const MAX_DEPTH = 64;

/**
 * Renders messages as Hugging Face transformers' apply_chat_template does, but for what `lossless` says.
 * @param template Jinja source, as in tokenizer_config.json or GGUF's tokenizer.chat_template
 * @throws FirstlightError 'bad-argument' when the template refuses the messages or a role is unknown, 'bad-tokenizer'
 *   when the template itself does not work
 */
export async function renderChat(
  template: string,
  messages: readonly ChatMessage[],
  options: ChatOptions = {},
): Promise<string> {
  for (const { role } of messages) {
    if (!ROLES.has(role)) {
      throw new FirstlightError(
        'bad-argument',
        `the role ${JSON.stringify(role)} of a message is unknown; use ${[...ROLES].join(', ')}`,
      );
    }
  }
  if (options.lossless === false) return render(template, messages, options);
  const looksAt = (variable: string) => new RegExp(`\\b${variable}\\b`).test(template);
  const tools = namesOf(options.tools);
  if (options.tools?.length && !looksAt('tools')) throw noPlace('tools', tools[0], 'never looks at `tools`');
  const calls = looksAt('tool_calls') ? [] : messages.flatMap((message) => namesOf(message.tool_calls));
  const folded = foldSystem(messages);
  const text = await render(template, messages, options).catch((error: unknown) => {
    const refused = error instanceof FirstlightError && error.cause instanceof TemplateRefusal;
    // a message of nothing but calls is null to it
    if (calls.length > 0 && !refused)
      throw noPlace('calls of tools in earlier answers', calls[0], 'never looks at `tool_calls`');
    if (folded === undefined || !refused) throw error;
    return render(template, folded, options);
  });
  const missing = tools.find((name) => !text.includes(name));
  if (missing !== undefined) throw noPlace('tools', missing, 'leaves it out');
  const system = messages[0]?.content?.trim() ?? '';
  if (folded === undefined || text.includes(system)) return text;
  const withSystem = await render(template, folded, options);
  return withSystem.includes(system) ? withSystem : text;
}

function noPlace(what: string, example: string | undefined, why: string): FirstlightError {
  const advice =
    'leave them out, or take a model that was trained to call functions, or a template that has a place for them (--template)';
  const named = example === undefined ? '' : ` (${example})`;
  return new FirstlightError(
    'bad-argument',
    `the model's chat template has no place for ${what}${named}: it ${why}; ${advice}`,
  );
}

/** The messages with the text of a leading system message put before the first one of the user. */
function foldSystem(messages: readonly ChatMessage[]): ChatMessage[] | undefined {
  const [system, ...turns] = messages;
  const first = turns.findIndex((message) => message.role === 'user');
  const user = turns[first];
  if (system?.role !== 'system' && system?.role !== 'developer') return undefined;
  if (typeof system.content !== 'string' || typeof user?.content !== 'string') return undefined;
  return turns.with(first, { ...user, content: `${system.content}\n\n${user.content}` });
}

/** Names of the functions in a list of tools or of calls. */
function namesOf(list: unknown): string[] {
  return (Array.isArray(list) ? list : []).flatMap((one: unknown) => {
    const described = isJsonObject(one) && isJsonObject(one.function) ? one.function : one;
    return isJsonObject(described) && typeof described.name === 'string' ? [described.name] : [];
  });
}

async function render(template: string, messages: readonly ChatMessage[], options: ChatOptions): Promise<string> {
  try {
    return await renderTemplate(template, {
      strftime_now: (format: string) => formatDate(options.now ?? new Date(), format),
      messages,
      tools: options.tools ?? null,
      documents: null,
      add_generation_prompt: options.addGenerationPrompt ?? true,
      bos_token: options.bosToken ?? '',
      eos_token: options.eosToken ?? '',
      ...options.variables,
    });
  } catch (error) {
    const reason = (error instanceof Error ? error.message : String(error)).replace(/\s+/g, ' ').slice(0, 300);
    throw error instanceof TemplateRefusal
      ? new FirstlightError(
          'bad-argument',
          `the chat template does not take these messages: ${reason}; change them, or use --template or --raw`,
          { cause: error },
        )
      : new FirstlightError(
          'bad-tokenizer',
          `the chat template does not work: ${reason}; use --template for another one or --raw for none`,
          { cause: error },
        );
  }
}

/** Python's strftime in its "C" locale, whatever the machine's language is: models were trained on English dates. */
function formatDate(date: Date, format: string): string {
  const two = (value: number) => String(value).padStart(2, '0');
  const name = (style: Intl.DateTimeFormatOptions) => date.toLocaleDateString('en-US', style);
  const parts: Readonly<Record<string, () => string>> = {
    Y: () => String(date.getFullYear()),
    y: () => two(date.getFullYear() % 100),
    m: () => two(date.getMonth() + 1),
    d: () => two(date.getDate()),
    B: () => name({ month: 'long' }),
    b: () => name({ month: 'short' }),
    A: () => name({ weekday: 'long' }),
    a: () => name({ weekday: 'short' }),
    H: () => two(date.getHours()),
    I: () => two(date.getHours() % 12 || 12),
    p: () => (date.getHours() < 12 ? 'AM' : 'PM'),
    M: () => two(date.getMinutes()),
    S: () => two(date.getSeconds()),
    '%': () => '%',
  };
  return format.replace(/%(.)/g, (directive, letter: string) => parts[letter]?.() ?? directive);
}

/**
 * Token ids of a chat, with a BOS token first if the model was trained with one. Control tokens come from the template
 * alone, never from messages or tools (as long as it does not itself change letters or delete text within them); the
 * variables are the caller's own. Without control tokens in the messages the ids are those of the rendered text.
 * @throws as renderChat
 */
export async function encodeChat(
  tokenizer: Tokenizer,
  template: string,
  messages: readonly ChatMessage[],
  options: ChatOptions = {},
): Promise<number[]> {
  const name = (id: number | undefined) =>
    id === undefined ? '' : tokenizer.decode([id], { special: true, continued: true });
  const { tools, variables, bosToken = name(tokenizer.bos), eosToken = name(tokenizer.eos[0]) } = options;
  const mark = findMark([template, messages, tools, variables, tokenizer.specialTexts]);
  const guard = createGuard(tokenizer.specialTexts, mark);
  const guarded = messages.map((message) => {
    const fields = Object.entries(message).map(([key, value]) => {
      if (key === 'role') return [key, value]; // one of a few words
      return [
        guard.inside(key),
        key === 'content' && typeof value === 'string' ? guard.whole(value) : mapStrings(value, guard.inside),
      ];
    });
    return Object.fromEntries(fields) as ChatMessage;
  });
  const guardedTools = tools && mapStrings(tools, guard.inside);
  const rendered = await renderChat(template, guarded, { ...options, bosToken, eosToken, tools: guardedTools });
  const stretches = rendered.split(mark);
  const barriers: number[] = [];
  for (const stretch of stretches.slice(0, -1)) barriers.push((barriers.at(-1) ?? 0) + stretch.length);
  return tokenizer.encode(stretches.join(''), { special: true, barriers });
}

/** A private use character that none of the strings has. */
function findMark(values: readonly unknown[]): string {
  const strings: string[] = [];
  mapStrings(values, (text) => {
    strings.push(text);
    return text;
  });
  for (let code = 0xe000; code <= 0xf8ff; code++) {
    const mark = String.fromCharCode(code);
    if (!strings.some((text) => text.includes(mark))) return mark;
  }
  throw new FirstlightError(
    'bad-argument',
    'the messages use all 6400 private use characters of Unicode; leave one out',
  );
}

/** The same JSON value with each string in it, keys too, replaced. */
function mapStrings<T>(value: T, replace: (text: string) => string, depth?: number): T;
function mapStrings(value: unknown, replace: (text: string) => string, depth = 0): unknown {
  if (depth > MAX_DEPTH) {
    throw new FirstlightError(
      'bad-argument',
      `a message or tool is nested deeper than ${MAX_DEPTH} levels; flatten it`,
    );
  }
  if (typeof value === 'string') return replace(value);
  if (Array.isArray(value)) return value.map((one) => mapStrings(one, replace, depth + 1));
  if (typeof value !== 'object' || value === null) return value;
  const mapped = Object.entries(value).map(([key, one]) => [replace(key), mapStrings(one, replace, depth + 1)]);
  return Object.fromEntries(mapped);
}

interface Guard {
  /** Marks each control token that the text spells. */
  inside(text: string): string;
  /** Marks also what could become one together with the text before or after it. */
  whole(text: string): string;
}

/**
 * @param specials texts of the control tokens
 * A barrier keeps any control token from being recognised that begins at it or reaches across it, so a mark in front
 * of each place where one could begin is enough.
 */
function createGuard(specials: readonly string[], mark: string): Guard {
  if (specials.length === 0) return { inside: (text) => text, whole: (text) => text };
  const spelt = new RegExp(`(?=${specials.map(literalPattern).join('|')})`, 'g');
  const longest = Math.max(...specials.map((text) => text.length));
  const cuts = (text: string) => Array.from({ length: text.length - 1 }, (_, index) => index + 1);
  const heads = new Set(specials.flatMap((text) => cuts(text).map((at) => text.slice(0, at))));
  const tails = new Set(specials.flatMap((text) => cuts(text).map((at) => text.slice(at))));

  function inside(text: string): string {
    return text.replace(spelt, mark);
  }

  function whole(text: string): string {
    // Within the white space around it, so that a template can trim that as ever.
    const core = text.trim();
    if (core === '') return text;
    const places = new Set(Array.from(core.matchAll(spelt), (match) => match.index));
    for (let length = 1; length < longest && length <= core.length; length++) {
      if (heads.has(core.slice(-length))) places.add(core.length - length);
      if (tails.has(core.slice(0, length))) places.add(0);
    }
    if (core.length < longest && specials.some((special) => special.includes(core))) places.add(0);
    let marked = '';
    let end = 0;
    for (const place of [...places].sort((a, b) => a - b)) {
      marked += core.slice(end, place) + mark;
      end = place;
    }
    return text.replace(core, () => marked + core.slice(end));
  }

  return { inside, whole };
}
