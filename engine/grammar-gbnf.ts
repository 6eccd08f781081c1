/** GBNF, llama.cpp's notation for grammars: rules `name ::= ...` of texts, character sets, groups and repetitions. */
import { FirstlightError } from '../quant/errors.ts';
import {
  characters,
  checkGrammar,
  choice,
  complement,
  type Expression,
  type Grammar,
  LAST_CODE_POINT,
  NOTHING,
  type Range,
  repeat,
  rule,
  sequence,
  text,
} from './grammar.ts';

const ROOT = 'root';
/** A repetition is written out as often as it says. */
const MOST_TIMES = 100_000;
const MOST_DEPTH = 200;

/** Reads a grammar, which begins with the rule `root`. Throws `bad-argument` with line and column. */
export function parseGbnf(source: string): Grammar {
  const rules = createParser(source).rules();
  const grammar = { root: ROOT, rules };
  checkGrammar(grammar);
  return grammar;
}

function createParser(source: string) {
  let at = 0;

  const fail = (what: string, where = at): never => {
    const before = source.slice(0, where).split('\n');
    throw new FirstlightError(
      'bad-argument',
      `the grammar, line ${before.length}, column ${before.at(-1)!.length + 1}: ${what}`,
    );
  };
  const next = () => source[at] ?? '';
  const seen = () => (at < source.length ? JSON.stringify(String.fromCodePoint(source.codePointAt(at)!)) : 'the end');
  const take = (wanted: string) => {
    if (!source.startsWith(wanted, at)) return false;
    at += wanted.length;
    return true;
  };

  /** White space and comments; line breaks only where the rule cannot end. */
  const skip = (lines: boolean) => {
    for (;;) {
      if (next() === '#') while (at < source.length && next() !== '\n') at++;
      else if (next() === ' ' || next() === '\t' || (lines && /[\r\n]/.test(next()))) at++;
      else return;
    }
  };

  const name = () => {
    const [found = ''] = source.slice(at).match(/^[a-zA-Z0-9_-]+/) ?? [];
    if (found === '') fail(`a rule's name should be here, not ${seen()}`);
    at += found.length;
    return found;
  };

  /** One character of a text or set, escapes resolved. */
  const character = (): number => {
    const code = source.codePointAt(at) ?? fail('the grammar ends within quotes or brackets');
    if (code !== 0x5c) {
      at += code > 0xffff ? 2 : 1;
      return code;
    }
    const simple: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9 };
    const digits: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 };
    const letter = source[at + 1] ?? '';
    const length = digits[letter];
    if (length !== undefined) {
      const hex = source.slice(at + 2, at + 2 + length);
      if (!/^[0-9a-fA-F]+$/.test(hex) || hex.length < length) fail(`\\${letter} needs ${length} hexadecimal digits`);
      const value = Number.parseInt(hex, 16);
      if (value > LAST_CODE_POINT || (value >= 0xd800 && value < 0xe000)) fail(`\\${letter}${hex} is no character`);
      at += 2 + length;
      return value;
    }
    if (simple[letter] === undefined && !/[\\"[\]\-^./]/.test(letter)) fail(`unknown escape \\${letter}`);
    at += 2;
    return simple[letter] ?? letter.charCodeAt(0);
  };

  const literal = (): Expression => {
    let value = '';
    while (next() !== '"') value += String.fromCodePoint(character());
    at++;
    return text(value);
  };

  const set = (): Expression => {
    const start = at - 1;
    const negated = take('^');
    const ranges: Range[] = [];
    while (next() !== ']') {
      const first = character();
      let last = first;
      if (next() === '-' && source[at + 1] !== ']') {
        at++;
        last = character();
      }
      if (last < first) fail('the range runs backwards', start);
      ranges.push([first, last]);
    }
    at++;
    const wanted = negated ? complement(ranges) : ranges;
    if (wanted.length === 0) fail('the set has no characters', start);
    return characters(...wanted);
  };

  const times = (): number | undefined => {
    const [digits = ''] = source.slice(at).match(/^\d+/) ?? [];
    at += digits.length;
    if (Number(digits) > MOST_TIMES) fail(`a repetition is written out, so ${MOST_TIMES} times is the most`);
    return digits === '' ? undefined : Number(digits);
  };

  const bounds = (): [least: number, most: number] => {
    skip(false);
    const least = times() ?? fail('a number of times should be here');
    skip(false);
    let most: number | undefined = least;
    if (take(',')) {
      skip(false);
      most = times() ?? Number.POSITIVE_INFINITY;
      skip(false);
    }
    if (!take('}')) fail(`} should be here, not ${seen()}`);
    if (most < least) fail('the most is below the least');
    return [least, most];
  };

  const repeated = (part: Expression): Expression => {
    let result = part;
    for (;;) {
      if (take('*')) result = repeat(result, 0);
      else if (take('+')) result = repeat(result, 1);
      else if (take('?')) result = repeat(result, 0, 1);
      else if (take('{')) result = repeat(result, ...bounds());
      else return result;
    }
  };

  const parts = (depth: number): Expression => {
    const list: Expression[] = [];
    for (;;) {
      skip(depth > 0);
      if (take('"')) list.push(repeated(literal()));
      else if (take('[')) list.push(repeated(set()));
      else if (take('.')) list.push(repeated(characters([0, LAST_CODE_POINT])));
      else if (take('(')) {
        const group = alternatives(depth + 1);
        if (!take(')')) fail(`) should be here, not ${seen()}`);
        list.push(repeated(group));
      } else if (/[a-zA-Z0-9_-]/.test(next())) list.push(repeated(rule(name())));
      else if (/[<!]/.test(next())) fail('tokens by name or number are not supported: write their text in quotes');
      else break;
    }
    return list.length === 1 ? list[0]! : list.length === 0 ? NOTHING : sequence(...list);
  };

  const alternatives = (depth: number): Expression => {
    if (depth > MOST_DEPTH) fail(`groups are nested deeper than ${MOST_DEPTH} levels`);
    const list = [parts(depth)];
    for (;;) {
      // the next alternative of a rule may stand in a line of its own
      const end = at;
      skip(true);
      if (!take('|')) {
        if (depth === 0) at = end;
        break;
      }
      skip(true);
      list.push(parts(depth));
    }
    return list.length === 1 ? list[0]! : choice(...list);
  };

  return {
    rules(): ReadonlyMap<string, Expression> {
      const rules = new Map<string, Expression>();
      for (skip(true); at < source.length; skip(true)) {
        const start = at;
        const title = name();
        skip(false);
        if (!take('::=')) fail(`::= should be here, not ${seen()}`);
        skip(true);
        if (rules.has(title)) fail(`the rule ${title} is there twice`, start);
        rules.set(title, alternatives(0));
        skip(false);
        if (at < source.length && !/[\r\n]/.test(next())) fail(`the line should end here, not go on with ${seen()}`);
      }
      return rules;
    },
  };
}
