/** What numbers a JSON schema allows, as a grammar. */
import { choice, type Expression, NOTHING, rule, sequence, text } from './grammar.ts';
import { type Bound, integersBetween, numbersBetween } from './grammar-numbers.ts';
import type { Schema } from './schema.ts';

/** Multiples are written out between bounds. */
const MOST_MULTIPLES = 1000;
const MOST_DIVISOR = 100;
const DIVIDED_DIGITS = 9;

interface Rules {
  readonly define: (expression: Expression) => Expression;
  readonly fail: (what: string) => never;
}

/**
 * The numbers that a schema of this type allows.
 *
 * @param rules `define` makes a rule of an expression, `fail` throws naming what cannot be promised
 */
export function numberOf(schema: Schema, type: 'integer' | 'number', rules: Rules): Expression {
  const { define, fail } = rules;
  const [least, most] = boundsOf(schema, fail);
  if (schema.multipleOf !== undefined) return multiplesWithin(schema.multipleOf, least, most, rules);
  if (!least && !most)
    return type === 'number'
      ? rule('number')
      : choice(integersBetween(Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY)!);
  const found = type === 'integer' ? integersBetween(...wholeBounds(least, most)) : numbersBetween(least, most);
  if (found === false) return fail('bounds with exponents or more than 14 digits are not supported');
  return found ? define(found) : fail('no number is within the bounds');
}

function multiplesWithin(
  divisor: unknown,
  least: Bound | undefined,
  most: Bound | undefined,
  { define, fail }: Rules,
): Expression {
  if (typeof divisor !== 'number' || !Number.isInteger(divisor) || divisor < 1)
    return fail('multipleOf is only supported as a whole number of at least 1');
  if (least && most) {
    const [from, to] = wholeBounds(least, most).map((bound, i) => (i === 0 ? Math.ceil : Math.floor)(bound / divisor));
    if (to! - from! >= MOST_MULTIPLES) fail(`more than ${MOST_MULTIPLES} multiples within the bounds`);
    if (to! < from!) fail('no multiple is within the bounds');
    return define(
      choice(...Array.from({ length: to! - from! + 1 }, (_, i) => text(String((from! + i) * divisor || 0)))),
    );
  }
  if (least || most) return fail('multipleOf with only one bound is not supported: give the other, too');
  if (divisor > MOST_DIVISOR) return fail(`multipleOf above ${MOST_DIVISOR} is only supported within two bounds`);
  return multiplesOf(divisor, define);
}

/** Decimal digits, with the remainder so far as the state. */
function multiplesOf(divisor: number, define: Rules['define']): Expression {
  const states = new Map<string, Expression>();
  const after = (remainder: number, room: number): Expression => {
    const key = `${remainder} ${room}`;
    const known = states.get(key);
    if (known) return known;
    const parts: Expression[] = remainder === 0 ? [NOTHING] : [];
    for (let next = 0; next <= 9 && room > 0; next++) {
      const rest = after((remainder * 10 + next) % divisor, room - 1);
      if (rest.kind !== 'choice' || rest.parts.length > 0) parts.push(sequence(text(String(next)), rest));
    }
    const state = parts.length === 0 ? choice() : define(choice(...parts));
    states.set(key, state);
    return state;
  };
  const parts: Expression[] = [];
  for (let first = 1; first <= 9; first++) {
    const rest = after(first % divisor, DIVIDED_DIGITS - 1);
    if (rest.kind !== 'choice') parts.push(sequence(text(String(first)), rest));
  }
  return define(choice(text('0'), sequence(choice(NOTHING, text('-')), choice(...parts))));
}

function boundsOf(schema: Schema, fail: (what: string) => never): [least: Bound | undefined, most: Bound | undefined] {
  const number = (key: string): number | undefined => {
    const value = schema[key];
    if (value === undefined) return undefined;
    return typeof value === 'number' ? value : fail(`${key} must be a number`);
  };
  const tighter = (plain: number | undefined, exclusive: number | undefined, sign: 1 | -1): Bound | undefined => {
    if (exclusive !== undefined && (plain === undefined || exclusive * sign >= plain * sign))
      return { value: exclusive, exclusive: true };
    return plain === undefined ? undefined : { value: plain, exclusive: false };
  };
  return [
    tighter(number('minimum'), number('exclusiveMinimum'), 1),
    tighter(number('maximum'), number('exclusiveMaximum'), -1),
  ];
}

function wholeBounds(least: Bound | undefined, most: Bound | undefined): [least: number, most: number] {
  const from = least ? Math.ceil(least.value) : Number.NEGATIVE_INFINITY;
  const to = most ? Math.floor(most.value) : Number.POSITIVE_INFINITY;
  return [
    least?.exclusive && from === least.value ? from + 1 : from,
    most?.exclusive && to === most.value ? to - 1 : to,
  ];
}
