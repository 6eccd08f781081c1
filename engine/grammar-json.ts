/** JSON's own rules, for any value and as parts for schemas. */
import {
  characters,
  choice,
  complement,
  type Expression,
  type Grammar,
  intersect,
  LAST_CODE_POINT,
  NOTHING,
  optional,
  type Range,
  repeat,
  rule,
  sequence,
  text,
} from './grammar.ts';

/** Code points that stand for themselves in a JSON string. */
export const PLAIN: readonly Range[] = complement([
  [0, 0x1f],
  [0x22, 0x22],
  [0x5c, 0x5c],
  [0x7f, 0x7f],
]);
const SHORT_ESCAPES: Readonly<Record<number, string>> = {
  8: '\\b',
  9: '\\t',
  10: '\\n',
  12: '\\f',
  13: '\\r',
  34: '\\"',
  92: '\\\\',
};

export const digit = characters([0x30, 0x39]);
const hex = characters([0x30, 0x39], [0x41, 0x46], [0x61, 0x66]);

/** White space between the parts of a value: as models were trained on it, but no more, for some never stop. */
export const SPACE = rule('space');

/** Between two members or items. */
export const COMMA = sequence(text(','), SPACE);

/** Any character of a string, as itself or escaped; escaped surrogates only in pairs. */
const CHARACTER = rule('character');

/** Rules that expressions of this file call. */
export const JSON_RULES: ReadonlyMap<string, Expression> = new Map<string, Expression>([
  ['space', choice(NOTHING, text(' '), sequence(text('\n'), repeat(characters([0x20, 0x20], [9, 9]), 0, 20)))],
  [
    'character',
    choice(
      characters(...PLAIN),
      sequence(
        text('\\'),
        choice(
          characters(...[...'"\\/bfnrt'].map((letter): Range => [letter.charCodeAt(0), letter.charCodeAt(0)])),
          sequence(text('u'), rule('escape')),
        ),
      ),
    ),
  ],
  [
    'escape',
    choice(
      sequence(characters([0x30, 0x39], [0x41, 0x43], [0x45, 0x46], [0x61, 0x63], [0x65, 0x66]), hex, hex, hex),
      sequence(characters([0x44, 0x44], [0x64, 0x64]), characters([0x30, 0x37]), hex, hex),
      sequence(
        characters([0x44, 0x44], [0x64, 0x64]),
        characters([0x38, 0x39], [0x41, 0x42], [0x61, 0x62]),
        hex,
        hex,
        text('\\u'),
        characters([0x44, 0x44], [0x64, 0x64]),
        characters([0x43, 0x46], [0x63, 0x66]),
        hex,
        hex,
      ),
    ),
  ],
  ['string', stringOf(repeat(CHARACTER, 0))],
  // at most so long that every number is one for those who read it
  [
    'number',
    sequence(
      optional(text('-')),
      choice(text('0'), sequence(characters([0x31, 0x39]), repeat(digit, 0, 15))),
      optional(sequence(text('.'), repeat(digit, 1, 16))),
      optional(
        sequence(
          characters([0x45, 0x45], [0x65, 0x65]),
          optional(characters([0x2b, 0x2b], [0x2d, 0x2d])),
          repeat(digit, 1, 2),
        ),
      ),
    ),
  ],
  [
    'value',
    choice(rule('object'), rule('array'), rule('string'), rule('number'), text('true'), text('false'), text('null')),
  ],
  ['object', objectOf(sequence(rule('string'), text(':'), SPACE, rule('value')))],
  ['array', arrayOf(rule('value'), 0, Number.POSITIVE_INFINITY)],
]);

/** JSON mode: any object. */
export const JSON_GRAMMAR: Grammar = { root: 'object', rules: JSON_RULES };

export function stringOf(content: Expression): Expression {
  return sequence(text('"'), content, text('"'));
}

/** A string of so many characters. */
export function stringOfLength(least: number, most: number): Expression {
  return stringOf(repeat(CHARACTER, least, most));
}

/** One character of a string that is in one of the ranges, written in one way. */
export function stringCharacter(ranges: readonly Range[]): Expression {
  const parts: Expression[] = [];
  const plain = intersect(ranges, PLAIN);
  if (plain.length > 0) parts.push(characters(...plain));
  for (const [first, last] of intersect(ranges, complement(PLAIN)))
    for (let code = first; code <= last; code++)
      parts.push(text(SHORT_ESCAPES[code] ?? `\\u${code.toString(16).padStart(4, '0')}`));
  return choice(...parts);
}

/** Any character, written in any way. */
export const ANY_CHARACTER: readonly Range[] = [[0, LAST_CODE_POINT]];

/** A list between braces or brackets. */
export function listOf(open: string, first: Expression, rest: Expression, close: string): Expression {
  return sequence(text(open), SPACE, first, rest, SPACE, text(close));
}

/** Any number of members. */
export function objectOf(member: Expression): Expression {
  return choice(listOf('{', member, repeat(sequence(COMMA, member), 0), '}'), text('{}'));
}

/** From `least` to `most` items. */
export function arrayOf(item: Expression, least: number, most: number): Expression {
  if (most === 0) return text('[]');
  const some = listOf('[', item, repeat(sequence(COMMA, item), Math.max(least - 1, 0), most - 1), ']');
  return least > 0 ? some : choice(some, text('[]'));
}
