/**
 * Unicode's canonical order of combining marks. String.normalize() brings them into it by insertion, which takes a time quadratic
 * in their number: a megabyte of marks in a user's text would keep a server from answering for minutes.
 */

/** Runs that normalize() sorts faster than it is worth to look at them are shorter. */
const LONG_RUN = /\p{M}{64,}/gu;

/** Marks of the combining classes 1 and 230: one of them changes places with any mark that has a class. */
const [LOW, HIGH] = ['\u0334', '\u0301'];

/** A text that normalizes to what `text` does, by whatever form, whose long runs of marks are in order. */
export function orderMarks(text: string): string {
  return text.replace(LONG_RUN, (run) => {
    const marks = Array.from(run.replace(/./gu, (mark) => mark.normalize('NFD')));
    const ranks = ranksOf(new Set(marks));
    const ordered: string[] = [];
    let movable: string[] = [];
    const flush = () => {
      for (const mark of movable.sort((a, b) => ranks.get(a)! - ranks.get(b)!)) ordered.push(mark);
      movable = [];
    };
    for (const mark of marks) {
      if (ranks.has(mark)) movable.push(mark);
      else {
        flush();
        ordered.push(mark);
      }
    }
    flush();
    return ordered.join('');
  });
}

/** Numbers that are in order as combining classes are; none for marks without a class, which others do not pass. */
function ranksOf(marks: Iterable<string>): ReadonlyMap<string, number> {
  const movable = [...marks].filter((mark) => comesAfter(HIGH, mark) || comesAfter(mark, LOW));
  movable.sort((a, b) => Number(comesAfter(a, b)) - Number(comesAfter(b, a)));
  const ranks = new Map<string, number>();
  let rank = 0;
  for (const [i, mark] of movable.entries()) {
    if (i > 0 && comesAfter(mark, movable[i - 1]!)) rank++;
    ranks.set(mark, rank);
  }
  return ranks;
}

/** Whether normalizing makes `a` change places with `b` behind it. */
function comesAfter(a: string, b: string): boolean {
  return (a + b).normalize('NFD') === b + a && a !== b;
}
