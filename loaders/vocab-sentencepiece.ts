/**
 * Reads SentencePiece's tokenizer.model, a protocol buffer. Its fields:
 * https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto
 */
import { FirstlightError } from '../quant/errors.ts';
import { readCharsMap } from './charsmap.ts';
import { isJsonObject, type JsonObject } from './json.ts';
import { readFields, readMessage } from './protobuf.ts';
import type { AddedToken, Segmentation, SentencePieceNormalizer, Vocab } from './types.ts';
import {
  createIds,
  fail,
  isControlText,
  isId,
  MAX_TOKENS,
  markSpecial,
  readChatTemplates,
  readEnds,
  UNKNOWN_PENALTY,
} from './vocab.ts';

// ModelProto.SentencePiece.Type
const NORMAL = 1;
const UNKNOWN = 2;
const CONTROL = 3;
const USER_DEFINED = 4;
const UNUSED = 5;
const BYTE = 6;

// TrainerSpec.ModelType
const UNIGRAM = 1;
const BPE = 2;

const FLAGS = { special: false, lstrip: false, rstrip: false, singleWord: false, normalized: false };

/** The least positive float of full precision, from which SentencePiece looks for the best score upwards. */
const LEAST_BEST_SCORE = 2 ** -126;

/** Parsed files that lie beside tokenizer.model. */
export interface Beside {
  readonly tokenizerConfig: JsonObject;
  readonly generationConfig: JsonObject;
  /** added_tokens.json: ids by text. */
  readonly addedTokens: JsonObject;
}

interface Piece {
  readonly text: string;
  readonly score: number;
  readonly type: number;
}

/**
 * Reads a SentencePiece model, BPE or unigram.
 * @param file its path, for messages
 * @throws `bad-tokenizer` or `bad-file` when it is damaged or of another kind
 */
export function vocabFromSentencePiece(bytes: Uint8Array, beside: Beside, file: string): Vocab {
  // 'IQ== 0' and so on: the base64 ranks of tiktoken, as the first Llama 3 files have it
  if (/^[A-Za-z0-9+/=]+ \d+\r?\n/.test(Buffer.from(bytes.subarray(0, 64)).toString('latin1'))) {
    throw new FirstlightError(
      'bad-tokenizer',
      `${file} is a tiktoken vocabulary, which has no word cut in it: put the model's tokenizer.json beside it`,
    );
  }
  const { pieces, trainer, normalizer } = readModel(bytes, file);
  const tokens = pieces.map((piece) => piece.text);
  const typed = (type: number) => pieces.flatMap((piece, id) => (piece.type === type ? [id] : []));
  const [unknown, secondUnknown] = typed(UNKNOWN);
  if (unknown === undefined || secondUnknown !== undefined) fail(file, 'not exactly one unknown token in it');
  const byteFallback = trainer.get(35) === 1;
  if (byteFallback !== typed(BYTE).length > 0 || (byteFallback && typed(BYTE).length !== 256))
    fail(file, `${typed(BYTE).length} byte tokens with byte_fallback ${byteFallback}`);

  const userDefined = typed(USER_DEFINED);
  const controlling = [unknown, ...typed(CONTROL), ...userDefined.filter((id) => isControlText(tokens[id]!))];
  const control = controlling.map((id) => ({ ...FLAGS, id, text: tokens[id]!, special: true }));
  const { tokenizerConfig, generationConfig } = beside;
  const added = [...control, ...readAdded(beside, tokens, control, file)];
  const ids = createIds(tokens, file);
  const named = trainer.get(46); // bos_piece
  const begin = ids.get(named instanceof Uint8Array ? decode(named) : '<s>');
  const ends = readEnds(tokenizerConfig, generationConfig, ids, tokens.length, added, begin);
  const last = trainer.get(47); // eos_piece
  const end = ids.get(last instanceof Uint8Array ? decode(last) : '</s>');
  const eos = ends.eos.length > 0 || end === undefined ? ends.eos : [end];
  const marked = markSpecial(added, ends.bos, eos);
  const special = new Set(marked.filter((token) => token.special).map((token) => token.id));
  const whole = userDefined.filter((id) => !special.has(id));
  const rules = bytesOf(normalizer.get(2));
  const step: SentencePieceNormalizer = {
    kind: 'sentencepiece',
    rules: rules.length > 0 ? readCharsMap(rules, file) : undefined,
    kept: whole.map((id) => tokens[id]!),
    trim: normalizer.get(4) !== 0,
    dummySpace: normalizer.get(3) === 0 ? 'none' : trainer.get(24) === 1 ? 'end' : 'start',
    escape: normalizer.get(5) !== 0,
  };
  return {
    kind: 'spm',
    tokens,
    segmentation: readSegmentation(pieces, tokens.length, trainer.get(3) ?? UNIGRAM, whole, file),
    added: marked,
    byteFallback,
    unknown,
    fuseUnknown: true,
    normalizers: [step],
    preTokenizers: [],
    stripSpacePrefix: step.trim ? 'until-text' : step.dummySpace === 'none' ? 'none' : 'first-token',
    bos: ends.bos,
    eos,
    addBos: ends.bos !== undefined && tokenizerConfig.add_bos_token !== false,
    ...readChatTemplates(tokenizerConfig.chat_template),
    modelName: undefined,
  };
}

function readModel(bytes: Uint8Array, file: string) {
  const pieces: Piece[] = [];
  let trainer: ReadonlyMap<number, number | Uint8Array> = new Map();
  let normalizer = trainer;
  for (const { number, value } of readMessage(bytes, file)) {
    if (typeof value === 'number') continue;
    if (number === 1) pieces.push(readPiece(value, pieces.length, file));
    else if (number === 2) trainer = readFields(value, file);
    else if (number === 3) normalizer = readFields(value, file);
    if (pieces.length > MAX_TOKENS) fail(file, `more than ${MAX_TOKENS} pieces`);
  }
  if (pieces.length === 0) fail(file, 'no pieces: it is no SentencePiece model');
  return { pieces, trainer, normalizer };
}

function readPiece(bytes: Uint8Array, id: number, file: string): Piece {
  const fields = readFields(bytes, file);
  const text = fields.get(1);
  const score = fields.get(2);
  const type = fields.get(3) ?? NORMAL;
  if (!(text instanceof Uint8Array) || text.length === 0) fail(file, `piece ${id} has no text`);
  const number = score instanceof Uint8Array && score.length === 4 ? Buffer.from(score).readFloatLE() : 0;
  if (!Number.isFinite(number)) fail(file, `piece ${id} has the score ${number}`);
  if (typeof type !== 'number') fail(file, `piece ${id} has no type`);
  if (type < NORMAL || type > BYTE) fail(file, `piece ${id} has the type ${type}`);
  return { text: decode(text), score: number, type };
}

/** @param whole user defined symbols */
function readSegmentation(
  pieces: readonly Piece[],
  tokens: number,
  modelType: number | Uint8Array,
  whole: readonly number[],
  file: string,
): Segmentation {
  const typed = (type: number) => pieces.flatMap((piece, id) => (piece.type === type ? [id] : []));
  if (modelType === BPE) {
    const scores = new Float32Array(tokens);
    scores.set(pieces.map((piece) => piece.score));
    return { kind: 'scores', scores, whole: new Set(whole), unused: new Set(typed(UNUSED)) };
  }
  if (modelType !== UNIGRAM) {
    throw new FirstlightError(
      'bad-tokenizer',
      `${file}: SentencePiece's model type ${typeof modelType === 'number' ? modelType : 'unknown'} is not supported (only unigram and BPE are); use a GGUF file of this model`,
    );
  }
  const scores = new Float64Array(tokens);
  scores.set(pieces.map((piece) => piece.score));
  const normal = typed(NORMAL).map((id) => scores[id]!);
  const least = normal.reduce((low, score) => Math.min(low, score), Number.POSITIVE_INFINITY);
  const best = normal.reduce((high, score) => Math.max(high, score), LEAST_BEST_SCORE);
  // made to win over anything else, as in unigram_model.cc
  for (const id of whole) scores[id] = Buffer.byteLength(pieces[id]!.text) * best - 0.1;
  const beyond = Array.from({ length: tokens - pieces.length }, (_, index) => pieces.length + index);
  const unused = new Set([...typed(UNUSED), ...beyond]);
  const unknownScore = Math.fround(least - UNKNOWN_PENALTY);
  return { kind: 'unigram', scores, roundsSums: true, unknownScore, unused };
}

/** Tokens of the files beside the model, within or behind its own; those behind are put into `tokens`. */
function readAdded(
  { tokenizerConfig, addedTokens }: Beside,
  tokens: string[],
  control: readonly AddedToken[],
  file: string,
): AddedToken[] {
  const added = new Map<number, AddedToken>();
  const put = (id: unknown, text: unknown, flags: JsonObject): void => {
    if (!isId(id, MAX_TOKENS) || typeof text !== 'string' || text === '')
      fail(file, `the files beside it add a token ${JSON.stringify(text)} with the id ${id}`);
    while (tokens.length <= id) tokens.push('');
    if (tokens[id] !== '' && tokens[id] !== text)
      fail(file, `the files beside it add ${JSON.stringify(text)} as ${id}, which is ${JSON.stringify(tokens[id])}`);
    tokens[id] = text;
    if (control.some((token) => token.id === id)) return;
    added.set(id, {
      id,
      text,
      special: flags.special === true,
      lstrip: flags.lstrip === true,
      rstrip: flags.rstrip === true,
      singleWord: flags.single_word === true,
      normalized: flags.normalized === true,
    });
  };
  for (const [text, id] of Object.entries(addedTokens)) put(id, text, {});
  const described = tokenizerConfig.added_tokens_decoder;
  for (const [id, token] of Object.entries(isJsonObject(described) ? described : {}))
    if (isJsonObject(token)) put(Number(id), token.content, token);
  return [...added.values()];
}

function bytesOf(value: number | Uint8Array | undefined): Uint8Array {
  return value instanceof Uint8Array ? value : new Uint8Array();
}

function decode(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString();
}
