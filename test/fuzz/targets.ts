/** What is fuzzed: for each kind of file a way to break a good one and to read the result to its end. */
import { randomUUID } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zipSync } from 'fflate';
import { CHAT_FAMILIES } from '../../engine/chat-families.ts';
import { renderChat } from '../../engine/chat-template.ts';
import { convertCheckpoint } from '../../engine/convert.ts';
import { createTokenizer } from '../../engine/tokenizer.ts';
import { openFolder, openGgufSource } from '../../loaders/checkpoint.ts';
import { openConverted } from '../../loaders/converted.ts';
import { zipFolder } from '../../loaders/folder.ts';
import { parseJson } from '../../loaders/json.ts';
import { memorySource } from '../../loaders/source.ts';
import type { Checkpoint, Vocab } from '../../loaders/types.ts';
import { vocabFromTokenizerJson } from '../../loaders/vocab-json.ts';
import { vocabFromSentencePiece } from '../../loaders/vocab-sentencepiece.ts';
import { FirstlightError } from '../../quant/errors.ts';
import { byteLevelJson, type Json, SPM_TOKENS, spmJson } from '../pure/small-tokenizers.ts';
import {
  configJson,
  encodeRows,
  ggufFile,
  memoryFolder,
  randomWeights,
  SMALL_LLAMA,
  safetensorsFolder,
} from '../random-model.ts';
import { groupFolder } from '../write-groups.ts';
import { mlcExport } from '../write-mlc.ts';
import { writePyTorch } from '../write-pytorch.ts';
import {
  ggufSpans,
  mutateBytes,
  mutateInteger,
  mutateJson,
  mutateMessage,
  mutatePickle,
  mutatePieces,
  pick,
  type Random,
  replacePieces,
} from './mutate.ts';

export interface Target {
  /** One broken file. */
  readonly make: (random: Random) => Uint8Array;
  /** Reads all of it; throws what the readers throw. */
  readonly read: (file: Uint8Array) => Promise<void>;
}

const CONFIG = { ...SMALL_LLAMA, layers: 1, hidden: 32, feedForward: 32, heads: 2, kvHeads: 1, vocab: 283 };
const WEIGHTS = randomWeights(CONFIG);
const FOLDER = safetensorsFolder(CONFIG, WEIGHTS, 'F16');
const TEXT = 'hello  world\n12 <s>\u00e9\u4e2d\u{1f999} ab\u2581<|im_end|> [INST] hello';

async function readCheckpoint(checkpoint: Checkpoint): Promise<void> {
  for (const { name, rows } of checkpoint.tensors.values()) await checkpoint.readRows(name, 0, rows);
  const vocab = await checkpoint.vocab();
  if (vocab) readVocab(vocab);
  await checkpoint.close();
}

function readVocab(vocab: Vocab): void {
  const tokenizer = createTokenizer(vocab);
  for (const special of [true, false]) tokenizer.decode(tokenizer.encode(TEXT, { special }), { special });
  tokenizer.decode([-1, 0, 1, 5, 282, 1e9]);
}

const openWith = (files: ReadonlyMap<string, Uint8Array>, name: string) => async (file: Uint8Array) =>
  readCheckpoint(await openFolder(memoryFolder(new Map(files).set(name, file))));

/** The bytes of a JSON file changed along its structure. */
const jsonOf = (file: Uint8Array): unknown => JSON.parse(Buffer.from(file).toString());

const types = SPM_TOKENS.map((_, id) => (id === 0 ? 2 : id < 3 ? 3 : id < 259 ? 6 : 1));
const GGUF = ggufFile(CONFIG, WEIGHTS, 'Q4_0', {
  metadata: [
    ['general.name', 'string', 'fuzzed'],
    ['tokenizer.ggml.model', 'string', 'llama'],
    ['tokenizer.ggml.tokens', 'string[]', SPM_TOKENS],
    ['tokenizer.ggml.scores', 'f32[]', SPM_TOKENS.map((_, id) => (id < 259 ? 0 : 258 - id))],
    ['tokenizer.ggml.token_type', 'i32[]', types],
    ['tokenizer.ggml.bos_token_id', 'u32', 1],
    ['tokenizer.ggml.eos_token_id', 'u32', 2],
    ['tokenizer.ggml.add_space_prefix', 'bool', true],
    ['tokenizer.chat_template', 'string', CHAT_FAMILIES.llama2],
  ],
});
const GGUF_SPANS = ggufSpans(GGUF);

const SAFETENSORS = FOLDER.get('model.safetensors')!;
const HEADER_BYTES = headerBytes(SAFETENSORS);

function headerBytes(file: Uint8Array): number {
  return new DataView(file.buffer, file.byteOffset).getUint32(0, true);
}

function withHeader(file: Uint8Array, header: Uint8Array): Uint8Array {
  const length = new Uint8Array(8);
  new DataView(length.buffer).setUint32(0, header.length, true);
  return Buffer.concat([length, header, file.subarray(8 + headerBytes(file))]);
}

const GROUPS = groupFolder(
  { ...CONFIG, hidden: 64, feedForward: 64, ropeDim: 32, headDim: 32 },
  { method: 'gptq', group: 32, order: (input, inputs) => input % (inputs / 32) },
).files;
const GROUP_TENSORS = GROUPS.get('model.safetensors')!;

/** What `firstlight convert` makes of the GGUF file. */
async function convertedFile(): Promise<Uint8Array> {
  const path = join(tmpdir(), `firstlight-fuzz-${randomUUID()}`);
  try {
    await convertCheckpoint(await openGgufSource(memorySource('model.gguf', GGUF)), path, 'native');
    return readFileSync(path);
  } finally {
    rmSync(path, { force: true });
  }
}
const CONVERTED = await convertedFile();

const scored = (piece: string, i: number) => [piece, -1 - i / 8];
const UNIGRAM: Json = spmJson(
  {
    normalizer: {
      type: 'Sequence',
      normalizers: [{ type: 'Replace', pattern: { Regex: ' {2,}' }, content: ' ' }, { type: 'NFKC' }],
    },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Digits', individual_digits: true },
        { type: 'Metaspace', replacement: '\u2581', prepend_scheme: 'first', split: true },
      ],
    },
  },
  { type: 'Unigram', unk_id: 0, byte_fallback: true, vocab: SPM_TOKENS.map(scored), merges: undefined },
);
const SPLIT: Json = byteLevelJson({
  pre_tokenizer: {
    type: 'Sequence',
    pretokenizers: [
      {
        type: 'Split',
        pattern: { Regex: "(?i:'s|'t)|[^\\r\\n\\p{L}]?\\p{L}+|\\p{N}{1,3}|\\s+(?!\\S)|\\s+" },
        behavior: 'Isolated',
        invert: false,
      },
      { type: 'ByteLevel', add_prefix_space: false, use_regex: false },
    ],
  },
});
const TOKENIZERS = [byteLevelJson(), spmJson(), UNIGRAM, SPLIT].map((json) =>
  structuredClone(JSON.parse(JSON.stringify(json))),
);

const models = new URL('../pure/sentencepiece/', import.meta.url);
const PIECES = ['bpe', 'unigram', 'unigram-bytes', 'bpe-suffix'].map((name) =>
  readFileSync(new URL(`${name}.model`, models)),
);

const MLC = mlcExport(CONFIG, WEIGHTS, 'q4f16_1').files;
const MLC_JSON = [...MLC.keys()].filter((name) => name.endsWith('.json'));

const TENSORS = [...WEIGHTS].map(([name, { shape, values }]) => ({
  name,
  type: 'F32' as const,
  shape,
  bytes: encodeRows('F32', values, shape.at(-1)),
}));
const TABLE = pickleIn(writePyTorch(TENSORS));

/** The stored entry data.pkl of an archive that is not packed. */
function pickleIn(archive: Uint8Array): Uint8Array {
  const name = Buffer.from(archive).indexOf('archive/data.pkl');
  const view = new DataView(archive.buffer, archive.byteOffset);
  const start = name + 'archive/data.pkl'.length + view.getUint16(name - 2, true);
  return archive.slice(start, start + view.getUint32(name - 8, true));
}

const TEMPLATES = [
  ...Object.values(CHAT_FAMILIES),
  "{%- set ns = namespace(found=false, n=0) -%}{%- for m in messages[::-1] if m.role != 'system' -%}{%- set ns.n = ns.n + 1 -%}{{ loop.index0 ~ m['content'] | trim | upper }}{%- endfor -%}{{ ns.n }}",
  "{% macro show(t, d={}) %}{% for k, v in t.items() %}{{ k }}={{ v | tojson(indent=2) }}{% endfor %}{% endmacro %}{% if tools is defined and tools %}{% for t in tools %}{{ show(t.function) }}{% endfor %}{% endif %}{{ messages | map(attribute='role') | join(', ') }}{{ messages | selectattr('role', 'equalto', 'user') | list | length }}",
  "{# comment #}{{ strftime_now('%d %b %Y') }}{{ range(3) | join('-') }}{{ 'a,b'.split(',')[-1] }}{{ 7 // 2 }}{{ [1, 2.5, none, true, 'x', {'a': (1, 2)}] }}{{ 'x' if messages else 'y' }}{{ bos_token * 1 if false }}",
];
const TEMPLATE_TOKENS = /\{[{%#]-?|-?[}%#]\}|\s+|\w+|'(?:[^'\\]|\\.)*'|[^\s\w]/g;
const JINJA = [
  ...[
    '{{',
    '}}',
    '{%',
    '%}',
    '{#',
    '#}',
    '{%-',
    '-%}',
    'for',
    'endfor',
    'if',
    'elif',
    'else',
    'endif',
    'set',
    'endset',
    'macro',
    'endmacro',
  ],
  ...[
    'in',
    'not',
    'is',
    'and',
    'or',
    'loop',
    'range(99999)',
    'range(-1)',
    'range(0, 9, 0)',
    'messages',
    'tools',
    'namespace()',
    'none',
    'true',
  ],
  ...[
    '|',
    '~',
    '+',
    '-',
    '*',
    '**',
    '//',
    '%',
    '/',
    '==',
    '<',
    '(',
    ')',
    '[',
    ']',
    '{',
    '}',
    ':',
    ',',
    '.',
    '=',
    "'",
    '"',
    '\\',
    '\n',
    '\u0000',
  ],
  ...[
    '99999999999',
    '1e999',
    "'x' * 9999",
    'trim',
    'tojson',
    'items()',
    'split',
    '__proto__',
    'constructor',
    'toString',
    'raise_exception("no")',
  ],
  ...[
    '{% for a in messages %}{% for b in messages %}',
    '{% macro r() %}{{ r() }}{% endmacro %}{{ r() }}',
    '('.repeat(300),
    '['.repeat(300),
    '{{ '.repeat(50),
  ],
];
const KEYWORDS = /^(?:for|endfor|if|elif|else|endif|set|endset|macro|endmacro|in|is|not|and|or)$/;

function kindOf(piece: string): string {
  if (KEYWORDS.test(piece)) return piece;
  if (/^\w/.test(piece)) return 'name';
  if (/^'/.test(piece)) return 'text';
  return /^[|~+\-*/%<>=]$/.test(piece) ? 'operator' : piece;
}

const MESSAGES = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: ' Hello \n' },
  { role: 'assistant', content: 'yes', tool_calls: [{ function: { name: 'f', arguments: { a: [1, { b: null }] } } }] },
  { role: 'user', content: '' },
] as const;
const TOOLS = [{ type: 'function', function: { name: 'f', description: 'd', parameters: { type: 'object' } } }];

export const TARGETS: Readonly<Record<string, Target>> = {
  GGUF: {
    make(random) {
      if (random() < 0.25) return mutateBytes(GGUF, random, GGUF_SPANS.at(-1)!.at);
      let file: Uint8Array = GGUF;
      for (let i = random() < 0.5 ? 1 : 2; i > 0; i--) file = mutateInteger(file, pick(GGUF_SPANS, random), random);
      return file;
    },
    read: async (file) => readCheckpoint(await openGgufSource(memorySource('model.gguf', file))),
  },
  safetensors: {
    make(random) {
      if (random() < 0.1) return mutateInteger(SAFETENSORS, { at: 0, bytes: 8 }, random);
      if (random() < 0.2) return mutateBytes(SAFETENSORS, random, 8 + HEADER_BYTES);
      return withHeader(SAFETENSORS, mutateJson(jsonOf(SAFETENSORS.subarray(8, 8 + HEADER_BYTES)), random));
    },
    read: openWith(FOLDER, 'model.safetensors'),
  },
  converted: {
    make(random) {
      const header = jsonOf(CONVERTED.subarray(8, 8 + headerBytes(CONVERTED))) as {
        __metadata__: Record<string, string>;
      };
      const key = pick(['config', 'layout', 'layout', ''], random);
      if (key === '') return withHeader(CONVERTED, mutateJson(header, random));
      header.__metadata__[key] = mutateJson(JSON.parse(header.__metadata__[key]!), random).toString();
      return withHeader(CONVERTED, Buffer.from(JSON.stringify(header)));
    },
    read: async (file) => readCheckpoint(await openConverted(memorySource('model.firstlight', file))),
  },
  GPTQ: {
    make(random) {
      const name = randomIndex(2, random);
      const file = name === 0 ? mutateJson(jsonOf(GROUPS.get('config.json')!), random) : brokenGroups(random);
      return Buffer.concat([Uint8Array.of(name), file]);
    },
    read: (file) => openWith(GROUPS, ['config.json', 'model.safetensors'][file[0]!]!)(file.subarray(1)),
  },
  'tokenizer.json': {
    make: (random) => mutateJson(pick(TOKENIZERS, random), random),
    async read(file) {
      const config = { bos_token: '<s>', eos_token: { content: '</s>' }, chat_template: 'x' };
      readVocab(
        vocabFromTokenizerJson(parseJson(file, 'tokenizer.json'), config, { eos_token_id: [2, 7] }, 'tokenizer.json'),
      );
    },
  },
  'tokenizer.model': {
    make: (random) => mutateMessage(pick(PIECES, random), random),
    async read(file) {
      const beside = { tokenizerConfig: {}, generationConfig: {}, addedTokens: {} };
      readVocab(vocabFromSentencePiece(file, beside, 'tokenizer.model'));
    },
  },
  'MLC json': {
    make(random) {
      const name = randomIndex(MLC_JSON.length, random);
      return Buffer.concat([Uint8Array.of(name), mutateJson(jsonOf(MLC.get(MLC_JSON[name]!)!), random)]);
    },
    read: (file) => openWith(MLC, MLC_JSON[file[0]!]!)(file.subarray(1)),
  },
  pickle: {
    make: (random) => writePyTorch(TENSORS, mutatePickle(TABLE, random)),
    read: openWith(new Map([['config.json', Buffer.from(JSON.stringify(configJson(CONFIG)))]]), 'pytorch_model.bin'),
  },
  jinja: {
    make(random) {
      const pieces = pick(TEMPLATES, random).match(TEMPLATE_TOKENS) ?? [];
      return Buffer.from(random() < 0.6 ? replacePieces(pieces, kindOf, random) : mutatePieces(pieces, JINJA, random));
    },
    async read(file) {
      const template = Buffer.from(file).toString();
      const options = { bosToken: '<s>', eosToken: '</s>' };
      await renderChat(template, MESSAGES, { ...options, tools: TOOLS, lossless: false });
      await renderChat(template, MESSAGES, options);
    },
  },
  'config.json': {
    make: (random) => mutateJson(jsonOf(FOLDER.get('config.json')!), random),
    read: openWith(FOLDER, 'config.json'),
  },
  zip: {
    make: (random) => mutateBytes(ZIP, random),
    read: async (file) => readCheckpoint(await openFolder(await zipFolder(memorySource('model.zip', file)))),
  },
};

const ZIP = zipSync({ 'config.json': FOLDER.get('config.json')!, 'model.safetensors': SAFETENSORS });

/** Shapes and types of the parts, or the groups of inputs. */
function brokenGroups(random: Random): Uint8Array {
  const start = 8 + headerBytes(GROUP_TENSORS);
  if (random() < 0.3)
    return mutateInteger(GROUP_TENSORS, { at: start + 4 * randomIndex(2000, random), bytes: 4 }, random);
  return withHeader(GROUP_TENSORS, mutateJson(jsonOf(GROUP_TENSORS.subarray(8, start)), random));
}

function randomIndex(length: number, random: Random): number {
  return Math.floor(random() * length);
}

/** Reads a broken file; true when it was refused as it must be, in one line. Throws for anything else. */
export async function isRefused(target: Target, file: Uint8Array): Promise<boolean> {
  try {
    await target.read(file);
    return false;
  } catch (error) {
    if (!(error instanceof FirstlightError)) throw error;
    if (/\n/.test(error.message)) throw new Error(`the message takes several lines: ${error.message}`);
    return true;
  }
}
