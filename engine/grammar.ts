/** Grammars as data: rules over code points. GBNF texts and JSON schemas become these; grammar-automaton.ts runs them. */
import { FirstlightError } from '../quant/errors.ts';

export type Expression =
  | { readonly kind: 'text'; readonly text: string }
  /** One code point in one of the ranges, ends included. */
  | { readonly kind: 'characters'; readonly ranges: readonly Range[] }
  | { readonly kind: 'sequence'; readonly parts: readonly Expression[] }
  | { readonly kind: 'choice'; readonly parts: readonly Expression[] }
  | { readonly kind: 'repeat'; readonly part: Expression; readonly least: number; readonly most: number }
  | { readonly kind: 'rule'; readonly name: string };

export type Range = readonly [first: number, last: number];

/** What a text must be: made by grammarOfSchema() and parseGbnf(). */
export interface Grammar {
  /** The rule that a whole text follows. */
  readonly root: string;
  readonly rules: ReadonlyMap<string, Expression>;
}

export const LAST_CODE_POINT = 0x10ffff;

export const text = (text: string): Expression => ({ kind: 'text', text });
export const characters = (...ranges: readonly Range[]): Expression => ({ kind: 'characters', ranges });
export const sequence = (...parts: readonly Expression[]): Expression => ({ kind: 'sequence', parts });
export const choice = (...parts: readonly Expression[]): Expression => ({ kind: 'choice', parts });
export const repeat = (part: Expression, least: number, most = Number.POSITIVE_INFINITY): Expression => ({
  kind: 'repeat',
  part,
  least,
  most,
});
export const optional = (part: Expression): Expression => repeat(part, 0, 1);
export const rule = (name: string): Expression => ({ kind: 'rule', name });
export const NOTHING = text('');

/** Repetitions up to this are written out, others counted. */
const MOST_COPIES = 8;

/** Whether an automaton keeps a count for a repetition. */
export function isCounted({ least, most }: Expression & { readonly kind: 'repeat' }): boolean {
  return least > MOST_COPIES || (most !== Number.POSITIVE_INFINITY && most > MOST_COPIES);
}

/** Code points that are in none of the ranges. */
export function complement(ranges: readonly Range[]): Range[] {
  const rest: Range[] = [];
  let next = 0;
  for (const [first, last] of [...ranges].sort(([a], [b]) => a - b)) {
    if (first > next) rest.push([next, first - 1]);
    next = Math.max(next, last + 1);
  }
  if (next <= LAST_CODE_POINT) rest.push([next, LAST_CODE_POINT]);
  return rest;
}

/** Code points that are in both. */
export function intersect(a: readonly Range[], b: readonly Range[]): Range[] {
  return a.flatMap(([first, last]) =>
    b.map(([from, to]): Range => [Math.max(first, from), Math.min(last, to)]).filter(([from, to]) => from <= to),
  );
}

function fail(message: string): never {
  throw new FirstlightError('bad-argument', `the grammar ${message}`);
}

/**
 * Throws `bad-argument` for a grammar that cannot be run: rules that are not there, that can call themselves before they have
 * read anything, or that no text ever satisfies.
 */
export function checkGrammar({ root, rules }: Grammar): void {
  if (!rules.has(root)) fail(`has no rule ${JSON.stringify(root)}, with which every text begins: add it`);
  for (const [name, expression] of rules)
    for (const called of callsOf(expression))
      if (!rules.has(called))
        fail(`calls the rule ${JSON.stringify(called)} in ${JSON.stringify(name)}: add that rule`);

  const ends = fixpoint(rules, (expression, known) => canEnd(expression, known));
  for (const name of rules.keys())
    if (!ends.has(name)) fail(`has the rule ${JSON.stringify(name)}, which no text can ever end: give it a way out`);

  const empty = fixpoint(rules, (expression, known) => canBeEmpty(expression, known));
  const countsNothing = (expression: Expression): boolean =>
    'parts' in expression
      ? expression.parts.some(countsNothing)
      : expression.kind === 'repeat' &&
        ((isCounted(expression) && canBeEmpty(expression.part, empty)) || countsNothing(expression.part));
  for (const [name, expression] of rules)
    if (countsNothing(expression))
      fail(`counts something that may be empty, in ${JSON.stringify(name)}: let what is repeated read something`);

  const done = new Set<string>();
  const visit = (name: string, path: readonly string[]) => {
    if (path.includes(name))
      fail(
        `has the left recursive rule ${JSON.stringify(name)} (${[...path.slice(path.indexOf(name)), name].join(' > ')}): ` +
          'let it read something before it calls itself',
      );
    if (done.has(name)) return;
    for (const called of firstCalls(rules.get(name)!, empty)) visit(called, [...path, name]);
    done.add(name);
  };
  for (const name of rules.keys()) visit(name, []);
}

/** The rules for which `holds` does, where it may rest on others for which it does. */
function fixpoint(
  rules: Grammar['rules'],
  holds: (expression: Expression, known: ReadonlySet<string>) => boolean,
): ReadonlySet<string> {
  const known = new Set<string>();
  for (let before = -1; before !== known.size; ) {
    before = known.size;
    for (const [name, expression] of rules) if (holds(expression, known)) known.add(name);
  }
  return known;
}

function callsOf(expression: Expression): string[] {
  if (expression.kind === 'rule') return [expression.name];
  if (expression.kind === 'sequence' || expression.kind === 'choice') return expression.parts.flatMap(callsOf);
  return expression.kind === 'repeat' ? callsOf(expression.part) : [];
}

function canEnd(expression: Expression, known: ReadonlySet<string>): boolean {
  if (expression.kind === 'text') return true;
  if (expression.kind === 'characters') return expression.ranges.length > 0;
  if (expression.kind === 'rule') return known.has(expression.name);
  if (expression.kind === 'sequence') return expression.parts.every((part) => canEnd(part, known));
  if (expression.kind === 'choice') return expression.parts.some((part) => canEnd(part, known));
  return expression.least === 0 || canEnd(expression.part, known);
}

function canBeEmpty(expression: Expression, known: ReadonlySet<string>): boolean {
  if (expression.kind === 'text') return expression.text === '';
  if (expression.kind === 'characters') return false;
  if (expression.kind === 'rule') return known.has(expression.name);
  if (expression.kind === 'sequence') return expression.parts.every((part) => canBeEmpty(part, known));
  if (expression.kind === 'choice') return expression.parts.some((part) => canBeEmpty(part, known));
  return expression.least === 0 || canBeEmpty(expression.part, known);
}

/** Rules that may be called before anything has been read. */
function firstCalls(expression: Expression, empty: ReadonlySet<string>): string[] {
  if (expression.kind === 'rule') return [expression.name];
  if (expression.kind === 'choice') return expression.parts.flatMap((part) => firstCalls(part, empty));
  if (expression.kind === 'repeat') return firstCalls(expression.part, empty);
  if (expression.kind !== 'sequence') return [];
  const calls: string[] = [];
  for (const part of expression.parts) {
    calls.push(...firstCalls(part, empty));
    if (!canBeEmpty(part, empty)) break;
  }
  return calls;
}
