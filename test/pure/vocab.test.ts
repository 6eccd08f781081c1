/** Reading vocabularies: what is understood, and how what does not fit is refused. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { GgufValue } from '../../loaders/gguf.ts';
import type { Vocab } from '../../loaders/types.ts';
import { vocabFromGguf } from '../../loaders/vocab-gguf.ts';
import { vocabFromTokenizerJson } from '../../loaders/vocab-json.ts';
import { expectError } from './expect-error.ts';
import { byteLevelJson, byteLevelMetadata, type Json, SPM_TOKENS, spmJson, spmMetadata } from './small-tokenizers.ts';

/** One line: where, what, what to do. */
function saying(what: RegExp): RegExp {
  return new RegExp(`^some\\.file: .*(?:${what.source}).*; .+$`);
}

async function refusesJson(json: unknown, what: RegExp): Promise<void> {
  await expectError(
    () => vocabFromTokenizerJson(json, undefined, undefined, 'some.file'),
    'bad-tokenizer',
    saying(what),
  );
}

async function refusesGguf(metadata: Map<string, GgufValue>, what: RegExp): Promise<void> {
  await expectError(() => vocabFromGguf(metadata, 'some.file'), 'bad-tokenizer', saying(what));
}

test('tokenizer.json: what configuration files add', () => {
  const read = (config: unknown, generation: unknown, json: Json = byteLevelJson()) =>
    vocabFromTokenizerJson(json, config, generation, 'some.file');
  const none = read(undefined, undefined);
  assert.is(none.bos, undefined);
  assert.equal(none.eos, [269], 'known by its name');
  assert.is(none.addBos, false);
  assert.is(none.chatTemplate, undefined);

  const config = { bos_token: '<|bos|>', eos_token: { content: '<|end|>', __type: 'AddedToken' }, add_bos_token: true };
  const full = read(
    { ...config, chat_template: '{{ x }}' },
    { bos_token_id: 5, eos_token_id: [269, 10, -1, 'x', 1e9] },
  );
  assert.is(full.bos, 268);
  assert.equal(full.eos, [269, 10], 'ids that are none are left out');
  assert.is(full.addBos, true);
  assert.is(full.chatTemplate, '{{ x }}');
  assert.is(read({ ...config, add_bos_token: false }, undefined).addBos, false);

  const named = [
    { name: 'tool_use', template: 'a' },
    { name: 'default', template: 'b' },
  ];
  const { chatTemplate, toolTemplate } = read({ chat_template: named }, undefined);
  assert.equal([chatTemplate, toolTemplate], ['b', 'a']);
  assert.is(read(undefined, { bos_token_id: 7 }).bos, 7);

  const spm = read({ add_bos_token: false }, undefined, spmJson());
  assert.is(spm.bos, 1, 'from the post_processor');
  assert.is(spm.addBos, false);
  assert.is(read(undefined, undefined, spmJson()).addBos, true);
});

test('tokens that end answers are known by name, and control tokens whatever their flag says', () => {
  const added_tokens = [
    { id: 268, content: '<|im_end|>', special: false },
    { id: 269, content: '<|im_start|>', special: false },
    { id: 270, content: '<tool>', special: false },
    { id: 271, content: '<begin>', special: false },
  ];
  const vocab = vocabFromTokenizerJson(byteLevelJson({ added_tokens }), { bos_token: '<begin>' }, {}, 'some.file');
  assert.equal(vocab.eos, [268]);
  assert.equal(
    vocab.added.map((token) => token.special),
    [true, true, false, true],
  );
});

test('tokenizer.json: older and newer ways to write the same', () => {
  const { model } = spmJson() as { model: { merges: [string, string][] } };
  const plain = vocabFromTokenizerJson(spmJson(), undefined, undefined, 'some.file');
  const joined = spmJson({}, { merges: model.merges.map((pair) => pair.join(' ')), type: undefined });
  assert.equal(vocabFromTokenizerJson(joined, undefined, undefined, 'some.file'), plain);
  const metaspace = (fields: Json) => {
    const pre_tokenizer = { type: 'Metaspace', replacement: '\u2581', split: false, ...fields };
    return vocabFromTokenizerJson(
      spmJson({ normalizer: null, pre_tokenizer, decoder: null }),
      undefined,
      undefined,
      'some.file',
    );
  };
  assert.equal(metaspace({ add_prefix_space: true }), metaspace({ prepend_scheme: 'always' }));
  assert.equal(metaspace({ add_prefix_space: false }), metaspace({ prepend_scheme: 'never' }));
  assert.equal(metaspace({}), metaspace({ prepend_scheme: 'always' }));
});

test('tokenizer.json that is none', async () => {
  for (const json of [undefined, null, 7, 'x', [], {}]) await refusesJson(json, /tokenizer\.json|no model/);
});

test('tokenizer.json: vocabularies that do not fit', async () => {
  const model = (changes: Json) => byteLevelJson({}, changes);
  const { vocab, merges } = (byteLevelJson() as { model: { vocab: Record<string, number>; merges: string[] } }).model;
  await refusesJson(model({ vocab: {} }), /empty/);
  await refusesJson(model({ vocab: [] }), /no vocabulary/);
  assert.is(vocabFromTokenizerJson(model({ vocab: { ...vocab, more: 300 } }), {}, {}, 'cut').tokens[271], '');
  await refusesJson(model({ vocab: { ...vocab, twin: 5 } }), /same id 5/);
  for (const id of [-1, 1.5, '7', null, 1e12])
    await refusesJson(model({ vocab: { ...vocab, odd: id } }), /"odd" has the id/);
  await refusesJson(byteLevelJson({ added_tokens: [{ id: 5, content: '<x>' }] }), /same id 5/);
  await refusesJson(
    byteLevelJson({ added_tokens: [{ id: 268, content: 'hello' }] }),
    /"hello" is there twice, as 259 and 268/,
  );
  for (const token of [{ id: 268 }, { content: 'x' }, { id: 1e9, content: 'x' }, { id: 268, content: '' }, 'x']) {
    await refusesJson(byteLevelJson({ added_tokens: [token] }), /added token/);
  }
  await refusesJson(byteLevelJson({ added_tokens: {} }), /added_tokens/);
  await refusesJson(model({ merges: 'h e' }), /no list of merges/);
  await refusesJson(model({ merges: [...merges, 'q unknown'] }), /merge 12 names "unknown"/);
  await refusesJson(model({ merges: [...merges, ['q', 'r']] }), /merge 12 names "qr"/);
  for (const merge of ['he', 7, ['h'], ['h', 'e', 'l'], [1, 2], null])
    await refusesJson(model({ merges: [merge] }), /merge 0 is not a pair/);
});

test('tokenizer.json: what firstlight does not have is refused by name', async () => {
  for (const type of ['WordPiece', 'WordLevel']) await refusesJson(byteLevelJson({}, { type }), new RegExp(type));
  await refusesJson(byteLevelJson({}, { continuing_subword_prefix: '##' }), /continuing_subword_prefix/);
  await refusesJson(byteLevelJson({}, { end_of_word_suffix: '</w>' }), /end_of_word_suffix/);
  await refusesJson(byteLevelJson({}, { dropout: 0.1 }), /dropout/);
  await refusesJson(byteLevelJson({ normalizer: { type: 'BertNormalizer' } }), /normalizer BertNormalizer/);
  await refusesJson(byteLevelJson({ normalizer: { type: 'Replace', content: '' } }), /Replace without a pattern/);
  await refusesJson(byteLevelJson({ normalizer: { type: 'Sequence' } }), /Sequence without normalizers/);
  const pre = (...pretokenizers: unknown[]) => byteLevelJson({ pre_tokenizer: { type: 'Sequence', pretokenizers } });
  const bytes = { type: 'ByteLevel', use_regex: false };
  await refusesJson(pre({ type: 'UnicodeScripts' }, bytes), /UnicodeScripts/);
  await refusesJson(pre(bytes, { type: 'Digits' }), /Digits after ByteLevel/);
  await refusesJson(pre({ type: 'Split', pattern: { Regex: '\\w' }, behavior: 'Isolated' }, bytes), /\\\\w/);
  await refusesJson(pre({ type: 'Punctuation', behavior: 'Doubled' }, bytes), /Punctuation with behavior Doubled/);
  await refusesJson(pre({ type: 'Metaspace', replacement: '_' }), /Metaspace with "_"/);
  await refusesJson(pre({ type: 'Metaspace', prepend_scheme: 'sometimes' }), /sometimes/);
  await refusesJson(pre({ type: 'Metaspace' }, bytes), /ByteLevel together/);
  await refusesJson(pre({ type: 'Digits' }), /without ByteLevel or Metaspace/);
  await refusesJson(pre(7), /pre_tokenizer without a type/);
  await refusesJson(byteLevelJson({ post_processor: { type: 'BertProcessing' } }), /BertProcessing/);
  const template = (single: unknown, special_tokens: unknown) => ({
    post_processor: { type: 'TemplateProcessing', single, special_tokens },
  });
  const token = { SpecialToken: { id: 'x' } };
  await refusesJson(byteLevelJson(template([token], {})), /undefined token x/);
  await refusesJson(byteLevelJson(template([token, token], { x: { ids: [1] } })), /several tokens/);
  await refusesJson(byteLevelJson(template([token], { x: { ids: [999] } })), /not there/);
});

test('GGUF: metadata', () => {
  const spm = vocabFromGguf(spmMetadata(), 'some.file');
  assert.is(spm.kind, 'spm');
  assert.equal(
    [spm.bos, spm.unknown, spm.addBos, spm.byteFallback, spm.stripSpacePrefix],
    [1, 0, true, true, 'first-token'],
  );
  assert.equal(spm.eos, [2]);
  assert.equal(
    spm.added.map((token) => token.text),
    ['<unk>', '<s>', '</s>'],
  );
  const bare = vocabFromGguf(
    spmMetadata({ bos_token_id: undefined, eos_token_id: undefined, token_type: undefined }),
    'some.file',
  );
  assert.equal([bare.bos, ...bare.eos], [1, 2], "SentencePiece's own numbers");
  const changed = spmMetadata({ add_space_prefix: false, add_bos_token: false, eot_token_id: 270, eos_token_id: 9999 });
  const other = vocabFromGguf(changed.set('tokenizer.chat_template', '{{ x }}'), 'some.file');
  assert.equal([other.addBos, other.stripSpacePrefix, other.chatTemplate], [false, 'none', '{{ x }}']);
  assert.equal(other.eos, [270], 'an id outside the vocabulary is none');

  const bytes = vocabFromGguf(byteLevelMetadata(), 'some.file');
  const takesWhole = ({ segmentation }: Vocab) => segmentation.kind === 'pairs' && segmentation.wholePieces;
  assert.equal([bytes.kind, bytes.bos, bytes.addBos, takesWhole(bytes)], ['bytes', 268, false, false]);
  assert.equal(
    bytes.added.map((token) => token.special),
    [true, true, false],
  );
  const llama3 = vocabFromGguf(byteLevelMetadata({ pre: 'llama-bpe' }), 'some.file');
  assert.equal([llama3.addBos, takesWhole(llama3)], [true, true]);
  const unnamed = vocabFromGguf(byteLevelMetadata({ pre: undefined }), 'some.file');
  assert.is(unnamed.preTokenizers.length, 4, "llama.cpp's default");
});

test('GGUF: metadata that do not fit', async () => {
  await refusesGguf(new Map(), /tokenizer "none"/);
  for (const model of ['bert', 't5', 'rwkv', 7]) await refusesGguf(spmMetadata({ model }), /is not supported/);
  await refusesGguf(byteLevelMetadata({ pre: 'bloom' }), /"bloom"/);
  await refusesGguf(spmMetadata({ tokens: undefined }), /tokens is not a list of strings/);
  await refusesGguf(spmMetadata({ tokens: ['a', 7] }), /tokens is not a list of strings/);
  await refusesGguf(spmMetadata({ tokens: new Float32Array(3) }), /tokens is not a list of strings/);
  await refusesGguf(spmMetadata({ tokens: [] }), /has 0 entries/);
  await refusesGguf(spmMetadata({ tokens: SPM_TOKENS.with(5, 'hello') }), /"hello" is there twice/);
  await refusesGguf(spmMetadata({ scores: undefined }), /scores is not a list of numbers/);
  await refusesGguf(spmMetadata({ scores: 'x' }), /scores is not a list of numbers/);
  await refusesGguf(spmMetadata({ scores: new Float32Array(7) }), /scores has 7 entries for 283 tokens/);
  await refusesGguf(spmMetadata({ scores: new Float32Array(283).fill(Number.NaN) }), /no numbers/);
  await refusesGguf(spmMetadata({ token_type: new Int32Array(282) }), /token_type has 282 entries/);
  await refusesGguf(spmMetadata({ token_type: ['x'] }), /token_type is not a list of numbers/);
  await refusesGguf(byteLevelMetadata({ merges: undefined }), /merges is not a list of strings/);
  await refusesGguf(byteLevelMetadata({ merges: ['h e', 'h q'] }), /merge 1 names "hq"/);
  await refusesGguf(byteLevelMetadata({ merges: ['he'] }), /merge 0 is not a pair/);
});

test.run();
