/** BPE on text: a piece becomes symbols, symbols are merged, what is left are token ids. */
import type { Vocab } from '../loaders/types.ts';
import { createMergeTable, type MergeTable, mergeSymbols } from './bpe.ts';

/** Pieces up to this length are kept with their ids: words come back, whole texts do not. */
const CACHED_LENGTH = 64;
const CACHED_PIECES = 1 << 15;

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

/** The BPE itself: a piece of text, already cut and normalised, to ids. */
export function createPieceEncoder(
  vocab: Vocab,
  alphabet: ByteAlphabet | undefined,
): (piece: string) => readonly number[] {
  const { tokens } = vocab;
  const ordinary = createOrdinaryIds(vocab);
  const byteIds = createByteIds(vocab);
  // A symbol is a token's id, or, from tokens.length on, a character that is no token.
  const strangers: string[] = [];
  const symbols = new Map(ordinary);
  const symbolOf = (character: string): number => {
    let symbol = symbols.get(character);
    if (symbol === undefined) {
      symbol = tokens.length + strangers.push(character) - 1;
      symbols.set(character, symbol);
    }
    return symbol;
  };
  const byteSymbols = alphabet?.characterOf.map(symbolOf);
  const table =
    vocab.scores === undefined
      ? rankedPairs(vocab.merges ?? new Int32Array(0), new Set(ordinary.values()))
      : scoredPairs(vocab.scores, ordinary, symbolOf);
  const cache = new Map<string, readonly number[]>();

  function encode(piece: string): readonly number[] {
    if (vocab.ignoreMerges) {
      const text =
        alphabet === undefined ? piece : Array.from(Buffer.from(piece), (byte) => alphabet.characterOf[byte]!).join('');
      const id = ordinary.get(text);
      if (id !== undefined) return [id];
    }
    const start = byteSymbols
      ? Array.from(Buffer.from(piece), (byte) => byteSymbols[byte]!)
      : Array.from(piece, symbolOf);
    const ids: number[] = [];
    let afterUnknown = false;
    for (const symbol of mergeSymbols(table, start)) {
      const stranger = strangers[symbol - tokens.length];
      if (stranger === undefined) ids.push(symbol);
      else {
        const fallback = Array.from(Buffer.from(stranger), (byte) => byteIds.get(byte));
        if (fallback.every((id) => id !== undefined)) ids.push(...fallback);
        else if (vocab.unknown !== undefined && !(afterUnknown && vocab.fuseUnknown)) ids.push(vocab.unknown);
      }
      afterUnknown = stranger !== undefined;
    }
    return ids;
  }

  return (piece) => {
    if (piece.length > CACHED_LENGTH) return encode(piece);
    let ids = cache.get(piece);
    if (ids === undefined) {
      ids = encode(piece);
      if (cache.size === CACHED_PIECES) cache.clear();
      cache.set(piece, ids);
    }
    return ids;
  };
}

/**
 * SentencePiece vocabularies are as a rule trained on words, so no token goes on beyond a word's end. Then a text may be
 * cut before each word without changing what merges, and words can be looked up instead of being merged anew.
 */
export function wordsStandApart(vocab: Vocab): boolean {
  if (vocab.kind !== 'spm' || vocab.ignoreMerges) return false;
  for (const text of createOrdinaryIds(vocab).keys()) if (/[^\u2581]\u2581/u.test(text)) return false;
  return true;
}

/** Tokens that a text can turn into by merging: neither control tokens nor the bytes' stand-ins. */
function createOrdinaryIds(vocab: Vocab): Map<string, number> {
  const special = new Set(vocab.added.filter((token) => token.special).map((token) => token.id));
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
  const kept: number[] = [];
  const ranks: number[] = [];
  for (let rank = 0; rank < merges.length / 3; rank++) {
    const triple = merges.subarray(3 * rank, 3 * rank + 3);
    if (!ordinary.has(triple[2]!)) continue;
    kept.push(...triple);
    ranks.push(rank);
  }
  return createMergeTable(Int32Array.from(kept), Int32Array.from(ranks));
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
      const right = halfOf(text.slice(at));
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
