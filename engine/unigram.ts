/**
 * Segmentation by a unigram language model (https://arxiv.org/abs/1804.10959): of all ways to write a text as tokens
 * the one whose scores have the largest sum, found by Viterbi's algorithm. Sums are rounded where SentencePiece and
 * Hugging Face tokenizers round them, and of equal sums the one found first holds, so that ids are the same.
 */
import type { Segmentation } from '../loaders/types.ts';
import { createTrie } from './trie.ts';

type Unigram = Extract<Segmentation, { readonly kind: 'unigram' }>;

/**
 * @param ordinary ids of the tokens that a text can become
 * @returns a text's symbols: ids, or, from scores.length on, the code points of characters that are no tokens
 */
export function createUnigram(
  { scores, roundsSums, unknownScore, unused }: Unigram,
  ordinary: ReadonlyMap<string, number>,
): (text: string) => number[] {
  const trie = createTrie([...ordinary].filter(([, id]) => !unused.has(id)));

  return (text) => {
    const best = roundsSums ? new Float32Array(text.length + 1) : new Float64Array(text.length + 1); // of the ways that end at each place
    const starts = new Int32Array(text.length + 1).fill(-1); // of their last token; -1 while there is none
    const last = new Int32Array(text.length + 1);
    const offer = (start: number, end: number, token: number, score: number): void => {
      const sum = score + best[start]!;
      if (starts[end] !== -1 && !(sum > best[end]!)) return;
      best[end] = sum;
      starts[end] = start;
      last[end] = token;
    };
    for (let start = 0; start < text.length; ) {
      const character = text.codePointAt(start)!;
      const width = character > 0xffff ? 2 : 1;
      let isToken = false; // the character by itself
      let node = 0;
      for (let at = start; at < text.length; ) {
        node = trie.next(node, text.charCodeAt(at++));
        if (node < 0) break;
        const id = trie.valueOf(node);
        if (id < 0) continue;
        offer(start, at, id, scores[id]!);
        isToken ||= at - start === width;
      }
      if (!isToken) offer(start, start + width, scores.length + character, unknownScore);
      start += width;
    }
    const tokens: number[] = [];
    for (let end = text.length; end > 0; end = starts[end]!) tokens.push(last[end]!);
    return tokens.reverse();
  };
}
