/** From messages or texts to the ids that a model goes on from. */
import { type ChatMessage, encodeChat } from '../../engine/chat-template.ts';
import type { Model } from '../../engine/model.ts';
import type { ReplyOptions } from '../../engine/reply.ts';
import type { Tokenizer } from '../../engine/tokenizer.ts';
import { RequestError } from './errors.ts';

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

/** A text or ids to go on from; nothing that the text spells becomes a control token. */
export function textPrompt(name: string, model: Model, prompt: string | readonly number[]): number[] {
  if (typeof prompt !== 'string') return [...prompt];
  const tokenizer = tokenizerOf(name, model);
  const ids = tokenizer.encode(prompt, { special: false });
  // an empty text is begun with whatever the model knows as a beginning
  const [start = 0] = tokenizer.bos === undefined ? tokenizer.eos : [tokenizer.bos];
  return ids.length > 0 ? ids : [start];
}
