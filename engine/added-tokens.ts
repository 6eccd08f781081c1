/** Finds added tokens, which stand outside of what a vocabulary's segmentation makes, in a text. */
import type { AddedToken } from '../loaders/types.ts';
import { trimEnd } from './normalize.ts';
import { createTrie } from './trie.ts';

const WHITE_SPACE = /\p{White_Space}/u;
const WORD_CHARACTER = '[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}]';
const ENDS_WITH_WORD = new RegExp(`${WORD_CHARACTER}$`, 'u');
const STARTS_WITH_WORD = new RegExp(`^${WORD_CHARACTER}`, 'u');

export interface Part {
  readonly text: string;
  /** The added token that this is; undefined for ordinary text. */
  readonly token?: number;
}

/**
 * Finds added tokens in a text: the leftmost, the longest of those. A control token that begins at a barrier or reaches
 * across one (an offset in the text, ascending) is not taken for one.
 */
export function createAddedFinder(added: readonly AddedToken[]): (text: string, barriers: readonly number[]) => Part[] {
  if (added.length === 0) return (text) => (text === '' ? [] : [{ text }]);
  const trie = createTrie(added.map((token, index) => [token.text, index]));

  return (text, barriers) => {
    const parts: Part[] = [];
    let end = 0; // of the parts so far
    let passed = 0; // barriers before `at`
    for (let at = 0; at < text.length; ) {
      while (passed < barriers.length && barriers[passed]! < at) passed++;
      const barrier = barriers[passed] ?? Number.POSITIVE_INFINITY;
      let found: AddedToken | undefined;
      let node = trie.next(0, text.charCodeAt(at));
      for (let to = at + 1; node >= 0; node = trie.next(node, text.charCodeAt(to++))) {
        const token = added[trie.valueOf(node)];
        if (token && (!token.special || barrier >= to)) found = token;
        if (to >= text.length) break;
      }
      if (found === undefined) {
        at++;
        continue;
      }
      let from = at;
      at += found.text.length;
      if (found.singleWord && isWithinWord(text, from, at)) continue;
      if (found.lstrip) from = end + trimEnd(text.slice(end, from)).length;
      if (found.rstrip) while (at < text.length && WHITE_SPACE.test(text[at]!)) at++;
      if (from > end) parts.push({ text: text.slice(end, from) });
      parts.push({ text: text.slice(from, at), token: found.id });
      end = at;
    }
    if (end < text.length) parts.push({ text: text.slice(end) });
    return parts;
  };
}

/** A character of a word touches the place. */
function isWithinWord(text: string, from: number, to: number): boolean {
  // a character takes two units at most
  return ENDS_WITH_WORD.test(text.slice(Math.max(0, from - 2), from)) || STARTS_WITH_WORD.test(text.slice(to, to + 2));
}
