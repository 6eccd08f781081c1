/** Text to ids by a vocabulary alone: a piece becomes symbols, symbols are merged, what is left are token ids. */
import type { AddedToken, Vocab } from '../loaders/types.ts';
import { createAddedFinder } from './added-tokens.ts';
import { createMergeTable, type MergeTable, mergeSymbols } from './bpe.ts';
import { cut } from './pre-tokenize.ts';
import { createUnigram } from './unigram.ts';

/** Pieces up to this length are kept with their ids: words come back, whole texts do not. */
const CACHED_LENGTH = 64;
const CACHED_PIECES = 1 << 15;

const WORD = '\\u2581*[^\\u2581]+|\\u2581+';

export interface ByteAlphabet {
  readonly characterOf: readonly string[]; // [byte]
  readonly byteOf: ReadonlyMap<string, number>;
}

/** GPT-2's way to write bytes as visible characters: itself where the byte is a visible Latin-1 character, else from U+0100 on. */
export function createByteAlphabet(): ByteAlphabet {
  let hidden = 0;
  const characterOf = Array.from({ length: 256 }, (_, byte) => {
    const visible = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
    return String.fromCharCode(visible ? byte : 0x100 + hidden++);
  });
  return { characterOf, byteOf: new Map(characterOf.map((character, byte) => [character, byte])) };
}

export function isByteToken(token: string): boolean {
  return /^<0x[0-9A-F]{2}>$/.test(token);
}

/** A piece of text, already normalised and cut, to ids. */
export function createPieceEncoder(
  vocab: Vocab,
  alphabet: ByteAlphabet | undefined,
): (piece: string) => readonly number[] {
  const { tokens, segmentation } = vocab;
  const ordinary = createOrdinaryIds(vocab);
  const byteIds = createByteIds(vocab);
  const wholePieces = segmentation.kind === 'pairs' && segmentation.wholePieces;
  const segment = createSegmenter(vocab, ordinary, alphabet);
  const findWhole = createAddedFinder(wholeTokens(vocab));
  const words = wordsStandApart(vocab, ordinary) ? new RegExp(WORD, 'gu') : undefined;
  const cache = new Map<string, readonly number[]>();

  function encode(piece: string): readonly number[] {
    const whole = wholePieces ? ordinary.get(spell(piece, alphabet)) : undefined;
    if (whole !== undefined) return [whole];
    const ids: number[] = [];
    let afterUnknown = false;
    for (const symbol of segment(piece)) {
      const isToken = symbol < tokens.length;
      if (isToken) ids.push(symbol);
      else {
        const character = String.fromCodePoint(symbol - tokens.length);
        const fallback = Array.from(Buffer.from(character), (byte) => byteIds.get(byte));
        if (fallback.every((id) => id !== undefined)) ids.push(...fallback);
        else if (vocab.unknown !== undefined && !(afterUnknown && vocab.fuseUnknown)) ids.push(vocab.unknown);
      }
      afterUnknown = !isToken;
    }
    return ids;
  }

  function encodeCached(piece: string): readonly number[] {
    if (piece.length > CACHED_LENGTH) return encode(piece);
    let ids = cache.get(piece);
    if (ids === undefined) {
      ids = encode(piece);
      if (cache.size === CACHED_PIECES) cache.clear();
      cache.set(Buffer.from(piece).toString(), ids); // a copy: a slice would keep its whole text in memory
    }
    return ids;
  }

  return (piece) => {
    const ids: number[] = [];
    for (const part of findWhole(piece, [])) {
      if (part.token !== undefined) ids.push(part.token);
      else
        for (const word of words ? cut(part.text, words) : [part.text])
          for (const id of encodeCached(word)) ids.push(id);
    }
    return ids;
  };
}

/** A text in the vocabulary's alphabet. */
function spell(text: string, alphabet: ByteAlphabet | undefined): string {
  if (alphabet === undefined) return text;
  return Array.from(Buffer.from(text), (byte) => alphabet.characterOf[byte]!).join('');
}

/**
 * Cuts a text into symbols: ids of tokens, or, from tokens.length on, the code points of characters (of the vocabulary's
 * alphabet) that are no tokens.
 */
function createSegmenter(
  { tokens, segmentation }: Vocab,
  ordinary: ReadonlyMap<string, number>,
  alphabet: ByteAlphabet | undefined,
): (text: string) => readonly number[] {
  if (segmentation.kind === 'unigram') {
    const segment = createUnigram(segmentation, ordinary);
    return (text) => segment(spell(text, alphabet));
  }
  const symbolOf = (character: string) => ordinary.get(character) ?? tokens.length + character.codePointAt(0)!;
  const byteSymbols = alphabet?.characterOf.map(symbolOf);
  const symbolsOf = (text: string) =>
    byteSymbols ? Array.from(Buffer.from(text), (byte) => byteSymbols[byte]!) : Array.from(text, symbolOf);
  if (segmentation.kind === 'pairs') {
    const table = rankedPairs(segmentation.merges, new Set(ordinary.values()));
    return (text) => mergeSymbols(table, symbolsOf(text));
  }
  const { scores, unused } = segmentation;
  const table = scoredPairs(scores, ordinary, symbolOf);
  if (unused.size === 0) return (text) => mergeSymbols(table, symbolsOf(text));
  return (text) => {
    const halves = new Map<number, readonly [number, number]>();
    const fallApart = (symbol: number): readonly number[] => {
      const pair = halves.get(symbol);
      return pair ? pair.flatMap(fallApart) : [symbol];
    };
    const joined = mergeSymbols(table, symbolsOf(text), (left, right, whole) => {
      if (unused.has(whole)) halves.set(whole, [left, right]);
    });
    return joined.flatMap(fallApart);
  };
}

/** Tokens that are found before anything joins. */
function wholeTokens({ segmentation, tokens }: Vocab): AddedToken[] {
  const ids = segmentation.kind === 'scores' ? [...segmentation.whole] : [];
  const flags = { special: false, lstrip: false, rstrip: false, singleWord: false, normalized: false };
  return ids.map((id) => ({ id, text: tokens[id]!, ...flags }));
}

/**
 * SentencePiece vocabularies are as a rule trained on words, so no token goes on beyond a word's end. Then a text may be
 * cut before each word without changing what merges, and words can be looked up instead of being merged anew.
 */
function wordsStandApart({ kind, segmentation }: Vocab, ordinary: ReadonlyMap<string, number>): boolean {
  if (kind !== 'spm' || segmentation.kind === 'unigram') return false;
  if (segmentation.kind === 'pairs' ? segmentation.wholePieces : segmentation.unused.size > 0) return false;
  for (const text of ordinary.keys()) if (/[^\u2581]\u2581/u.test(text)) return false;
  return true;
}

/** Tokens that a text can turn into by segmentation: neither control tokens nor the bytes' stand-ins. */
function createOrdinaryIds(vocab: Vocab): Map<string, number> {
  const special = new Set(vocab.added.filter((token) => token.special).map((token) => token.id));
  if (vocab.segmentation.kind === 'scores') for (const id of vocab.segmentation.whole) special.add(id);
  const ids = new Map<string, number>();
  vocab.tokens.forEach((text, id) => {
    if (text !== '' && !special.has(id) && !(vocab.byteFallback && isByteToken(text))) ids.set(text, id);
  });
  return ids;
}

/** The tokens <0x00> .. <0xFF> by byte. */
function createByteIds(vocab: Vocab): Map<number, number> {
  const ids = new Map<number, number>();
  vocab.tokens.forEach((text, id) => {
    if (vocab.byteFallback && isByteToken(text)) ids.set(Number.parseInt(text.slice(3, 5), 16), id);
  });
  return ids;
}

/** The pairs of a file that lists them. A pair that makes a control token is left out: no text may turn into one. */
function rankedPairs(merges: Int32Array, ordinary: ReadonlySet<number>): MergeTable {
  const ranks = new Int32Array(merges.length / 3);
  for (let rank = 0; rank < ranks.length; rank++) ranks[rank] = ordinary.has(merges[3 * rank + 2]!) ? rank : -1;
  return createMergeTable(merges, ranks);
}

/**
 * SentencePiece's rule, "join the neighbours that make the token of highest score", as a list of pairs: every token in
 * every way that it parts into two symbols. Tokens of equal score share a rank.
 */
function scoredPairs(
  scores: Float32Array,
  ordinary: ReadonlyMap<string, number>,
  symbolOf: (character: string) => number,
): MergeTable {
  const rankOf = new Map([...new Set(scores)].sort((a, b) => b - a).map((score, rank) => [score, rank]));
  const pairs: number[] = [];
  const ranks: number[] = [];
  const halfOf = (text: string): number | undefined =>
    ordinary.get(text) ?? (isCharacter(text) ? symbolOf(text) : undefined);
  for (const [text, id] of ordinary) {
    for (let at = 1; at < text.length; at++) {
      if ((text.charCodeAt(at) & 0xfc00) === 0xdc00) continue; // within a character
      const left = halfOf(text.slice(0, at));
      const right = left === undefined ? undefined : halfOf(text.slice(at));
      if (left === undefined || right === undefined) continue;
      pairs.push(left, right, id);
      ranks.push(rankOf.get(scores[id]!)!);
    }
  }
  return createMergeTable(Int32Array.from(pairs), Int32Array.from(ranks));
}

function isCharacter(text: string): boolean {
  return String.fromCodePoint(text.codePointAt(0)!) === text;
}
