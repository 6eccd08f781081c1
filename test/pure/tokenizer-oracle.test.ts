/**
 * The tokenizer against Hugging Face's: recorded ids of the Rust library for all that tokenizer.json may say, and the
 * JavaScript library on random Unicode for what real models say. (The latter cuts otherwise than the Rust library at
 * U+FEFF, and in a few steps that the former covers.)
 */
import { readFileSync } from 'node:fs';
import { Tokenizer as Oracle } from '@huggingface/tokenizers';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createTokenizer } from '../../engine/tokenizer.ts';
import { builtinPath, openCheckpoint } from '../../loaders/checkpoint.ts';
import { vocabFromTokenizerJson } from '../../loaders/vocab-json.ts';
import { seededRandom } from '../random.ts';
import { byteLevelJson, type Json, spmJson } from './small-tokenizers.ts';

interface Recorded {
  texts: string[];
  addedToBytes: Json[];
  addedToSpm: Json[];
  tokenizers: { name: string; base: 'bytes' | 'spm' | 'none'; changes: Json; ids: number[][] }[];
}

const recorded: Recorded = JSON.parse(readFileSync(new URL('tokenizers/expected.json', import.meta.url), 'utf8'));

function withAdded(json: Json, added: readonly Json[], changes: Json): Json {
  return { ...json, added_tokens: [...(json.added_tokens as Json[]), ...added], ...changes };
}

for (const { name, base, changes, ids } of recorded.tokenizers) {
  test(`ids of the Rust library: ${name}`, () => {
    const json =
      base === 'none'
        ? changes
        : base === 'bytes'
          ? withAdded(byteLevelJson(), recorded.addedToBytes, changes)
          : withAdded(spmJson(), recorded.addedToSpm, changes);
    const tokenizer = createTokenizer(vocabFromTokenizerJson(json, undefined, undefined, 'tokenizer.json'));
    assert.is(ids.length, recorded.texts.length);
    recorded.texts.forEach((text, i) => {
      assert.equal(tokenizer.encode(text, { bos: false }), ids[i], text);
    });
  });
}

/** Texts of one random test; the whole property takes more with FIRSTLIGHT_ORACLE_TEXTS. */
const TEXTS = Number(process.env.FIRSTLIGHT_ORACLE_TEXTS ?? 300);

const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const REST = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
const CASED =
  '[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|' +
  '[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*';
const bytesAfter = (Regex: string): Json => ({
  type: 'Sequence',
  pretokenizers: [
    { type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false },
    { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
  ],
});

/** What tokenizer.json files of these families say, around another vocabulary. */
const FAMILIES: Readonly<Record<string, Json>> = {
  'GPT-2': { pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true } },
  'Llama 3': { pre_tokenizer: bytesAfter(`${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|${REST}`) },
  Qwen2: {
    normalizer: { type: 'NFC' },
    pre_tokenizer: bytesAfter(`${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|${REST}`),
  },
  tekken: {
    pre_tokenizer: bytesAfter(`${CASED}|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${REST.slice(REST.indexOf('|') + 1)}`),
  },
};

const PARTS = [
  ...[
    'the ',
    'Once upon a time',
    ' ',
    '  ',
    '\n',
    '\r\n',
    '\t',
    "Jack's",
    "'LL",
    '123',
    '4',
    '.',
    '?!',
    '/',
    '\u{1f999}',
  ],
  ...[
    'e\u0301',
    '\u00e9',
    '\u6f22\u5b57',
    '\u00df',
    '\u{1f469}\u200d\u{1f467}',
    '\u00a0',
    '\u2028',
    '\ufffd',
    '<|end|>',
  ],
];

function randomText(random: () => number): string {
  const whole = (limit: number) => Math.floor(random() * limit);
  return Array.from({ length: whole(14) }, () => {
    if (random() < 0.6) return PARTS[whole(PARTS.length)]!;
    const code = whole([0x80, 0x800, 0xd800, 0x110000][whole(4)]!);
    const surrogate = code >= 0xd800 && code < 0xe000;
    return surrogate || code === 0xfeff ? 'x' : String.fromCodePoint(code);
  }).join('');
}

test(`random Unicode, ${TEXTS} texts a family: the built-in vocabulary with the words of others`, async () => {
  const checkpoint = await openCheckpoint(builtinPath());
  const vocab = await checkpoint.vocab();
  await checkpoint.close();
  assert.ok(vocab && vocab.segmentation.kind === 'pairs');
  const { merges } = vocab.segmentation;
  const special = vocab.added.map(({ id, text }) => ({ id, content: text, special: true, normalized: false }));
  const added = new Set(vocab.added.map((token) => token.id));
  const own = vocab.tokens.map((text, id) => [text, id] as const).filter(([, id]) => !added.has(id));
  const pairs = Array.from({ length: merges.length / 3 }, (_, rank) => [
    vocab.tokens[merges[3 * rank]!]!,
    vocab.tokens[merges[3 * rank + 1]!]!,
  ]);
  for (const [name, changes] of Object.entries(FAMILIES)) {
    const base = byteLevelJson({ added_tokens: special }, { vocab: Object.fromEntries(own), merges: pairs });
    const json = { ...base, ...changes };
    const tokenizer = createTokenizer(vocabFromTokenizerJson(json, undefined, undefined, 'tokenizer.json'));
    const oracle = new Oracle(json, {});
    const random = seededRandom(11);
    for (let i = 0; i < TEXTS; i++) {
      const text = randomText(random);
      const { ids } = oracle.encode(text, { add_special_tokens: false });
      assert.equal(tokenizer.encode(text, { bos: false }), ids, `${name}: ${JSON.stringify(text)}`);
      if (ids.length === 0) continue;
      const decoded = oracle.decode(ids, { skip_special_tokens: false, clean_up_tokenization_spaces: false });
      assert.is(tokenizer.decode(ids, { special: true }), decoded, name);
    }
  }
});

test.run();
