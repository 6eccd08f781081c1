/**
 * GGUF files do not hold the regular expressions that cut a text into words; they name them in `tokenizer.ggml.pre`.
 * The expressions are those of the models' own tokenizer.json files, under the names that llama.cpp gave them.
 */
import { FirstlightError } from '../quant/errors.ts';
import { convertRegex } from './split-regex.ts';
import { GPT2_SPLIT, isolate } from './tokenizer-pipeline.ts';
import type { PreTokenizer } from './types.ts';

export interface NamedPreTokenizer {
  readonly splits: readonly PreTokenizer[];
  readonly wholePieces: boolean;
  /** What holds when the file has no `add_bos_token`. */
  readonly addBos: boolean;
}

const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const WORDS = '[^\\r\\n\\p{L}\\p{N}]?\\p{L}+';
const SIGNS = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*';
const SPACES = '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
const UPPER = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]';
const LOWER = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]';
const CASED = (tail: string) =>
  `[^\\r\\n\\p{L}\\p{N}]?${UPPER}*${LOWER}+${tail}|[^\\r\\n\\p{L}\\p{N}]?${UPPER}+${LOWER}*${tail}`;

const LLAMA3 = [`${CONTRACTIONS}|${WORDS}|\\p{N}{1,3}|${SIGNS}|${SPACES}`];
const QWEN2 = [`${CONTRACTIONS}|${WORDS}|\\p{N}|${SIGNS}|${SPACES}`];
const QWEN3_5 = [
  `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|${SPACES}`,
];
const TEKKEN = [`${CASED('')}|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${SPACES}`];
const GPT4O = [`${CASED(`${CONTRACTIONS}?`)}|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${SPACES}`];
const DIGITS_APART = ['\\p{N}', GPT2_SPLIT];
const DEEPSEEK_CODER = [
  '[\\r\\n]',
  '\\s?\\p{L}+',
  '\\s?\\p{P}+',
  '[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+',
  '\\p{N}',
];
const DEEPSEEK_3 = [
  '\\p{N}{1,3}',
  '[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+',
  `[!"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_\`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|${SPACES}`,
];
// What llama.cpp does for files that name nothing: close to the models' own cut, but not it.
const UNNAMED = ['[\\p{P}\\$\\+<=>\\^~\\|]+', GPT2_SPLIT, '\\p{N}+', '[0-9][0-9][0-9]'];

const SPLITS: ReadonlyMap<string, readonly string[]> = new Map([
  ['default', UNNAMED],
  ['gpt-2', [GPT2_SPLIT]],
  ['phi-2', [GPT2_SPLIT]],
  ['olmo', [GPT2_SPLIT]],
  ['mpt', [GPT2_SPLIT]],
  ['llama3', LLAMA3],
  ['llama-v3', LLAMA3],
  ['llama-bpe', LLAMA3],
  ['falcon3', LLAMA3],
  ['dbrx', LLAMA3],
  ['smaug-bpe', LLAMA3],
  ['qwen2', QWEN2],
  ['deepseek-r1-qwen', QWEN2],
  ['megrez', QWEN2],
  ['qwen35', QWEN3_5],
  ['stablelm2', QWEN2],
  ['smollm', DIGITS_APART],
  ['starcoder', DIGITS_APART],
  ['refact', DIGITS_APART],
  ['codeshell', DIGITS_APART],
  ['command-r', DIGITS_APART],
  ['minerva-7b', DIGITS_APART],
  ['tekken', TEKKEN],
  ['pixtral', TEKKEN],
  ['gpt-4o', GPT4O],
  ['llama4', GPT4O],
  ['deepseek-coder', DEEPSEEK_CODER],
  ['deepseek-v3', DEEPSEEK_3],
]);

const WHOLE_WORDS_FIRST: ReadonlySet<string> = new Set([
  'llama3',
  'llama-v3',
  'llama-bpe',
  'falcon3',
  'tekken',
  'pixtral',
]);

/**
 * The word cut that a byte-level GGUF file names.
 * @param name `tokenizer.ggml.pre`; 'default' where the file has none
 * @throws FirstlightError 'bad-tokenizer' with the name when firstlight does not know it
 */
export function findPreTokenizer(name: string, file: string): NamedPreTokenizer {
  const splits = SPLITS.get(name);
  if (splits === undefined) {
    throw new FirstlightError(
      'bad-tokenizer',
      `${file}: the pre-tokenizer ${JSON.stringify(name)} (tokenizer.ggml.pre) is unknown; use this model as safetensors with tokenizer.json`,
    );
  }
  const wholeWordsFirst = WHOLE_WORDS_FIRST.has(name);
  return {
    splits: splits.map((split) => isolate(convertRegex(split, file))),
    wholePieces: wholeWordsFirst,
    addBos: wholeWordsFirst,
  };
}
