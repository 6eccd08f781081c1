/** What happens to a text before BPE: added tokens are found, the text between them is normalised and cut into pieces. */
import type { AddedToken, Normalizer } from '../loaders/types.ts';

const WHITE_SPACE = /\p{White_Space}/u;
const WORD_CHARACTER = /[\p{L}\p{M}\p{N}\p{Pc}]/u;

/** Cuts by a regular expression; what lies between its matches is kept too. */
export function cut(text: string, split: RegExp): string[] {
  const pieces: string[] = [];
  let end = 0;
  for (const match of text.matchAll(split)) {
    if (match[0] === '') continue;
    if (match.index > end) pieces.push(text.slice(end, match.index));
    pieces.push(match[0]);
    end = match.index + match[0].length;
  }
  if (end < text.length) pieces.push(text.slice(end));
  return pieces;
}

export function createNormalizer(steps: readonly Normalizer[]): (text: string, atStart: boolean) => string {
  const compiled = steps.map((step) => ({
    step,
    pattern: step.kind === 'replace' ? new RegExp(step.pattern, 'gu') : undefined,
  }));
  return (text, atStart) => {
    if (text === '') return ''; // nothing is not made into something
    for (const { step, pattern } of compiled) {
      if (step.kind === 'unicode') text = text.normalize(step.form);
      else if (step.kind === 'lowercase') text = text.toLowerCase();
      else if (step.kind === 'strip') {
        if (step.left) text = text.replace(/^\p{White_Space}+/u, '');
        if (step.right) text = trimEnd(text);
      } else if (step.kind === 'replace') text = text.replace(pattern!, () => step.text);
      else if (step.where === 'always') text = step.text + text;
      else if (!text.startsWith(step.text) && (atStart || step.where === 'missing')) text = step.text + text;
    }
    return text;
  };
}

/** Without white space at its end; a regular expression for this is quadratic in runs of white space. */
function trimEnd(text: string): string {
  let end = text.length;
  while (end > 0 && WHITE_SPACE.test(text[end - 1]!)) end--;
  return text.slice(0, end);
}

/** The source of a regular expression that matches the text itself. */
export function escapePattern(text: string): string {
  return text.replace(/[\^$\\.*+?()[\]{}|/]/g, '\\$&');
}

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
  if (added.length === 0) return (text) => [{ text }];
  const longestFirst = [...added].sort((a, b) => b.text.length - a.text.length);
  const byText = new Map(added.map((token) => [token.text, token]));
  const pattern = new RegExp(longestFirst.map((token) => escapePattern(token.text)).join('|'), 'g');

  return (text, barriers) => {
    const parts: Part[] = [];
    let end = 0;
    let passed = 0; // barriers before the match
    const isFree = (token: AddedToken, from: number): boolean =>
      !token.special || passed === barriers.length || barriers[passed]! >= from + token.text.length;
    pattern.lastIndex = 0;
    for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
      let from = match.index;
      while (passed < barriers.length && barriers[passed]! < from) passed++;
      let token = byText.get(match[0])!;
      if (!isFree(token, from)) {
        const shorter = longestFirst.find((other) => text.startsWith(other.text, from) && isFree(other, from));
        if (shorter === undefined) {
          pattern.lastIndex = from + 1;
          continue;
        }
        token = shorter;
      }
      let to = from + token.text.length;
      pattern.lastIndex = to;
      if (token.singleWord && WORD_CHARACTER.test((text[from - 1] ?? '') + (text[to] ?? ''))) continue;
      if (token.lstrip) from = end + trimEnd(text.slice(end, from)).length;
      if (token.rstrip) while (to < text.length && WHITE_SPACE.test(text[to]!)) to++;
      pattern.lastIndex = to;
      if (from > end) parts.push({ text: text.slice(end, from) });
      parts.push({ text: text.slice(from, to), token: token.id });
      end = to;
    }
    if (end < text.length) parts.push({ text: text.slice(end) });
    return parts;
  };
}
