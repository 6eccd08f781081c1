/** Cuts a normalised text into the pieces that are segmented by themselves. */
import type { PreTokenizer } from '../loaders/types.ts';

type Split = Extract<PreTokenizer, { readonly kind: 'split' }>;

/** @returns a function from a text to its pieces; `atStart` says that the text begins the whole text */
export function createPreTokenizer(steps: readonly PreTokenizer[]): (text: string, atStart: boolean) => string[] {
  const compiled = steps.map(compile);
  return (text, atStart) => compiled.reduce((pieces, step) => step(pieces, atStart), text === '' ? [] : [text]);
}

function compile(step: PreTokenizer): (pieces: string[], atStart: boolean) => string[] {
  if (step.kind === 'prefix') {
    const prefixed = (piece: string) => (piece.startsWith(step.text) ? piece : step.text + piece);
    return (pieces, atStart) =>
      pieces.map((piece, i) => (step.where === 'all' || (atStart && i === 0) ? prefixed(piece) : piece));
  }
  const pattern = new RegExp(step.pattern, 'gu');
  if (step.kind === 'replace') return (pieces) => pieces.map((piece) => piece.replace(pattern, () => step.text));
  if (step.matches === 'isolated') return (pieces) => pieces.flatMap((piece) => cut(piece, pattern));
  return (pieces) => pieces.flatMap((piece) => split(piece, pattern, step));
}

/** Cuts by a regular expression; what lies between its matches is kept too. */
export function cut(text: string, pattern: RegExp): string[] {
  const pieces: string[] = [];
  let end = 0;
  pattern.lastIndex = 0; // matchAll would copy the pattern, which takes longer than to match a word
  for (let match = pattern.exec(text); match; match = pattern.exec(text)) {
    const [found] = match;
    if (found === '') {
      pattern.lastIndex += text.codePointAt(match.index)! > 0xffff ? 2 : 1;
      continue;
    }
    if (match.index > end) pieces.push(text.slice(end, match.index));
    pieces.push(found);
    end = match.index + found.length;
  }
  if (end < text.length) pieces.push(text.slice(end));
  return pieces;
}

/** As Hugging Face tokenizers' SplitDelimiterBehavior has it. */
function split(text: string, pattern: RegExp, { matches, invert }: Split): string[] {
  const runs: { start: number; end: number; isMatch: boolean }[] = [];
  let covered = 0;
  for (const { index, 0: match } of text.matchAll(pattern)) {
    if (match === '') continue;
    if (index > covered) runs.push({ start: covered, end: index, isMatch: invert });
    covered = index + match.length;
    runs.push({ start: index, end: covered, isMatch: !invert });
  }
  if (covered < text.length) runs.push({ start: covered, end: text.length, isMatch: invert });
  if (matches === 'removed') return runs.filter((run) => !run.isMatch).map(({ start, end }) => text.slice(start, end));

  // Where a run begins that belongs to the one before it. Of several matches in a row only the one that touches the
  // other text goes with it.
  const pieces: string[] = [];
  let start = 0;
  for (const [i, run] of runs.entries()) {
    const next = runs[i + 1];
    const goesOn =
      next !== undefined &&
      (matches === 'joined'
        ? next.isMatch === run.isMatch
        : matches === 'with-previous'
          ? next.isMatch && !run.isMatch
          : matches === 'with-next' && run.isMatch && !next.isMatch);
    if (goesOn) continue;
    pieces.push(text.slice(start, run.end));
    start = run.end;
  }
  return pieces;
}
