/** A vocabulary of a test's own: as much of a tokenizer as grammars and text streams want to know. */
import type { Tokenizer } from '../engine/tokenizer.ts';
import type { Random } from './kernel.ts';

/** Tokens by their bytes; the last id ends an answer. */
export function tokenizerOf(tokens: readonly (string | Uint8Array)[]): Tokenizer {
  const bytes = tokens.map((token) => (typeof token === 'string' ? Buffer.from(token) : token));
  const end = bytes.length;
  return {
    vocabSize: end + 1,
    bos: undefined,
    eos: [end],
    addBos: false,
    specialTexts: ['<end>'],
    encode: () => [],
    decode: (ids) => Buffer.concat(ids.filter((id) => id < end).map((id) => bytes[id]!)).toString(),
    decoder: () => ({ push: (id) => bytes[id]!.toString(), end: () => '' }),
    bytes: (id) => bytes[id] ?? new Uint8Array(0),
    isSpecial: (id) => id === end,
  };
}

/** All single bytes, what JSON is often cut into, and pairs of words, up to `count` tokens. */
export function jsonVocabulary(count: number, random: Random): Uint8Array[] {
  const tokens = new Map<string, Uint8Array>();
  const add = (bytes: Uint8Array) => tokens.set(Buffer.from(bytes).toString('latin1'), bytes);
  for (let byte = 0; byte < 256; byte++) add(Uint8Array.of(byte));
  const parts = [
    '"',
    '":',
    '": "',
    '", "',
    '",',
    '"}',
    '"]',
    '{"',
    '["',
    '[{"',
    '"},{"',
    '}, {',
    '}]',
    '},',
    ']}',
    ': [',
  ];
  const more = [
    '\n  "',
    '\n}',
    '\\"',
    '\\n',
    '\\u00',
    'true',
    'false',
    'null',
    '10',
    '123',
    '0.5',
    '-1',
    'e+',
    '2024',
    '-01',
    'abc',
    ' ',
  ];
  for (const part of [...parts, ...more]) add(Buffer.from(part));
  for (let length = 2; length < 128; length++) add(Buffer.from(' '.repeat(length)));
  const letters = 'aeiournstlmdkgbhpfzcvw\u00e9\u00fc\u0434\u4e2d';
  const word = () =>
    Array.from({ length: 1 + random.below(6) }, () => [...letters][random.below(letters.length)]).join('');
  while (tokens.size < count)
    add(Buffer.from(`${random.below(3) === 0 ? '' : ' '}${word()}${random.below(4) === 0 ? word() : ''}`));
  return [...tokens.values()];
}
