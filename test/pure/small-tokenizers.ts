/** Two vocabularies of a few tokens, in the shape of each file format, for tests that need no data. */
import type { GgufValue } from '../../loaders/gguf.ts';

export type Json = Record<string, unknown>;

const BYTE_MERGES = [
  'h e',
  'l l',
  'he ll',
  'hell o',
  '\u0120 w',
  'o r',
  '\u0120w or',
  '1 2',
  '12 3',
  "' s",
  "' S",
  '\u010a \u010a',
];

/** GPT-2's alphabet in the order of the bytes, so that the ids 0 .. 255 are bytes. */
export const BYTE_ALPHABET: readonly string[] = Array.from({ length: 256 }, (_, byte) => {
  const hidden = [...Array(33).keys(), ...Array.from({ length: 34 }, (_, index) => 127 + index), 173];
  return String.fromCharCode(hidden.includes(byte) ? 256 + hidden.indexOf(byte) : byte);
});

function idsOf(tokens: readonly string[]): Record<string, number> {
  return Object.fromEntries(tokens.map((token, id) => [token, id]));
}

function added(id: number, content: string, flags: Json = {}): Json {
  return { id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true, ...flags };
}

/** tokenizer.json of a byte-level vocabulary: bytes 0 .. 255, merges 256 .. 267, <|bos|> 268, <|end|> 269, <think> 270. */
export function byteLevelJson(changes: Json = {}, modelChanges: Json = {}): Json {
  const tokens = [...BYTE_ALPHABET, ...BYTE_MERGES.map((merge) => merge.replace(' ', ''))];
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [added(268, '<|bos|>'), added(269, '<|end|>'), added(270, '<think>', { special: false })],
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      vocab: idsOf(tokens),
      merges: BYTE_MERGES,
      ...modelChanges,
    },
    ...changes,
  };
}

const SPM_PIECES = [
  ...['\u2581', 'h', 'e', 'l', 'o', 'w', 'r', 'd', '<', '/', 's', '>', '\u00e9', '\u4e2d'],
  ...['he', 'll', 'or', '\u2581w', 'hell', 'hello', '\u2581hello', '\u2581wor', '\u2581\u2581', 'ld'],
];
export const SPM_TOKENS: readonly string[] = [
  ...['<unk>', '<s>', '</s>'],
  ...Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`),
  ...SPM_PIECES,
];

/** tokenizer.json of a SentencePiece-style vocabulary: <unk> 0, <s> 1, </s> 2, bytes 3 .. 258, pieces 259 .. 282. */
export function spmJson(changes: Json = {}, modelChanges: Json = {}): Json {
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [added(0, '<unk>'), added(1, '<s>'), added(2, '</s>')],
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'Prepend', prepend: '\u2581' },
        { type: 'Replace', pattern: { String: ' ' }, content: '\u2581' },
      ],
    },
    pre_tokenizer: null,
    post_processor: {
      type: 'TemplateProcessing',
      single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
      pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
      special_tokens: { '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] } },
    },
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '\u2581' }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        { type: 'Strip', content: ' ', start: 1, stop: 0 },
      ],
    },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: '<unk>',
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: true,
      vocab: idsOf(SPM_TOKENS),
      merges: [
        ['h', 'e'],
        ['l', 'l'],
        ['o', 'r'],
        ['\u2581', 'w'],
        ['he', 'll'],
        ['hell', 'o'],
        ['\u2581', 'hello'],
        ['\u2581w', 'or'],
        ['\u2581', '\u2581'],
        ['l', 'd'],
      ],
      ...modelChanges,
    },
    ...changes,
  };
}

/** Metadata of a GGUF file with the same vocabulary, pieces by score. */
export function spmMetadata(changes: Record<string, GgufValue | undefined> = {}): Map<string, GgufValue> {
  const types = SPM_TOKENS.map((_, id) => (id === 0 ? 2 : id < 3 ? 3 : id < 259 ? 6 : 1));
  return metadata({
    model: 'llama',
    tokens: SPM_TOKENS,
    scores: Float32Array.from(SPM_TOKENS, (_, id) => (id < 259 ? 0 : 258 - id)),
    token_type: Int32Array.from(types),
    bos_token_id: 1,
    eos_token_id: 2,
    unknown_token_id: 0,
    ...changes,
  });
}

/** Metadata of a GGUF file with byteLevelJson's vocabulary. */
export function byteLevelMetadata(changes: Record<string, GgufValue | undefined> = {}): Map<string, GgufValue> {
  const tokens = [
    ...BYTE_ALPHABET,
    ...BYTE_MERGES.map((merge) => merge.replace(' ', '')),
    '<|bos|>',
    '<|end|>',
    '<think>',
  ];
  return metadata({
    model: 'gpt2',
    pre: 'gpt-2',
    tokens,
    merges: BYTE_MERGES,
    token_type: Int32Array.from(tokens, (_, id) => (id < 268 ? 1 : id < 270 ? 3 : 4)),
    bos_token_id: 268,
    eos_token_id: 269,
    ...changes,
  });
}

function metadata(fields: Record<string, GgufValue | undefined>): Map<string, GgufValue> {
  const map = new Map<string, GgufValue>();
  for (const [key, value] of Object.entries(fields)) if (value !== undefined) map.set(`tokenizer.ggml.${key}`, value);
  return map;
}
