/** Numbers within bounds, as expressions over their decimal digits. */
import { characters, choice, type Expression, optional, repeat, sequence, text } from './grammar.ts';
import { digit } from './grammar-json.ts';

/** Whole digits of numbers without a bound: with the fraction's no more than a double tells apart. */
const WHOLE_DIGITS = 9;
const FRACTION_DIGITS = 6;

export interface Bound {
  readonly value: number;
  readonly exclusive: boolean;
}

/** Whole numbers from `least` to `most`, both included; infinite where there is no bound. Undefined when there is none. */
export function integersBetween(least: number, most: number): Expression | undefined {
  const parts: Expression[] = [];
  if (least < 0) {
    const negative = naturalsBetween(Math.max(1, -most), -least);
    if (negative) parts.push(sequence(text('-'), negative));
  }
  const positive = most >= 0 ? naturalsBetween(Math.max(0, least), most) : undefined;
  if (positive) parts.push(positive);
  return parts.length === 0 ? undefined : choice(...parts);
}

function naturalsBetween(least: number, most: number): Expression | undefined {
  if (least > most) return undefined;
  const parts: Expression[] = [];
  const longest =
    most === Number.POSITIVE_INFINITY ? Math.max(String(least).length, WHOLE_DIGITS) : String(most).length;
  for (let length = String(least).length; length <= longest; length++) {
    const low = Math.max(least, length === 1 ? 0 : 10 ** (length - 1));
    const high = Math.min(most, 10 ** length - 1);
    if (low <= high) parts.push(digitsBetween(String(low), String(high)));
  }
  return choice(...parts);
}

/** Digit strings of one length in order. */
function digitsBetween(low: string, high: string): Expression {
  if (/^0*$/.test(low) && /^9*$/.test(high)) return repeat(digit, low.length, low.length);
  const [first, last] = [Number(low[0]), Number(high[0])];
  const [lowRest, highRest] = [low.slice(1), high.slice(1)];
  if (first === last) return sequence(text(String(first)), digitsBetween(lowRest, highRest));
  const parts = [sequence(text(String(first)), digitsBetween(lowRest, '9'.repeat(lowRest.length)))];
  if (first + 1 < last)
    parts.push(sequence(digits(first + 1, last - 1), repeat(digit, lowRest.length, lowRest.length)));
  parts.push(sequence(text(String(last)), digitsBetween('0'.repeat(highRest.length), highRest)));
  return choice(...parts);
}

function digits(first: number, last: number): Expression {
  return characters([0x30 + first, 0x30 + last]);
}

/**
 * Numbers with a fraction within bounds. Undefined when there is none. Bounds that have exponents, or more digits than a
 * double tells apart, give false.
 */
export function numbersBetween(least: Bound | undefined, most: Bound | undefined): Expression | undefined | false {
  for (const bound of [least, most])
    if (bound && (!/^-?\d+(\.\d+)?$/.test(String(bound.value)) || String(bound.value).replace(/\D/g, '').length > 14))
      return false;
  const parts: Expression[] = [];
  const negate = (bound: Bound | undefined) => bound && { ...bound, value: -bound.value };
  const zero = { value: 0, exclusive: true };
  if (!least || least.value < 0) {
    const top = most && most.value < 0 ? most : zero;
    const negative = positivesBetween(negate(top)!, negate(least));
    if (negative) parts.push(sequence(text('-'), negative));
  }
  if (!most || most.value >= 0) {
    const bottom = least && least.value >= 0 ? least : { ...zero, exclusive: false };
    const positive = positivesBetween(bottom, most);
    if (positive) parts.push(positive);
  }
  return parts.length === 0 ? undefined : choice(...parts);
}

function positivesBetween(least: Bound, most: Bound | undefined): Expression | undefined {
  if (most && (least.value > most.value || (least.value === most.value && (least.exclusive || most.exclusive))))
    return undefined;
  const [lowWhole = '0', lowFraction = ''] = String(least.value).split('.');
  const low = Number(lowWhole);
  if (!most) {
    const above = naturalsBetween(low + 1, Number.POSITIVE_INFINITY) as Expression;
    const parts = [sequence(above, optional(fraction({})))];
    const lowest = tail({ low: lowFraction, lowExclusive: least.exclusive });
    if (lowest) parts.push(sequence(text(lowWhole), lowest));
    return choice(...parts);
  }
  const [highWhole = '0', highFraction = ''] = String(most.value).split('.');
  const high = Number(highWhole);
  const parts: Expression[] = [];
  const add = (whole: string, limits: Limits) => {
    const part = tail(limits);
    if (part) parts.push(sequence(text(whole), part));
  };
  const lower = { low: lowFraction, lowExclusive: least.exclusive };
  const upper = { high: highFraction, highExclusive: most.exclusive };
  if (low === high) add(lowWhole, { ...lower, ...upper });
  else {
    add(lowWhole, lower);
    const between = naturalsBetween(low + 1, high - 1);
    if (between) parts.push(sequence(between, optional(fraction({}))));
    add(highWhole, upper);
  }
  return parts.length === 0 ? undefined : choice(...parts);
}

/** Digits of a fraction from `low` to `high`; undefined = no bound. */
interface Limits {
  readonly low?: string | undefined;
  readonly lowExclusive?: boolean;
  readonly high?: string | undefined;
  readonly highExclusive?: boolean;
}

/** What follows the whole digits: nothing, or a fraction. Undefined when neither will do. */
function tail(limits: Limits): Expression | undefined {
  const parts: Expression[] = [];
  if (mayEnd(limits)) parts.push(text(''));
  const some = fractionDigits(limits, FRACTION_DIGITS, true);
  if (some) parts.push(sequence(text('.'), some));
  return parts.length === 0 ? undefined : choice(...parts);
}

function fraction(limits: Limits): Expression {
  return sequence(text('.'), fractionDigits(limits, FRACTION_DIGITS, true) as Expression);
}

/** The digits so far, followed by zeros, are within the limits. */
function mayEnd({ low, lowExclusive = false, high, highExclusive = false }: Limits): boolean {
  const isZero = (rest: string) => /^0*$/.test(rest);
  if (low !== undefined && (lowExclusive || !isZero(low))) return false;
  return high === undefined || !highExclusive || !isZero(high);
}

/** Up to `room` digits more, or as many as the limits have. */
function fractionDigits(limits: Limits, room: number, needed: boolean): Expression | undefined {
  const { low, high } = limits;
  const left = Math.max(room, low?.length ?? 0, high?.length ?? 0);
  if (low === undefined && high === undefined) return repeat(digit, needed ? 1 : 0, left);
  const parts: Expression[] = [];
  if (!needed && mayEnd(limits)) parts.push(text(''));
  if (left > 0) {
    const lowest = Number(low?.[0] ?? 0);
    const highest = high === undefined ? 9 : Number(high[0] ?? 0);
    for (let next = lowest; next <= highest; next++) {
      const rest: Limits = {
        ...limits,
        low: low !== undefined && next === lowest ? low.slice(1) : undefined,
        high: high !== undefined && next === highest ? high.slice(1) : undefined,
      };
      const more = fractionDigits(rest, room - 1, false);
      if (more) parts.push(sequence(text(String(next)), more));
    }
  }
  return parts.length === 0 ? undefined : choice(...parts);
}
