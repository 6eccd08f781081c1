/** What happens to a text before BPE: added tokens are found, the text between them is normalised and cut into pieces. */
import type { AddedToken, Normalizer } from '../loaders/types.ts';

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
    for (const { step, pattern } of compiled) {
      if (step.kind === 'unicode') text = text.normalize(step.form);
      else if (step.kind === 'lowercase') text = text.toLowerCase();
      else if (step.kind === 'strip') {
        if (step.left) text = text.replace(/^\p{White_Space}+/u, '');
        if (step.right) text = trimEnd(text);
      } else if (step.kind === 'replace') text = text.replace(pattern!, () => step.text);
      else if (text === '')
        continue; // nothing is not made into something
      else if (step.where === 'always') text = step.text + text;
      else if (!text.startsWith(step.text) && (atStart || step.where === 'missing')) text = step.text + text;
    }
    return text;
  };
}

/** Without white space at its end; a regular expression for this is quadratic in runs of white space. */
function trimEnd(text: string): string {
  let end = text.length;
  while (end > 0 && /\p{White_Space}/u.test(text[end - 1]!)) end--;
  return text.slice(0, end);
}

export interface Part {
  readonly text: string;
  /** The added token that this is; undefined for ordinary text. */
  readonly token?: number;
}

/** Finds added tokens in a text: the leftmost, the longest of those. */
export function createAddedFinder(added: readonly AddedToken[]): (text: string) => Part[] {
  if (added.length === 0) return (text) => [{ text }];
  const byText = new Map(added.map((token) => [token.text, token]));
  const longestFirst = [...byText.keys()].sort((a, b) => b.length - a.length);
  const pattern = new RegExp(longestFirst.map((text) => text.replace(/[\^$\\.*+?()[\]{}|/]/g, '\\$&')).join('|'), 'gu');
  return (text) => {
    const parts: Part[] = [];
    let end = 0;
    for (const match of text.matchAll(pattern)) {
      const token = byText.get(match[0])!;
      let from = match.index;
      let to = from + match[0].length;
      if (from < end) continue; // taken in by the token before
      if (token.singleWord && /[\p{L}\p{M}\p{N}\p{Pc}]/u.test((text[from - 1] ?? '') + (text[to] ?? ''))) continue;
      if (token.lstrip) from = end + trimEnd(text.slice(end, from)).length;
      if (token.rstrip) while (to < text.length && /\p{White_Space}/u.test(text[to]!)) to++;
      if (from > end) parts.push({ text: text.slice(end, from) });
      parts.push({ text: text.slice(from, to), token: token.id });
      end = to;
    }
    if (end < text.length) parts.push({ text: text.slice(end) });
    return parts;
  };
}
