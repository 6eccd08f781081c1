/**
 * tokenizer.model files against the ids that SentencePiece 0.1.97 gives. The models in sentencepiece/ were trained by it
 * on the storyteller's corpus: with user defined symbols, normalisation rules and byte fallback; a third of the pieces of
 * `bpe` and `unigram` were then marked unused.
 */
import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createTokenizer } from '../../engine/tokenizer.ts';
import { readCharsMap } from '../../loaders/charsmap.ts';
import { readFields } from '../../loaders/protobuf.ts';
import { type Beside, vocabFromSentencePiece } from '../../loaders/vocab-sentencepiece.ts';
import { expectError } from './expect-error.ts';
import { hasSharedData, readSharedJson, reportSkipped, sharedPath } from './shared-data.ts';

interface Expected {
  texts: string[];
  ids: Record<string, number[][]>;
}

const folder = new URL('sentencepiece/', import.meta.url);
const readModel = (name: string) => readFileSync(new URL(`${name}.model`, folder));
const expected: Expected = JSON.parse(readFileSync(new URL('expected.json', folder), 'utf8'));

function read(bytes: Uint8Array, beside: Partial<Beside> = {}) {
  const none = { tokenizerConfig: {}, generationConfig: {}, addedTokens: {} };
  return vocabFromSentencePiece(bytes, { ...none, ...beside }, 'tokenizer.model');
}

for (const [name, ids] of Object.entries(expected.ids)) {
  test(`ids of ${name}`, () => {
    const tokenizer = createTokenizer(read(readModel(name)));
    assert.is(ids.length, expected.texts.length);
    expected.texts.forEach((text, i) => {
      assert.equal(tokenizer.encode(text, { special: false, bos: false }), ids[i], text);
    });
  });
}

test('text comes back, but for what the rules change', () => {
  const tokenizer = createTokenizer(read(readModel('bpe-plain')));
  const texts = expected.texts.filter((text) => !text.includes('\u2581'));
  assert.ok(texts.length > 50);
  for (const text of texts) assert.is(tokenizer.decode(tokenizer.encode(text, { special: false })), text);
  const bytes = createTokenizer(read(readModel('unigram-bytes')));
  for (const text of texts) assert.is(bytes.decode(bytes.encode(text, { special: false })), text);
});

test('control tokens, and what the files beside it say', () => {
  const plain = read(readModel('bpe'));
  assert.equal([plain.bos, plain.eos, plain.unknown, plain.addBos], [1, [2], 0, true]);
  const end = plain.tokens.length;
  const vocab = read(readModel('bpe'), {
    tokenizerConfig: {
      bos_token: { content: '<|start|>' },
      eos_token: '<|im_end|>',
      add_bos_token: false,
      chat_template: '{{ x }}',
      added_tokens_decoder: {
        0: { content: '<unk>', special: true },
        [end]: { content: '<|start|>', special: true },
        [end + 2]: { content: '<tool>', lstrip: true },
      },
    },
    addedTokens: { '<|im_end|>': end + 1 },
    generationConfig: { eos_token_id: [2, end + 1] },
  });
  assert.equal([vocab.bos, vocab.eos, vocab.addBos, vocab.chatTemplate], [end, [end + 1, 2], false, '{{ x }}']);
  const tokenizer = createTokenizer(vocab);
  assert.is(tokenizer.vocabSize, end + 3);
  const ids = tokenizer.encode('<|start|>x  <tool><|im_end|>');
  assert.equal([ids[0], ...ids.slice(-2)], [end, end + 2, end + 1]);
  assert.not.ok(
    tokenizer.encode('<|start|><|im_end|></s><s><0x0A>', { special: false }).some((id) => id >= end || id < 13),
    'nothing of that from plain text',
  );
});

/** A message of the wire format; numbers are varints below 128. */
function message(...fields: readonly (readonly [number: number, value: number | string | Uint8Array])[]): Buffer {
  return Buffer.concat(
    fields.map(([number, value]) => {
      if (typeof value === 'number') return Buffer.from([number << 3, value]);
      const bytes = Buffer.from(value);
      return Buffer.concat([Buffer.from([(number << 3) | 2, bytes.length]), bytes]);
    }),
  );
}

test('a user defined symbol that ends a turn is a control token', () => {
  for (const modelType of [1, 2]) {
    const letters = [...'<end_oftur>'].map((letter) => message([1, letter]));
    const pieces = [message([1, '<unk>'], [3, 2]), message([1, '<end_of_turn>'], [3, 4]), ...letters];
    const model = message(...pieces.map((piece) => [1, piece] as const), [2, message([3, modelType])]);
    const tokenizer = createTokenizer(read(model));
    assert.equal(tokenizer.eos, [1]);
    assert.equal(tokenizer.encode('<end_of_turn>'), [1]);
    const spelt = tokenizer.encode('<end_of_turn>', { special: false });
    assert.not.ok(spelt.includes(1), spelt.join());
    assert.is(tokenizer.decode(spelt), '<end_of_turn>');
  }
});

test('what is no such model is refused', async () => {
  const refuses = (bytes: Uint8Array, what: RegExp, beside: Partial<Beside> = {}) =>
    expectError(() => read(bytes, beside), 'bad-tokenizer', what);
  await refuses(new Uint8Array(), /no pieces/);
  await refuses(Buffer.from('hello world, this is text'), /no protocol buffer/);
  await refuses(Buffer.from('IQ== 0\nIg== 1\nIw== 2\n'), /tiktoken.*tokenizer\.json/);
  const models = (...pieces: readonly Buffer[]) => message(...pieces.map((piece) => [1, piece] as const));
  const unknown = message([1, 'u'], [3, 2]);
  const letter = message([1, 'a']);
  await refuses(models(letter), /not exactly one unknown token/);
  await refuses(models(unknown, message([1, 'v'], [3, 2])), /not exactly one unknown token/);
  await refuses(models(unknown, message([3, 1])), /piece 1 has no text/);
  await refuses(models(unknown, message([1, 'a'], [3, 9])), /piece 1 has the type 9/);
  const infinite = Buffer.concat([letter, Buffer.from([0x15, 0, 0, 0x80, 0x7f])]);
  await refuses(models(unknown, infinite), /the score Infinity/);
  await refuses(models(unknown, message([1, 'u'])), /"u" is there twice/);
  await refuses(Buffer.concat([models(unknown), message([2, message([3, 3])])]), /model type 3/);
  await refuses(Buffer.concat([models(unknown), message([2, Buffer.from([0x98, 0x02, 1])])]), /0 byte tokens/);
  const beyond = { addedTokens: { '<x>': 1e9 } };
  await refuses(models(unknown), /"<x>" with the id 1000000000/, beyond);
  await refuses(models(unknown), /add "<x>" as 0, which is "u"/, { addedTokens: { '<x>': 0 } });
});

test('the wire format', async () => {
  const fields = readFields(Buffer.from([0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]), 'x');
  assert.is(fields.get(1), -1);
  assert.equal([...readFields(Buffer.from([0x12, 2, 7, 8, 0x12, 1, 9]), 'x')], [[2, Buffer.from([9])]]);
  assert.is((readFields(Buffer.from([0x09, 1, 2, 3, 4, 5, 6, 7, 8]), 'x').get(1) as Uint8Array).length, 8);
  for (const bytes of [[0x08], [0x08, 0x80], [0x12, 5, 1], [0x0d, 1], [0x0b], [0x00], Array(11).fill(0x80)])
    await expectError(() => readFields(Buffer.from(bytes), 'x'), 'bad-tokenizer', /no protocol buffer/);
});

test('normalisation rules', async () => {
  for (const bytes of [
    [],
    [1],
    [0, 0, 0, 0, 1],
    [8, 0, 0, 0, 1, 2, 3, 4],
    [3, 0, 0, 0, 1, 2, 3],
    [4, 0, 0, 0, 0, 0, 0, 0, 65],
  ])
    await expectError(() => readCharsMap(Buffer.from(bytes), 'x'), 'bad-tokenizer', /normalisation rules/);
});

const shared = hasSharedData ? test : test.skip;

shared('Mistral v1 and OpenLlama', () => {
  for (const [file, path] of [
    ['spm_mistral_v1', 'mistral/tokenizer.model.v1'],
    ['spm_openllama', 'openllama/tokenizer.model'],
  ]) {
    const { cases } = readSharedJson(`tokenizer-expected/${file}.json`) as {
      cases: { text: string; ids: number[]; decoded: string }[];
    };
    const tokenizer = createTokenizer(read(readFileSync(sharedPath(`tokenizers/${path}`))));
    assert.is(cases.length, 123);
    for (const { text, ids, decoded } of cases) {
      assert.equal(tokenizer.encode(text, { special: false, bos: false }), ids, text);
      assert.is(tokenizer.decode(ids), decoded, text);
    }
  }
});

shared("SentencePiece's own test model: unigram with the rules of NFKC", () => {
  const tokenizer = createTokenizer(read(readFileSync(sharedPath('tokenizers/sentencepiece/test_model.model'))));
  assert.is(tokenizer.vocabSize, 1000);
  const cases: [string, number[]][] = [
    ['Hello world.', [151, 88, 21, 887, 6]],
    ['I have a pen.', [9, 76, 11, 68, 98, 6]],
    ['  \u00bd \ufb01ne \uff21\u2460\u337f  ', [4, 357, 0, 596, 706, 104, 357, 0]],
    ['e\u0301 \ud55c\uae00 \u1112\u1161\u11ab \ufdfa', [4, 0, 4, 0, 4, 0, 4, 0, 4, 0, 4, 0, 4, 0]],
    ['tokyo\u3000\u6771\u4eac\t\n x', [10, 46, 34, 21, 4, 0, 4, 297]],
  ];
  for (const [text, ids] of cases) assert.equal(tokenizer.encode(text, { special: false, bos: false }), ids, text);
});

if (!hasSharedData) reportSkipped('sentencepiece.test.ts', 2);

test.run();
