/** Text to token ids and back. */
import type { Vocab } from '../loaders/types.ts';
import { FirstlightError } from '../quant/errors.ts';
import { createAddedFinder } from './added-tokens.ts';
import { createNormalizer } from './normalize.ts';
import { createByteAlphabet, createPieceEncoder, isByteToken } from './piece-encoder.ts';
import { createPreTokenizer } from './pre-tokenize.ts';

/** Texts to ids and back. */
export interface Tokenizer {
  readonly vocabSize: number;
  readonly bos: number | undefined;
  /** Ids that end an answer. */
  readonly eos: readonly number[];
  /** The model was trained with `bos` before the text. */
  readonly addBos: boolean;
  /** Texts of the control tokens. */
  readonly specialTexts: readonly string[];
  encode(text: string, options?: EncodeOptions): number[];
  /** The ids' text; bytes that are no UTF-8 become U+FFFD, ids outside the vocabulary are left out. */
  decode(ids: readonly number[], options?: DecodeOptions): string;
  /** Decodes ids one by one; what `push` and `end` return, joined, is what `decode` would give for all. */
  decoder(options?: DecodeOptions): Decoder;
  /** The bytes that a token stands for; those of its name for a control token; none for an id outside the vocabulary. */
  bytes(id: number): Uint8Array;
  isSpecial(id: number): boolean;
}

/**
 * The tokenizer of a model that may have come without one.
 * @throws FirstlightError 'bad-tokenizer'
 */
export function requireTokenizer(tokenizer: Tokenizer | undefined, path: string): Tokenizer {
  if (tokenizer) return tokenizer;
  const advice = path.endsWith('.gguf')
    ? 'get a GGUF file with one'
    : "put the model's tokenizer.json or tokenizer.model beside it";
  throw new FirstlightError('bad-tokenizer', `${path} has no tokenizer: ${advice}`);
}

export interface EncodeOptions {
  /** Control tokens written out in the text become those tokens. Defaults to true; false for text of a user. */
  readonly special?: boolean;
  /** Puts the BOS token first. Defaults to what the model was trained with, unless the text brings its own. */
  readonly bos?: boolean;
  /**
   * Offsets in the text, ascending, at which no control token begins and across which none reaches; with these a text
   * can have trustworthy parts and others (engine/chat-template.ts). Defaults to none.
   */
  readonly barriers?: readonly number[];
}

export interface DecodeOptions {
  /** Shows control tokens by name. Defaults to false. */
  readonly special?: boolean;
  /** The ids go on after others, so a space at their start belongs to the text. Defaults to false. */
  readonly continued?: boolean;
}

export interface Decoder {
  /** The text that this id completes, '' while a character is still incomplete. */
  push(id: number): string;
  /** What is left of an incomplete character, as U+FFFD. */
  end(): string;
}

const EMPTY = new Uint8Array(0);

/** @param vocab as the readers of loaders/vocab.ts give it: ids and lengths are trusted here */
export function createTokenizer(vocab: Vocab): Tokenizer {
  const special = new Set(vocab.added.filter((token) => token.special).map((token) => token.id));
  const alphabet = vocab.kind === 'bytes' ? createByteAlphabet() : undefined;
  const encodePiece = createPieceEncoder(vocab, alphabet);
  const normalize = createNormalizer(vocab.normalizers);
  const preTokenize = createPreTokenizer(vocab.preTokenizers);
  const raw = vocab.added.filter((token) => !token.normalized);
  const findAll = createAddedFinder(raw);
  const findHarmless = createAddedFinder(raw.filter((token) => !token.special));
  const normalized = vocab.added
    .filter((token) => token.normalized)
    .map((token) => ({ ...token, text: normalize(token.text) }));
  const findNormalized = createAddedFinder(normalized.filter((token) => token.text !== ''));
  const bytesById: (Uint8Array | undefined)[] = new Array(vocab.tokens.length);

  function encodeStretch(stretch: string, isFirst: boolean, ids: number[]): void {
    let atStart = isFirst;
    for (const part of findNormalized(normalize(stretch), [])) {
      if (part.token !== undefined) ids.push(part.token);
      else for (const piece of preTokenize(part.text, atStart)) for (const id of encodePiece(piece)) ids.push(id);
      atStart = false;
    }
  }

  function encode(text: string, options: EncodeOptions = {}): number[] {
    const find = options.special === false ? findHarmless : findAll;
    const ids: number[] = [];
    let end = 0; // of what was read so far, in text
    for (const part of find(text.toWellFormed(), options.barriers ?? [])) {
      if (part.token !== undefined) ids.push(part.token);
      else encodeStretch(part.text, end === 0, ids);
      end += part.text.length;
    }
    const { bos } = vocab;
    if (bos !== undefined && (options.bos ?? (vocab.addBos && ids[0] !== bos))) ids.unshift(bos);
    return ids;
  }

  function bytes(id: number): Uint8Array {
    const token = vocab.tokens[id];
    if (token === undefined) return EMPTY;
    bytesById[id] ??= bytesOfToken(token, id);
    return bytesById[id]!;
  }

  const addedIds = new Set(vocab.added.map((token) => token.id));
  function bytesOfToken(token: string, id: number): Uint8Array {
    if (alphabet !== undefined) {
      const codes = new Uint8Array(token.length);
      for (let i = 0; i < token.length; i++) {
        const code = addedIds.has(id) ? undefined : alphabet.byteOf.get(token[i] as string);
        if (code === undefined) return Buffer.from(token);
        codes[i] = code;
      }
      return codes;
    }
    if (vocab.byteFallback && isByteToken(token)) return Uint8Array.of(Number.parseInt(token.slice(3, 5), 16));
    return Buffer.from(token.replaceAll('\u2581', ' '));
  }

  function decoder(options: DecodeOptions = {}): Decoder {
    const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
    let strip = vocab.stripSpacePrefix !== 'none' && options.continued !== true;
    return {
      push(id) {
        let shown = special.has(id) && options.special !== true ? EMPTY : bytes(id);
        if (shown.length === 0) return '';
        if (strip && shown[0] === 0x20) shown = shown.subarray(1);
        strip &&= vocab.stripSpacePrefix === 'until-text' && shown.length === 0;
        return utf8.decode(shown, { stream: true });
      },
      end: () => utf8.decode(),
    };
  }

  function decode(ids: readonly number[], options: DecodeOptions = {}): string {
    const stream = decoder(options);
    return ids.map((id) => stream.push(id)).join('') + stream.end();
  }

  return {
    vocabSize: vocab.tokens.length,
    bos: vocab.bos,
    eos: vocab.eos,
    addBos: vocab.addBos,
    specialTexts: vocab.added.filter((token) => token.special).map((token) => token.text),
    encode,
    decode,
    decoder,
    bytes,
    isSpecial: (id) => special.has(id),
  };
}
