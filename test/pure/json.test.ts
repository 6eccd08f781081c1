import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseJson } from '../../loaders/json.ts';
import { expectError } from './expect-error.ts';

const test = suite('json');

const parse = (text: string) => parseJson(Buffer.from(text), 'x.json');

test('JSON comes back', () => {
  const texts = [
    '1',
    '"{[\\"a\\":"',
    '[]',
    '{"a":{"b":1},"c":[{"b":2}]}',
    '{"a\\"b":1,"a":2}',
    '{"\\\\":1,"b":"\\\\"}',
    ' {} ',
  ];
  for (const text of texts) assert.equal(parse(text), JSON.parse(text));
  assert.equal(parse('\ufeff{"a":1}'), { a: 1 });
});

test('a key may stand once in the outermost object, however it is written', async () => {
  for (const text of [
    '{"a":1,"a":2}',
    '{"a":1,"b":[{}],"\\u0061"\n\t:1}',
    '{"\\"":1,"\\"":2}',
    '{"a":"a","b":"\\\\","a":1}',
  ]) {
    await expectError(() => parse(text), 'bad-file', /appears twice/);
  }
  parse('{"a":"a","b":["a","a"],"c":{"a":1,"a":2}}');
});

test('64 levels are read, 65 are not', async () => {
  const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);
  parse(nested(64));
  await expectError(() => parse(nested(65)), 'bad-file', /nested more than 64 deep/);
  parse(`"${'['.repeat(100)}"`);
});

test('wrong texts are refused in one line', async () => {
  for (const text of ['', '{', '{"a":\n\n}', '"', '"\\', '{"a"', 'nul', '[1,]', '\0']) {
    await expectError(() => parse(text), 'bad-file', /^x\.json is no valid JSON/);
  }
  await expectError(() => parseJson(Uint8Array.of(0x22, 0xff, 0x22), 'x.json'), 'bad-file', /no UTF-8/);
});

test.run();
