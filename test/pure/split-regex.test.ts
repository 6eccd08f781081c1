/** Oniguruma patterns in JavaScript: expected pieces are those of Hugging Face tokenizers 0.23.2. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createPreTokenizer, cut } from '../../engine/pre-tokenize.ts';
import { findPreTokenizer } from '../../loaders/pre-tokenizers.ts';
import { convertRegex, literalPattern } from '../../loaders/split-regex.ts';
import { expectError } from './expect-error.ts';

function pieces(pattern: string, text: string): string[] {
  return cut(text, new RegExp(convertRegex(pattern, 'file'), 'gu'));
}

test('what tokenizer files use', () => {
  assert.equal(pieces("(?i:'s|'ll|k)", "'\u017fa'LLb'sK\u212ad"), [
    "'\u017f",
    'a',
    "'LL",
    'b',
    "'s",
    'K',
    '\u212a',
    'd',
  ]);
  assert.equal(pieces("'(?i:[sd])x", "'Sx'dx'sX"), ["'Sx", "'dx", "'sX"]);
  assert.equal(pieces('a(?i:b)b', 'aBbabBabb'), ['aBb', 'abB', 'abb']);
  assert.equal(pieces('\\s+', 'a\u0085b\ufeffc d'), ['a', '\u0085', 'b\ufeffc', ' ', 'd']);
  assert.equal(pieces('[^\\s\\d]+', 'a1\u0663b\u0085c'), ['a', '1\u0663', 'b', '\u0085', 'c']);
  assert.equal(pieces('\\p{Han}+|\\P{L}', 'a\u4e2d\u65871'), ['a', '\u4e2d\u6587', '1']);
  assert.equal(pieces('\\p{^L}', 'a1b'), ['a', '1', 'b']);
  assert.equal(pieces('\\x{61}|\\x62|\\u0063', 'xaybzcx'), ['x', 'a', 'y', 'b', 'z', 'c', 'x']);
  assert.equal(pieces('b{,2}c|\\p{N}{1,3}', 'bbbc12345'), ['b', 'bbc', '123', '45']);
  assert.equal(pieces('^.|\\s+$', 'ab \nc '), ['a', 'b', ' ', '\n', 'c', ' ']);
  assert.equal(pieces('[\\[\\]\\-x]+?y', 'a[-]xyb'), ['a', '[-]xy', 'b']);
  assert.equal(pieces('(a|b)+!|(?<=c)d(?=e)|(?<!c)d(?!e)', 'ab!cdedd'), ['ab!', 'c', 'd', 'e', 'd', 'd']);
  assert.equal(pieces(literalPattern('.*[a]/'), 'x.*[a]/y'), ['x', '.*[a]/', 'y']);
});

test('possessive matches are not given back', () => {
  assert.equal(pieces('a++a|b', 'aaab'), ['aaa', 'b']);
  assert.equal(pieces('(?:ab)?+a|c', 'abac'), ['aba', 'c']);
  assert.equal(pieces('[ab]*+b|c', 'abbc'), ['abb', 'c']);
  assert.equal(pieces('a?+ab|\\d{2}+x', 'ab aab123x1234x'), ['ab ', 'aab', '1', '23x', '1234x']);
});

test('what has no translation is refused by name', async () => {
  const refused: [string, string][] = [
    ['\\w+', '\\w'],
    ['a\\b', '\\b'],
    ['(a)\\1', '\\1'],
    ['[[:alpha:]]', 'POSIX'],
    ['[a[b]]', 'class within'],
    ['[a-z&&[^b]]', '&&'],
    ['(?>a)', '(?>'],
    ['(?i)a', '(?i'],
    ['(?i:[a-z])', 'range'],
    ['\\p{Nonsense}', 'Nonsense'],
    ['*a', '*'],
    ['(a', '('],
    ['a)', ')'],
    ['[a', 'class without end'],
    ['a\\', 'backslash'],
    ['[z-a]', 'z-a'],
    ['a{2}?', '{2}?'],
  ];
  for (const [pattern, named] of refused) {
    const message = new RegExp(`^some\\.json: .*${literalPattern(named)}.*; `);
    await expectError(() => convertRegex(pattern, 'some.json'), 'bad-tokenizer', message);
  }
});

const TEXT = "I'VE don't  12345 \n\n x=\u4e2d\u6587\u304b/Hello!!\tHTTPServer ";
const WORDS: readonly (readonly [string, readonly string[]])[] = [
  [
    'default',
    [
      'I',
      "'",
      'VE',
      ' don',
      "'",
      't',
      ' ',
      ' ',
      '123',
      '45',
      ' \n\n',
      ' x',
      '=',
      '\u4e2d\u6587\u304b',
      '/',
      'Hello',
      '!!',
      '\t',
      'HTTPServer',
      ' ',
    ],
  ],
  [
    'gpt-2',
    [
      'I',
      "'",
      'VE',
      ' don',
      "'t",
      ' ',
      ' 12345',
      ' \n\n',
      ' x',
      '=',
      '\u4e2d\u6587\u304b',
      '/',
      'Hello',
      '!!',
      '\t',
      'HTTPServer',
      ' ',
    ],
  ],
  [
    'llama-bpe',
    [
      'I',
      "'VE",
      ' don',
      "'t",
      ' ',
      ' ',
      '123',
      '45',
      ' \n\n',
      ' x',
      '=\u4e2d\u6587\u304b',
      '/Hello',
      '!!',
      '\tHTTPServer',
      ' ',
    ],
  ],
  [
    'qwen2',
    [
      'I',
      "'VE",
      ' don',
      "'t",
      ' ',
      ' ',
      '1',
      '2',
      '3',
      '4',
      '5',
      ' \n\n',
      ' x',
      '=\u4e2d\u6587\u304b',
      '/Hello',
      '!!',
      '\tHTTPServer',
      ' ',
    ],
  ],
  [
    'smollm',
    [
      'I',
      "'",
      'VE',
      ' don',
      "'t",
      '  ',
      '1',
      '2',
      '3',
      '4',
      '5',
      ' \n\n',
      ' x',
      '=',
      '\u4e2d\u6587\u304b',
      '/',
      'Hello',
      '!!',
      '\t',
      'HTTPServer',
      ' ',
    ],
  ],
  [
    'tekken',
    [
      'I',
      "'VE",
      ' don',
      "'t",
      ' ',
      ' ',
      '1',
      '2',
      '3',
      '4',
      '5',
      ' \n\n',
      ' x',
      '=\u4e2d\u6587\u304b',
      '/Hello',
      '!!',
      '\tHTTPServer',
      ' ',
    ],
  ],
  [
    'gpt-4o',
    [
      "I'VE",
      " don't",
      ' ',
      ' ',
      '123',
      '45',
      ' \n\n',
      ' x',
      '=\u4e2d\u6587\u304b',
      '/Hello',
      '!!',
      '\tHTTPServer',
      ' ',
    ],
  ],
  [
    'deepseek-coder',
    [
      'I',
      "'",
      'VE',
      ' don',
      "'",
      't',
      '  ',
      '1',
      '2',
      '3',
      '4',
      '5',
      ' ',
      '\n',
      '\n',
      ' x',
      '=',
      '\u4e2d\u6587\u304b',
      '/',
      'Hello',
      '!!',
      '\tHTTPServer',
      ' ',
    ],
  ],
  [
    'deepseek-v3',
    [
      'I',
      "'VE",
      ' don',
      "'t",
      '  ',
      '123',
      '45',
      ' \n\n',
      ' x',
      '=',
      '\u4e2d\u6587\u304b',
      '/Hello',
      '!!',
      '\tHTTPServer',
      ' ',
    ],
  ],
];

for (const [name, expected] of WORDS) {
  test(`words of ${name}`, () => {
    assert.equal(createPreTokenizer(findPreTokenizer(name, 'file').splits)(TEXT, true), expected);
  });
}

test('an unknown pre-tokenizer is refused by name', () => {
  assert.throws(() => findPreTokenizer('bloom', 'x.gguf'), /x\.gguf.*"bloom"/);
});

test.run();
