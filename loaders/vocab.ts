/** Reads a tokenizer's vocabulary from either file format into the one form that engine/tokenizer.ts works on. */
import { FirstlightError } from '../quant/errors.ts';
import type { GgufValue } from './gguf.ts';
import { findPreTokenizer } from './pre-tokenizers.ts';
import { type Fields, isFields, readPipeline, SPACE_SIGN } from './tokenizer-pipeline.ts';
import type { AddedToken, Normalizer, Vocab } from './types.ts';

/** Ids above this are taken for damage; the largest vocabularies have a quarter of it. */
const MAX_TOKENS = 1 << 20;

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

// Token types of GGUF files, tokenizer.ggml.token_type.
const UNKNOWN = 2;
const CONTROL = 3;
const USER_DEFINED = 4;

function fail(file: string, what: string): never {
  throw new FirstlightError(
    'bad-tokenizer',
    `${file}: ${what}; download the file again or take another copy of the model`,
  );
}

function isId(value: unknown, tokens: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < tokens;
}

/** Fills ids by text, and sees to it that no two tokens share an id or a text. */
function createIds(tokens: readonly string[], file: string): Map<string, number> {
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
function readMerges(merges: readonly unknown[], ids: ReadonlyMap<string, number>, file: string): Int32Array {
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

/** Which of the added tokens are control tokens, once the file's bos and eos are known. */
function markSpecial(added: readonly AddedToken[], ...always: readonly (number | undefined)[]): AddedToken[] {
  return added.map((token) => (always.includes(token.id) ? { ...token, special: true } : token));
}

function answerEnds(named: readonly (number | undefined)[], added: readonly AddedToken[]): number[] {
  const known = added.filter((token) => ANSWER_ENDS.has(token.text)).map((token) => token.id);
  return [...new Set([...named, ...known])].filter((id) => id !== undefined);
}

/**
 * Reads a Hugging Face tokenizer: BPE models, SentencePiece-style with byte fallback or byte-level.
 * @param tokenizerJson parsed tokenizer.json
 * @param tokenizerConfig parsed tokenizer_config.json, undefined when there is none: bos, eos, add_bos_token, chat_template
 * @param generationConfig parsed generation_config.json, undefined when there is none: further ids that end an answer
 * @param file path or name of tokenizer.json, for messages
 * @throws FirstlightError 'bad-tokenizer' when the file is damaged or does something that firstlight does not have
 */
export function vocabFromTokenizerJson(
  tokenizerJson: unknown,
  tokenizerConfig: unknown,
  generationConfig: unknown,
  file: string,
): Vocab {
  const json = isFields(tokenizerJson) ? tokenizerJson : fail(file, 'not a tokenizer.json');
  const config = isFields(tokenizerConfig) ? tokenizerConfig : {};
  const generation = isFields(generationConfig) ? generationConfig : {};
  const model = isFields(json.model) ? json.model : fail(file, 'no model in it');
  refuseOtherModels(model, file);
  const pipeline = readPipeline(json, file);

  const added = readAdded(json.added_tokens ?? [], file);
  const tokens = readTokens(model.vocab, added, file);
  const ids = createIds(tokens, file);
  const merges = Array.isArray(model.merges) ? model.merges : fail(file, 'no list of merges in its model');

  const idOf = (value: unknown): number | undefined => {
    const text = isFields(value) ? value.content : value;
    return typeof text === 'string' ? ids.get(text) : undefined;
  };
  const generated = (value: unknown): number[] =>
    (Array.isArray(value) ? value : [value]).filter((id): id is number => isId(id, tokens.length));

  const bosBefore = pipeline.before?.[0];
  if (bosBefore !== undefined && !isId(bosBefore, tokens.length))
    fail(file, 'its post_processor names a token that is not there');
  const bos = idOf(config.bos_token) ?? bosBefore ?? generated(generation.bos_token_id)[0];
  const eos = answerEnds([idOf(config.eos_token), ...generated(generation.eos_token_id)], added);
  const addBos = typeof config.add_bos_token === 'boolean' ? config.add_bos_token : bosBefore !== undefined;
  return {
    kind: pipeline.kind,
    tokens,
    merges: readMerges(merges, ids, file),
    scores: undefined,
    added: markSpecial(added, bos, ...eos),
    byteFallback: model.byte_fallback === true,
    unknown: idOf(model.unk_token),
    fuseUnknown: model.fuse_unk === true,
    normalizers: pipeline.normalizers,
    splits: pipeline.splits,
    ignoreMerges: model.ignore_merges === true,
    stripSpacePrefix: pipeline.stripSpacePrefix,
    bos,
    eos,
    addBos: addBos && bos !== undefined,
    chatTemplate: readChatTemplate(config.chat_template),
  };
}

function refuseOtherModels(model: Fields, file: string): void {
  const type = model.type ?? (model.merges === undefined ? 'without merges' : 'BPE'); // old files leave the type out
  const reason =
    type !== 'BPE'
      ? `the tokenizer model ${type}`
      : ['continuing_subword_prefix', 'end_of_word_suffix'].find((field) => model[field]) ||
        (typeof model.dropout === 'number' && model.dropout > 0 && 'dropout');
  if (reason) {
    throw new FirstlightError(
      'bad-tokenizer',
      `${file}: ${reason} is not supported (only BPE is); use a GGUF file with a BPE tokenizer`,
    );
  }
}

function readAdded(list: unknown, file: string): AddedToken[] {
  if (!Array.isArray(list)) fail(file, 'added_tokens is not a list');
  return list.map((one: unknown) => {
    if (!isFields(one) || typeof one.content !== 'string' || one.content === '' || !isId(one.id, MAX_TOKENS)) {
      fail(file, 'an added token without id or content');
    }
    return {
      id: one.id,
      text: one.content,
      special: one.special === true,
      lstrip: one.lstrip === true,
      rstrip: one.rstrip === true,
      singleWord: one.single_word === true,
    };
  });
}

/** Texts by id. Added tokens may lie beyond the model's own and leave ids between; the model's own must be without holes. */
function readTokens(vocab: unknown, added: readonly AddedToken[], file: string): string[] {
  if (!isFields(vocab)) fail(file, 'no vocabulary in its model');
  const own = Object.entries(vocab);
  const tokens: string[] = [];
  const put = (id: unknown, text: string) => {
    if (!isId(id, MAX_TOKENS)) fail(file, `the token ${JSON.stringify(text)} has the id ${id}`);
    while (tokens.length <= id) tokens.push('');
    const other = tokens[id];
    if (other !== '' && other !== text)
      fail(file, `the tokens ${JSON.stringify(other)} and ${JSON.stringify(text)} have the same id ${id}`);
    tokens[id] = text;
  };
  for (const [text, id] of own) put(id, text);
  const ownEnd = tokens.length;
  for (const { id, text } of added) put(id, text);
  if (own.length === 0) fail(file, 'its vocabulary is empty');
  const hole = tokens.findIndex((text, id) => text === '' && id < ownEnd && vocab[''] !== id);
  if (hole >= 0) fail(file, `the id ${hole} has no token`);
  return tokens;
}

function readChatTemplate(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (!Array.isArray(value)) return undefined;
  // Several templates by name, e.g. one for tools.
  const named = value.filter(isFields);
  const chosen = named.find((one) => one.name === 'default') ?? named[0];
  return typeof chosen?.template === 'string' ? chosen.template : undefined;
}

/**
 * Reads the tokenizer in a GGUF file's metadata: `tokenizer.ggml.model` llama (SentencePiece with scores) or gpt2 (byte-level).
 * @param metadata the file's metadata by key
 * @param file path or name, for messages
 * @throws FirstlightError 'bad-tokenizer' when the metadata are damaged, incomplete or of another kind
 */
export function vocabFromGguf(metadata: ReadonlyMap<string, GgufValue>, file: string): Vocab {
  const get = (key: string) => metadata.get(`tokenizer.ggml.${key}`);
  const model = get('model');
  if (model !== 'llama' && model !== 'gpt2') {
    throw new FirstlightError(
      'bad-tokenizer',
      `${file}: the tokenizer ${JSON.stringify(model ?? 'none')} (tokenizer.ggml.model) is not supported, only llama and gpt2 are; use another GGUF file of the model`,
    );
  }
  const spm = model === 'llama';
  const tokens = readStrings(get('tokens'), 'tokens', file);
  if (tokens.length === 0 || tokens.length > MAX_TOKENS)
    fail(file, `tokenizer.ggml.tokens has ${tokens.length} entries`);
  const ids = createIds(tokens, file);
  const types =
    get('token_type') === undefined ? undefined : readNumbers(get('token_type'), 'token_type', tokens.length, file);
  const scores = spm ? Float32Array.from(readNumbers(get('scores'), 'scores', tokens.length, file)) : undefined;
  if (scores?.some(Number.isNaN)) fail(file, 'tokenizer.ggml.scores has values that are no numbers');

  const id = (key: string, otherwise?: number): number | undefined => {
    const value = get(`${key}_token_id`) ?? otherwise;
    return isId(value, tokens.length) ? value : undefined;
  };
  const flag = (key: string, otherwise: boolean): boolean => {
    const value = get(key);
    return typeof value === 'boolean' ? value : otherwise;
  };
  const preName = get('pre') ?? 'default';
  const pre = spm ? undefined : findPreTokenizer(typeof preName === 'string' ? preName : String(preName), file);
  const spacePrefix = spm && flag('add_space_prefix', true);
  // SentencePiece's own numbers where the file has none.
  const bos = id('bos', spm ? 1 : undefined);
  const unknown = id('unknown', spm ? 0 : undefined);
  const added = addedByType(tokens, types, metadata.get('general.name'));
  const eos = answerEnds([id('eos', spm ? 2 : undefined), id('eot'), id('eom')], added);
  const template = metadata.get('tokenizer.chat_template');
  return {
    kind: spm ? 'spm' : 'bytes',
    tokens,
    merges: spm ? undefined : readMerges(readStrings(get('merges'), 'merges', file), ids, file),
    scores,
    added: markSpecial(added, bos, ...eos),
    byteFallback: spm && ids.has('<0x00>'),
    unknown,
    fuseUnknown: spm,
    normalizers: spm ? spaceSigns(spacePrefix) : [],
    splits: pre?.splits ?? [],
    ignoreMerges: pre?.ignoreMerges ?? false,
    stripSpacePrefix: spacePrefix,
    bos,
    eos,
    addBos: flag('add_bos_token', pre?.addBos ?? true) && bos !== undefined,
    chatTemplate: typeof template === 'string' ? template : undefined,
  };
}

function spaceSigns(prefix: boolean): Normalizer[] {
  const replace: Normalizer = { kind: 'replace', pattern: ' ', text: SPACE_SIGN };
  return prefix ? [{ kind: 'prepend', text: ' ', where: 'always' }, replace] : [replace];
}

function addedByType(tokens: readonly string[], types: ArrayLike<number> | undefined, name: unknown): AddedToken[] {
  // GGUF has no place for rstrip; Phi-3's control tokens need it (as llama.cpp does, by the model's name).
  const phi3 = typeof name === 'string' && /phi-?3/i.test(name);
  const added: AddedToken[] = [];
  tokens.forEach((text, id) => {
    const type = types?.[id];
    if (text === '' || (type !== UNKNOWN && type !== CONTROL && type !== USER_DEFINED)) return;
    const rstrip = phi3 && text !== '<unk>' && text !== '<s>' && text !== '<|endoftext|>';
    added.push({ id, text, special: type !== USER_DEFINED, lstrip: false, rstrip, singleWord: false });
  });
  return added;
}

function readStrings(value: GgufValue | undefined, key: string, file: string): string[] {
  if (!Array.isArray(value) || !value.every((one) => typeof one === 'string'))
    fail(file, `tokenizer.ggml.${key} is not a list of strings`);
  return value;
}

function readNumbers(value: GgufValue | undefined, key: string, length: number, file: string): ArrayLike<number> {
  const typed =
    value instanceof Float32Array ||
    value instanceof Float64Array ||
    value instanceof Int32Array ||
    value instanceof Uint32Array;
  if (!typed) fail(file, `tokenizer.ggml.${key} is not a list of numbers`);
  if (value.length !== length) fail(file, `tokenizer.ggml.${key} has ${value.length} entries for ${length} tokens`);
  return value;
}
