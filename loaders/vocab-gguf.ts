/** Reads a tokenizer in a GGUF file's metadata. */
import { FirstlightError } from '../quant/errors.ts';
import type { GgufValue } from './gguf.ts';
import { findPreTokenizer } from './pre-tokenizers.ts';
import { SPACE_SIGN } from './tokenizer-pipeline.ts';
import type { AddedToken, Normalizer, Segmentation, Vocab } from './types.ts';
import { answerEnds, createIds, fail, isId, MAX_TOKENS, markSpecial, readMerges } from './vocab.ts';

// Token types, tokenizer.ggml.token_type.
const UNKNOWN = 2;
const CONTROL = 3;
const USER_DEFINED = 4;

/**
 * Reads the tokenizer in a GGUF file's metadata: `tokenizer.ggml.model` llama (SentencePiece with scores) or gpt2 (byte-level).
 * @param metadata the file's metadata by key
 * @param file path or name, for messages
 * @throws FirstlightError 'bad-tokenizer' when the metadata are damaged, incomplete or of another kind
 */
export function vocabFromGguf(metadata: ReadonlyMap<string, GgufValue>, file: string): Vocab {
  const get = (key: string) => metadata.get(`tokenizer.ggml.${key}`);
  const model = get('model');
  if (model !== 'llama' && model !== 'gpt2') {
    throw new FirstlightError(
      'bad-tokenizer',
      `${file}: the tokenizer ${JSON.stringify(model ?? 'none')} (tokenizer.ggml.model) is not supported, only llama and gpt2 are; use another GGUF file of the model`,
    );
  }
  const spm = model === 'llama';
  const tokens = readStrings(get('tokens'), 'tokens', file);
  if (tokens.length === 0 || tokens.length > MAX_TOKENS)
    fail(file, `tokenizer.ggml.tokens has ${tokens.length} entries`);
  const ids = createIds(tokens, file);
  const types =
    get('token_type') === undefined ? undefined : readNumbers(get('token_type'), 'token_type', tokens.length, file);
  const id = (key: string, otherwise?: number): number | undefined => {
    const value = get(`${key}_token_id`) ?? otherwise;
    return isId(value, tokens.length) ? value : undefined;
  };
  const flag = (key: string, otherwise: boolean): boolean => {
    const value = get(key);
    return typeof value === 'boolean' ? value : otherwise;
  };
  const preName = get('pre') ?? 'default';
  const pre = spm ? undefined : findPreTokenizer(typeof preName === 'string' ? preName : String(preName), file);
  const segmentation: Segmentation = spm
    ? { kind: 'scores', scores: readScores(get('scores'), tokens.length, file), whole: new Set(), unused: new Set() }
    : {
        kind: 'pairs',
        merges: readMerges(readStrings(get('merges'), 'merges', file), ids, file),
        wholePieces: pre?.wholePieces ?? false,
      };
  const spacePrefix = spm && flag('add_space_prefix', true);
  // SentencePiece's own numbers where the file has none.
  const bos = id('bos', spm ? 1 : undefined);
  const unknown = id('unknown', spm ? 0 : undefined);
  const added = addedByType(tokens, types, metadata.get('general.name'));
  const eos = answerEnds([id('eos', spm ? 2 : undefined), id('eot'), id('eom')], added);
  const textOf = (key: string) => {
    const value = metadata.get(key);
    return typeof value === 'string' ? value : undefined;
  };
  return {
    kind: spm ? 'spm' : 'bytes',
    tokens,
    segmentation,
    added: markSpecial(added, bos, eos),
    byteFallback: spm && ids.has('<0x00>'),
    unknown,
    fuseUnknown: spm,
    normalizers: spm ? spaceSigns(spacePrefix) : [],
    preTokenizers: pre?.splits ?? [],
    stripSpacePrefix: spacePrefix ? 'first-token' : 'none',
    bos,
    eos,
    addBos: flag('add_bos_token', pre?.addBos ?? true) && bos !== undefined,
    chatTemplate: textOf('tokenizer.chat_template'),
    toolTemplate: textOf('tokenizer.chat_template.tool_use'),
    modelName: textOf('general.name'),
  };
}

function readScores(value: GgufValue | undefined, tokens: number, file: string): Float32Array {
  const scores = Float32Array.from(readNumbers(value, 'scores', tokens, file));
  if (scores.some(Number.isNaN)) fail(file, 'tokenizer.ggml.scores has values that are no numbers');
  return scores;
}

function spaceSigns(prefix: boolean): Normalizer[] {
  const replace: Normalizer = { kind: 'replace', pattern: ' ', text: SPACE_SIGN };
  return prefix ? [{ kind: 'prepend', text: ' ' }, replace] : [replace];
}

function addedByType(tokens: readonly string[], types: ArrayLike<number> | undefined, name: unknown): AddedToken[] {
  // GGUF has no place for rstrip; Phi-3's control tokens need it (as llama.cpp does, by the model's name).
  const phi3 = typeof name === 'string' && /phi-?3/i.test(name);
  const added: AddedToken[] = [];
  tokens.forEach((text, id) => {
    const type = types?.[id];
    if (text === '' || (type !== UNKNOWN && type !== CONTROL && type !== USER_DEFINED)) return;
    const rstrip = phi3 && text !== '<unk>' && text !== '<s>' && text !== '<|endoftext|>';
    added.push({
      id,
      text,
      special: type !== USER_DEFINED,
      lstrip: false,
      rstrip,
      singleWord: false,
      normalized: false,
    });
  });
  return added;
}

function readStrings(value: GgufValue | undefined, key: string, file: string): string[] {
  if (!Array.isArray(value) || !value.every((one) => typeof one === 'string'))
    fail(file, `tokenizer.ggml.${key} is not a list of strings`);
  return value;
}

function readNumbers(value: GgufValue | undefined, key: string, length: number, file: string): ArrayLike<number> {
  const typed =
    value instanceof Float32Array ||
    value instanceof Float64Array ||
    value instanceof Int32Array ||
    value instanceof Uint32Array;
  if (!typed) fail(file, `tokenizer.ggml.${key} is not a list of numbers`);
  if (value.length !== length) fail(file, `tokenizer.ggml.${key} has ${value.length} entries for ${length} tokens`);
  return value;
}
