/** Regular expressions of JSON schemas as expressions over the characters of a JSON string. */
import { choice, complement, type Expression, NOTHING, type Range, repeat, sequence } from './grammar.ts';
import { ANY_CHARACTER, stringCharacter } from './grammar-json.ts';

const DIGITS: readonly Range[] = [[0x30, 0x39]];
const WORD: readonly Range[] = [
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
];
const WHITE: readonly Range[] = [
  [9, 13],
  [0x20, 0x20],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
];
const LINE_ENDS: readonly Range[] = [
  [10, 10],
  [13, 13],
  [0x2028, 0x2029],
];
const CLASSES: Readonly<Record<string, readonly Range[]>> = {
  d: DIGITS,
  D: complement(DIGITS),
  w: WORD,
  W: complement(WORD),
  s: WHITE,
  S: complement(WHITE),
};
const CONTROLS: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, v: 11, f: 12, 0: 0 };
const MOST_TIMES = 10_000;

/**
 * The content of a string in which the pattern is found: at its start and end where it says so by ^ and $, else anywhere. The
 * pattern's language is ECMAScript's with the flag u, without what looks around or back.
 *
 * @param fail throws, with what is wrong with the pattern
 */
export function contentMatching(pattern: string, fail: (what: string) => never): Expression {
  const signs = [...pattern];
  let at = 0;
  const next = () => signs[at] ?? '';
  const take = (sign: string) => {
    if (next() !== sign || at >= signs.length) return false;
    at++;
    return true;
  };

  const hexadecimal = (length: number): number => {
    const text = signs.slice(at, at + length).join('');
    if (!/^[0-9a-fA-F]+$/.test(text) || text.length < length) fail(`an escape needs ${length} hexadecimal digits`);
    at += length;
    return Number.parseInt(text, 16);
  };

  /** Behind a backslash. */
  const escaped = (inClass: boolean): readonly Range[] => {
    const sign = next();
    if (sign === '') fail('it ends with a backslash');
    at++;
    const known = CLASSES[sign];
    if (known) return known;
    if (sign === 'x') return single(hexadecimal(2));
    if (sign === 'u') {
      if (take('{')) {
        const end = signs.indexOf('}', at);
        if (end < 0) fail('\\u{ has no end');
        const code = hexadecimal(end - at);
        at++;
        return single(code);
      }
      const code = hexadecimal(4);
      if (code < 0xd800 || code > 0xdbff || next() !== '\\' || signs[at + 1] !== 'u') return single(code);
      at += 2;
      return single(0x10000 + ((code - 0xd800) << 10) + (hexadecimal(4) - 0xdc00));
    }
    if (CONTROLS[sign] !== undefined && !(sign === '0' && /\d/.test(next()))) return single(CONTROLS[sign] as number);
    if (inClass && sign === 'b') return single(8);
    if (/[1-9kbBpPc0]/.test(sign)) fail(`\\${sign} is not supported`);
    return single(sign.codePointAt(0) as number);
  };

  const classRanges = (): readonly Range[] => {
    const negated = take('^');
    const ranges: Range[] = [];
    const member = (): readonly Range[] => (take('\\') ? escaped(true) : single(signs[at++]!.codePointAt(0) as number));
    while (!take(']')) {
      if (at >= signs.length) fail('[ has no ]');
      const first = member();
      if (next() !== '-' || signs[at + 1] === ']' || at + 1 >= signs.length) {
        ranges.push(...first);
        continue;
      }
      at++;
      const last = member();
      const [from, to] = [first[0]![0], last[0]![1]];
      if (first.length !== 1 || last.length !== 1 || from !== first[0]![1] || to !== last[0]![0] || to < from)
        fail('a range in [ ] is none');
      ranges.push([from, to]);
    }
    return negated ? complement(ranges) : ranges;
  };

  const quantified = (part: Expression): Expression => {
    let [least, most] = [1, 1];
    if (take('*')) [least, most] = [0, Number.POSITIVE_INFINITY];
    else if (take('+')) [least, most] = [1, Number.POSITIVE_INFINITY];
    else if (take('?')) [least, most] = [0, 1];
    else {
      const [whole, from, comma, to] =
        signs
          .slice(at)
          .join('')
          .match(/^\{(\d+)(,?)(\d*)\}/) ?? [];
      if (whole === undefined) {
        if (next() === '{' || next() === '}') fail(`${next()} stands alone`);
        return part;
      }
      at += whole.length;
      least = Number(from);
      most = comma === '' ? least : to === '' ? Number.POSITIVE_INFINITY : Number(to);
      if (most < least || least > MOST_TIMES || (most > MOST_TIMES && most !== Number.POSITIVE_INFINITY))
        fail(`${whole} is out of order, or above ${MOST_TIMES}`);
    }
    take('?'); // lazy: which one is found does not matter
    if (/[*+?]/.test(next())) fail('a quantifier behind a quantifier');
    return repeat(part, least, most);
  };

  const oneCharacter = (ranges: readonly Range[]): Expression => {
    const one = stringCharacter(ranges);
    return one.kind === 'choice' && one.parts.length === 0 ? fail('a set has no characters') : one;
  };

  /** Alternatives up to ) or the end; at the top they may be anchored. */
  const alternatives = (top: boolean): Expression => {
    const list: Expression[] = [];
    do {
      const parts: Expression[] = [];
      const atStart = top && take('^');
      let atEnd = false;
      while (at < signs.length && next() !== '|' && next() !== ')') {
        if (atEnd) fail('$ is not at the end');
        const sign = signs[at++]!;
        if (sign === '$' && top) atEnd = true;
        else if (sign === '^' || sign === '$')
          fail(`${sign} is only supported at ${sign === '^' ? 'the start' : 'the end'}`);
        else if (sign === '(') parts.push(quantified(group()));
        else if (sign === '[') parts.push(quantified(oneCharacter(classRanges())));
        else if (sign === '.') parts.push(quantified(oneCharacter(complement(LINE_ENDS))));
        else if (sign === '\\') parts.push(quantified(oneCharacter(escaped(false))));
        else if (/[*+?{}\]]/.test(sign)) fail(`${sign} stands alone`);
        else parts.push(quantified(oneCharacter(single(sign.codePointAt(0) as number))));
      }
      const anything = repeat(stringCharacter(ANY_CHARACTER), 0);
      if (top && !atStart) parts.unshift(anything);
      if (top && !atEnd) parts.push(anything);
      list.push(parts.length === 0 ? NOTHING : sequence(...parts));
    } while (take('|'));
    return choice(...list);
  };

  const group = (): Expression => {
    if (take('?')) {
      const named = signs
        .slice(at)
        .join('')
        .match(/^<[A-Za-z_]\w*>/)?.[0];
      if (named) at += named.length;
      else if (!take(':')) fail('(? is only supported as (?: and (?<name>');
    }
    const inside = alternatives(false);
    if (!take(')')) fail('( has no )');
    return inside;
  };

  const all = alternatives(true);
  if (at < signs.length) fail(') stands alone');
  return all;
}

function single(code: number): readonly Range[] {
  return [[code, code]];
}
