/** Reads a tokenizer in Hugging Face's form, tokenizer.json. */
import { FirstlightError } from '../quant/errors.ts';
import { isJsonObject, type JsonObject } from './json.ts';
import { readPipeline } from './tokenizer-pipeline.ts';
import type { AddedToken, Segmentation, Vocab } from './types.ts';
import {
  createIds,
  fail,
  isId,
  MAX_TOKENS,
  markSpecial,
  readChatTemplates,
  readEnds,
  readMerges,
  UNKNOWN_PENALTY,
} from './vocab.ts';

/**
 * Reads a Hugging Face tokenizer: BPE (SentencePiece-style with byte fallback, or byte-level) and unigram models.
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
  const json = isJsonObject(tokenizerJson) ? tokenizerJson : fail(file, 'not a tokenizer.json');
  const config = isJsonObject(tokenizerConfig) ? tokenizerConfig : {};
  const generation = isJsonObject(generationConfig) ? generationConfig : {};
  const model = isJsonObject(json.model) ? json.model : fail(file, 'no model in it');
  const type = modelType(model, file);
  const pipeline = readPipeline(json, file);

  const added = readAdded(json.added_tokens ?? [], file);
  const scored = type === 'Unigram' ? readScored(model.vocab, file) : undefined;
  const tokens = readTokens(scored?.tokens ?? model.vocab, added, file);
  const ids = createIds(tokens, file);
  const idOf = (value: unknown) => (typeof value === 'string' ? ids.get(value) : undefined);

  const bosBefore = pipeline.before?.[0];
  if (bosBefore !== undefined && !isId(bosBefore, tokens.length))
    fail(file, 'its post_processor names a token that is not there');
  const { bos, eos } = readEnds(config, generation, ids, tokens.length, added, bosBefore);
  const addBos = typeof config.add_bos_token === 'boolean' ? config.add_bos_token : bosBefore !== undefined;
  const unknown = scored && isId(model.unk_id, tokens.length) ? model.unk_id : idOf(model.unk_token);
  return {
    kind: pipeline.kind,
    tokens,
    segmentation: scored
      ? unigram(scored.scores, tokens.length)
      : { kind: 'pairs', merges: readPairs(model.merges, ids, file), wholePieces: model.ignore_merges === true },
    added: markSpecial(added, bos, eos),
    byteFallback: model.byte_fallback === true,
    unknown,
    fuseUnknown: scored !== undefined || model.fuse_unk === true,
    normalizers: pipeline.normalizers,
    preTokenizers: pipeline.preTokenizers,
    stripSpacePrefix: pipeline.stripSpacePrefix,
    bos,
    eos,
    addBos: addBos && bos !== undefined,
    ...readChatTemplates(config.chat_template),
    modelName: undefined,
  };
}

/** What `type` says, or the fields of files from before there was one. Refuses what firstlight does not segment by. */
function modelType(model: JsonObject, file: string): 'BPE' | 'Unigram' {
  const type = model.type ?? (model.merges === undefined ? 'without merges' : 'BPE');
  if (type === 'Unigram') return type;
  const reason =
    type !== 'BPE'
      ? `the tokenizer model ${type}`
      : ['continuing_subword_prefix', 'end_of_word_suffix'].find((field) => model[field]) ||
        (typeof model.dropout === 'number' && model.dropout > 0 && 'dropout');
  if (reason) {
    throw new FirstlightError(
      'bad-tokenizer',
      `${file}: ${reason} is not supported (only BPE and Unigram are); use a GGUF file with a BPE tokenizer`,
    );
  }
  return 'BPE';
}

function readPairs(merges: unknown, ids: ReadonlyMap<string, number>, file: string): Int32Array {
  return readMerges(Array.isArray(merges) ? merges : fail(file, 'no list of merges in its model'), ids, file);
}

/** A unigram model's vocabulary, [token, score] by id. */
function readScored(vocab: unknown, file: string): { tokens: JsonObject; scores: readonly number[] } {
  if (!Array.isArray(vocab)) fail(file, 'no vocabulary in its model');
  const tokens: Record<string, number> = Object.create(null);
  const scores = vocab.map((one: unknown, id) => {
    const [text, score]: readonly unknown[] = Array.isArray(one) ? one : [];
    if (typeof text !== 'string' || typeof score !== 'number') fail(file, `token ${id} is no pair of text and score`);
    if (text in tokens) fail(file, `the token ${JSON.stringify(text)} is there twice, as ${tokens[text]} and ${id}`);
    tokens[text] = id;
    return score;
  });
  return { tokens, scores };
}

/** Hugging Face tokenizers add in doubles and take control tokens for the worst score too. */
function unigram(scores: readonly number[], tokens: number): Segmentation {
  const all = new Float64Array(tokens);
  all.set(scores);
  const least = scores.reduce((low, score) => Math.min(low, score), Number.POSITIVE_INFINITY);
  const unused = new Set(Array.from({ length: tokens - scores.length }, (_, index) => scores.length + index));
  return { kind: 'unigram', scores: all, roundsSums: false, unknownScore: least - UNKNOWN_PENALTY, unused };
}

function readAdded(list: unknown, file: string): AddedToken[] {
  if (!Array.isArray(list)) fail(file, 'added_tokens is not a list');
  return list.map((one: unknown) => {
    if (!isJsonObject(one) || typeof one.content !== 'string' || one.content === '' || !isId(one.id, MAX_TOKENS)) {
      fail(file, 'an added token without id or content');
    }
    return {
      id: one.id,
      text: one.content,
      special: one.special === true,
      lstrip: one.lstrip === true,
      rstrip: one.rstrip === true,
      singleWord: one.single_word === true,
      normalized: one.normalized === true,
    };
  });
}

/** Texts by id. Vocabularies that were cut down leave ids out, and added tokens may lie beyond the model's own. */
function readTokens(vocab: unknown, added: readonly AddedToken[], file: string): string[] {
  if (!isJsonObject(vocab)) fail(file, 'no vocabulary in its model');
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
  for (const { id, text } of added) put(id, text);
  if (own.length === 0) fail(file, 'its vocabulary is empty');
  return tokens;
}
