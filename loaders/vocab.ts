/** What the readers of vocabularies have in common: their checks, and which tokens control a model. */
import { FirstlightError } from '../quant/errors.ts';
import { isJsonObject, type JsonObject } from './json.ts';
import type { AddedToken, Vocab } from './types.ts';

/** Ids above this are taken for damage; the largest vocabularies have a quarter of it. */
export const MAX_TOKENS = 1 << 20;

/** In unigram models a character that is no token scores this much less than the worst token. */
export const UNKNOWN_PENALTY = 10;

/** Tokens that end an answer in the models that have them, whatever their files say. */
const ANSWER_ENDS: ReadonlySet<string> = new Set([
  '<|eot_id|>',
  '<|eom_id|>',
  '<|im_end|>',
  '<|end|>',
  '<|endoftext|>',
  '<|end_of_text|>',
  '<end_of_turn>',
  '<\uff5cend\u2581of\u2581sentence\uff5c>',
]);

/** Tokens that begin a turn; some files of chat models do not call them special, but a user's text must not make them. */
const TURN_STARTS: ReadonlySet<string> = new Set([
  '<|im_start|>',
  '<|start_header_id|>',
  '<|end_header_id|>',
  '<start_of_turn>',
]);

/** Refuses a vocabulary that is damaged. */
export function fail(file: string, what: string): never {
  throw new FirstlightError(
    'bad-tokenizer',
    `${file}: ${what}; download the file again or take another copy of the model`,
  );
}

export function isId(value: unknown, tokens: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < tokens;
}

/** Fills ids by text, and sees to it that no two tokens share an id or a text. */
export function createIds(tokens: readonly string[], file: string): Map<string, number> {
  const ids = new Map<string, number>();
  tokens.forEach((text, id) => {
    if (text === '') return;
    const other = ids.get(text);
    if (other !== undefined) fail(file, `the token ${JSON.stringify(text)} is there twice, as ${other} and ${id}`);
    ids.set(text, id);
  });
  return ids;
}

/** Merges as ids: [rank][left, right, joined]. A pair comes as [left, right] or as 'left right'. */
export function readMerges(merges: readonly unknown[], ids: ReadonlyMap<string, number>, file: string): Int32Array {
  const triples = new Int32Array(merges.length * 3);
  merges.forEach((merge, rank) => {
    // A space within a token is written as another character in both alphabets, so the first one parts the two.
    const space = typeof merge === 'string' ? merge.indexOf(' ', 1) : -1;
    const pair: readonly unknown[] =
      typeof merge === 'string' ? [merge.slice(0, space), merge.slice(space + 1)] : Array.isArray(merge) ? merge : [];
    const [left, right] = pair;
    if (
      typeof left !== 'string' ||
      typeof right !== 'string' ||
      pair.length !== 2 ||
      (typeof merge === 'string' && space < 0)
    ) {
      fail(file, `merge ${rank} is not a pair of tokens`);
    }
    [left, right, left + right].forEach((text, part) => {
      const id = ids.get(text);
      if (id === undefined) fail(file, `merge ${rank} names ${JSON.stringify(text)}, which is no token`);
      triples[rank * 3 + part] = id;
    });
  });
  return triples;
}

/** A text that no user's text may become as a token. */
export function isControlText(text: string): boolean {
  return TURN_STARTS.has(text) || ANSWER_ENDS.has(text);
}

/** Control tokens by their use, where the file's flag does not say it. */
export function markSpecial(
  added: readonly AddedToken[],
  bos: number | undefined,
  eos: readonly number[],
): AddedToken[] {
  return added.map((token) => {
    const special = token.special || token.id === bos || eos.includes(token.id) || TURN_STARTS.has(token.text);
    return { ...token, special, normalized: token.normalized && !special };
  });
}

/** Ids that end an answer: those that the files name, and the tokens that do so wherever they are. */
export function answerEnds(named: readonly (number | undefined)[], added: readonly AddedToken[]): number[] {
  const known = added.filter((token) => ANSWER_ENDS.has(token.text)).map((token) => token.id);
  return [...new Set([...named, ...known])].filter((id) => id !== undefined);
}

/**
 * The token that begins a text and those that end an answer, by the files beside a vocabulary.
 * @param config tokenizer_config.json
 * @param generation generation_config.json
 * @param otherwise the BOS token where these do not name one
 */
export function readEnds(
  config: JsonObject,
  generation: JsonObject,
  ids: ReadonlyMap<string, number>,
  tokens: number,
  added: readonly AddedToken[],
  otherwise: number | undefined,
): { bos: number | undefined; eos: number[] } {
  const idOf = (value: unknown): number | undefined => {
    const text = isJsonObject(value) ? value.content : value;
    return typeof text === 'string' ? ids.get(text) : undefined;
  };
  const generated = (value: unknown): number[] =>
    (Array.isArray(value) ? value : [value]).filter((id): id is number => isId(id, tokens));
  return {
    bos: idOf(config.bos_token) ?? otherwise ?? generated(generation.bos_token_id)[0],
    eos: answerEnds([idOf(config.eos_token), ...generated(generation.eos_token_id)], added),
  };
}

/** tokenizer_config.json has one template or several by name, e.g. one for tools. */
export function readChatTemplates(value: unknown): Pick<Vocab, 'chatTemplate' | 'toolTemplate'> {
  if (typeof value === 'string') return { chatTemplate: value, toolTemplate: undefined };
  if (!Array.isArray(value)) return { chatTemplate: undefined, toolTemplate: undefined };
  const named = value.filter(isJsonObject);
  const textOf = (one: JsonObject | undefined) => (typeof one?.template === 'string' ? one.template : undefined);
  return {
    chatTemplate: textOf(named.find((one) => one.name === 'default') ?? named[0]),
    toolTemplate: textOf(named.find((one) => one.name === 'tool_use')),
  };
}
