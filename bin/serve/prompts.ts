/** From messages or texts to the ids that a model goes on from. */
import { type ChatMessage, encodeChat } from '../../engine/chat-template.ts';
import type { Model } from '../../engine/model.ts';
import type { ReplyOptions } from '../../engine/reply.ts';
import type { Tokenizer } from '../../engine/tokenizer.ts';
import { RequestError } from './errors.ts';
import type { Lease } from './host.ts';

export interface ChatPrompt {
  readonly ids: readonly number[];
  /** How the answer is to be read. */
  readonly reply: ReplyOptions;
}

export interface FunctionTool {
  readonly function: { readonly name: string };
}

export interface ChatPromptOptions {
  /** Functions that the model may call. Default none. */
  readonly tools?: readonly FunctionTool[] | null | undefined;
  /** Whether the model is to think before it answers; default as its template has it. */
  readonly thinking?: boolean | undefined;
  /** Further variables of the template. */
  readonly variables?: Readonly<Record<string, unknown>> | null | undefined;
}

/** Tokens at a prompt's end in which it may have opened the reasoning. */
const ENDING_TOKENS = 8;

export function tokenizerOf(name: string, model: Model): Tokenizer {
  if (model.tokenizer) return model.tokenizer;
  throw new RequestError(400, 'unsupported_model', `${name} has no tokenizer: it can only be run by a program`);
}

/** A conversation as the model was trained on it. Throws RequestError for a model that does not chat. */
export async function chatPrompt(
  name: string,
  model: Model,
  messages: readonly ChatMessage[],
  { tools, thinking, variables }: ChatPromptOptions,
): Promise<ChatPrompt> {
  const tokenizer = tokenizerOf(name, model);
  const given = tools ?? [];
  const template = (given.length > 0 ? model.toolTemplate : undefined) ?? model.chatTemplate;
  if (template === undefined)
    throw new RequestError(
      400,
      'unsupported_model',
      `${name} has no chat template: use /v1/completions, or start the server with --template`,
    );
  const ids = await encodeChat(tokenizer, template, messages, {
    ...(given.length > 0 && { tools: given }),
    variables: { ...variables, ...(thinking === undefined ? {} : { enable_thinking: thinking }) },
  });
  const ending = tokenizer.decode(ids.slice(-ENDING_TOKENS), { special: true, continued: true });
  return {
    ids,
    reply: {
      thinking: ending.trimEnd().endsWith('<think>'),
      functions: new Set(given.map((tool) => tool.function.name)),
    },
  };
}

/** Of a context, for the answer, where it may become longer. */
const ANSWER_SHARE = 1 / 4;
/** Of a context, that is left out at once. */
const DROPPED_SHARE = 1 / 2;

/**
 * The same for a conversation that may have outgrown the context: of the user's turns the oldest are left out, with what was
 * answered to them; what comes before the first and the last one itself stay. They go half a context at a time, so that the next
 * request of the conversation begins as this one does and what has been read need not be read again.
 */
export async function fittingChatPrompt(
  { name, model, batch: { context } }: Lease,
  messages: readonly ChatMessage[],
  { maxTokens = context, ...options }: ChatPromptOptions & { readonly maxTokens?: number | undefined },
): Promise<ChatPrompt & { readonly dropped: number }> {
  const turns = [...messages.keys()].filter((i) => messages[i]?.role === 'user');
  const [first = 0] = turns;
  const without = async (count: number) => {
    const from = turns[count] ?? first;
    const kept = [...messages.slice(0, first), ...messages.slice(from)];
    return { ...(await chatPrompt(name, model, kept, options)), dropped: from - first };
  };
  const all = await without(0);
  const excess = all.ids.length + Math.min(maxTokens, Math.floor(ANSWER_SHARE * context)) - context;
  if (excess <= 0 || turns.length < 2) return all;
  const step = Math.ceil(DROPPED_SHARE * context);
  const wanted = all.ids.length - Math.ceil(excess / step) * step;
  // the fewest turns without which it is as short as wanted, else all but the last
  let [few, many] = [0, turns.length - 1];
  let fitting = await without(many);
  while (many - few > 1) {
    const middle = (few + many) >> 1;
    const prompt = await without(middle);
    if (prompt.ids.length <= wanted) [many, fitting] = [middle, prompt];
    else few = middle;
  }
  return fitting;
}

/** A text or ids to go on from; nothing that the text spells becomes a control token. */
export function textPrompt(name: string, model: Model, prompt: string | readonly number[]): number[] {
  if (typeof prompt !== 'string') return [...prompt];
  const tokenizer = tokenizerOf(name, model);
  const ids = tokenizer.encode(prompt, { special: false });
  // an empty text is begun with whatever the model knows as a beginning
  const [start = 0] = tokenizer.bos === undefined ? tokenizer.eos : [tokenizer.bos];
  return ids.length > 0 ? ids : [start];
}
