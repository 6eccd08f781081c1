import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { configFromJson } from '../../loaders/config.ts';
import { configFromGguf } from '../../loaders/config-gguf.ts';
import { openGguf, readGgufHeader } from '../../loaders/gguf.ts';
import { memorySource } from '../../loaders/source.ts';
import type { LlamaConfig } from '../../loaders/types.ts';
import { configJson, ggufFile, ggufMetadata, randomWeights, SMALL_LLAMA } from '../random-model.ts';
import { type GgufEntry, writeGguf } from '../write-gguf.ts';
import { expectError } from './expect-error.ts';
import { hasSharedData, readSharedJson, reportSkipped } from './shared-data.ts';

const test = suite('config');

const NO_SCALING = SMALL_LLAMA.ropeScaling;
const LLAMA3 = { factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 64 };

/** config.json of SMALL_LLAMA with some fields changed; undefined takes a field away. */
const json = (changes: Record<string, unknown>) =>
  JSON.parse(JSON.stringify({ ...configJson(SMALL_LLAMA), ...changes })) as Record<string, unknown>;
const parse = (changes: Record<string, unknown>) => configFromJson(json(changes), 'config.json');

test('config.json of all four families comes back', () => {
  const families: readonly LlamaConfig[] = [
    SMALL_LLAMA,
    { ...SMALL_LLAMA, tiedEmbeddings: true, attentionBias: true, headDim: 32, ropeDim: 32 },
    { ...SMALL_LLAMA, architecture: 'mistral', slidingWindow: 12 },
    { ...SMALL_LLAMA, architecture: 'qwen2', attentionBias: true },
    { ...SMALL_LLAMA, architecture: 'qwen2', attentionBias: true, slidingWindow: 20 },
    { ...SMALL_LLAMA, architecture: 'qwen3', qkNorm: true },
    { ...SMALL_LLAMA, ropeScaling: { ...NO_SCALING, kind: 'linear', factor: 4 } },
    {
      ...SMALL_LLAMA,
      ropeScaling: { kind: 'llama3', factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 64 },
    },
  ];
  for (const config of families) assert.equal(configFromJson(configJson(config), 'config.json'), config);
});

test('what is missing or null is as in transformers', () => {
  const bare = (name: string) => ({
    architectures: [name],
    hidden_size: 64,
    intermediate_size: 96,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    vocab_size: 100,
  });
  const defaults = {
    ...SMALL_LLAMA,
    kvHeads: 4,
    normEpsilon: 1e-6,
    context: 2048,
  };
  const optional = {
    num_key_value_heads: null,
    head_dim: null,
    rope_theta: null,
    rope_scaling: null,
    rms_norm_eps: null,
  };
  assert.equal(configFromJson(bare('LlamaForCausalLM'), 'config.json'), defaults);
  assert.equal(configFromJson({ ...bare('LlamaForCausalLM'), ...optional }, 'config.json'), defaults);
  assert.equal(configFromJson(bare('MistralForCausalLM'), 'config.json'), {
    ...defaults,
    architecture: 'mistral',
    context: 131072,
    slidingWindow: 4096,
  });
  assert.equal(configFromJson(bare('Qwen2ForCausalLM'), 'config.json'), {
    ...defaults,
    architecture: 'qwen2',
    context: 32768,
    attentionBias: true,
  });
  assert.equal(configFromJson(bare('Qwen3ForCausalLM'), 'config.json'), {
    ...defaults,
    architecture: 'qwen3',
    context: 32768,
    headDim: 128,
    ropeDim: 128,
    qkNorm: true,
  });
});

test('model_type stands in for architectures', () => {
  assert.is(parse({ architectures: undefined, model_type: 'mistral' }).architecture, 'mistral');
});

test('sliding windows apply where transformers applies them', () => {
  const window = (architecture: string, changes: Record<string, unknown>) =>
    parse({ architectures: [architecture], sliding_window: 16, use_sliding_window: undefined, ...changes })
      .slidingWindow;
  const [llama, mistral, qwen2] = ['LlamaForCausalLM', 'MistralForCausalLM', 'Qwen2ForCausalLM'];
  assert.is(window(llama!, {}), undefined);
  assert.is(window(mistral!, {}), 16);
  assert.is(window(mistral!, { sliding_window: null }), undefined);
  assert.is(window(mistral!, { use_sliding_window: false }), undefined);
  assert.is(window(qwen2!, {}), undefined);
  assert.is(window(qwen2!, { use_sliding_window: true }), 16);
  assert.is(window(qwen2!, { use_sliding_window: true, max_window_layers: 2 }), undefined);
  assert.is(window(qwen2!, { use_sliding_window: true, max_window_layers: 1, sliding_window: 128 }), 128);
  assert.throws(() => window(qwen2!, { use_sliding_window: true, max_window_layers: 1 }), /some layers only/);
});

test('RoPE parameters of transformers 5', () => {
  const { ropeTheta, ropeScaling } = parse({
    rope_theta: undefined,
    rope_scaling: undefined,
    rope_parameters: { rope_type: 'llama3', rope_theta: 500000, ...LLAMA3 },
  });
  assert.is(ropeTheta, 500000);
  assert.equal(ropeScaling, {
    kind: 'llama3',
    factor: 8,
    lowFrequencyFactor: 1,
    highFrequencyFactor: 4,
    originalContext: 64,
  });
  assert.equal(parse({ rope_parameters: { rope_type: 'default', rope_theta: 2 } }).ropeScaling, NO_SCALING);
});

test('the older name of the RoPE kind', () => {
  assert.equal(parse({ rope_scaling: { type: 'linear', factor: 2 } }).ropeScaling, {
    ...NO_SCALING,
    kind: 'linear',
    factor: 2,
  });
});

const REFUSED: readonly (readonly [title: string, changes: Record<string, unknown>, message: RegExp])[] = [
  ['another architecture', { architectures: ['GemmaForCausalLM'] }, /"GemmaForCausalLM".*LlamaForCausalLM, Mistral/],
  ['no architecture', { architectures: undefined, model_type: undefined }, /architecture missing/],
  ['bitsandbytes', { quantization_config: { quant_method: 'bitsandbytes' } }, /"bitsandbytes"/],
  ['gptq', { quantization_config: { quant_method: 'gptq' } }, /"gptq"/],
  ['another activation', { hidden_act: 'gelu' }, /hidden_act "gelu"/],
  ['partial rotation', { partial_rotary_factor: 0.5 }, /partial_rotary_factor 0.5/],
  ['yarn', { rope_scaling: { rope_type: 'yarn', factor: 4 } }, /"yarn" \(it scales the attention too\)/],
  ['dynamic', { rope_scaling: { type: 'dynamic', factor: 4 } }, /"dynamic"/],
  ['longrope', { rope_scaling: { type: 'longrope' } }, /"longrope"/],
  ['a kind of RoPE that nobody knows', { rope_scaling: { type: 'toString' } }, /"toString" is not run/],
  ['RoPE by layer', { rope_parameters: { full_attention: { rope_type: 'default' } } }, /layer to layer/],
];

const SENSELESS: readonly (readonly [title: string, changes: Record<string, unknown>, message: RegExp])[] = [
  ['no hidden size', { hidden_size: undefined }, /hidden_size is missing/],
  ['text for a number', { hidden_size: '64' }, /hidden_size is no number/],
  ['text for a flag', { tie_word_embeddings: 'yes' }, /neither true nor false/],
  ['no layers', { num_hidden_layers: 0 }, /layers 0/],
  ['wild layers', { num_hidden_layers: 1e9 }, /layers 1000000000/],
  ['half a head', { head_dim: undefined, hidden_size: 66 }, /headDim 16.5/],
  ['odd heads', { head_dim: 15 }, /headDim 15 is odd/],
  ['heads that cannot share', { num_key_value_heads: 3 }, /4 heads cannot share 3/],
  ['a negative vocabulary', { vocab_size: -1 }, /vocab -1/],
  ['a huge vocabulary', { vocab_size: 2 ** 40 }, /vocab/],
  ['epsilon zero', { rms_norm_eps: 0 }, /normEpsilon 0/],
  ['theta zero', { rope_theta: 0 }, /ropeTheta 0/],
  [
    'a window of zero',
    { architectures: ['MistralForCausalLM'], sliding_window: 0, use_sliding_window: true },
    /slidingWindow 0/,
  ],
  ['linear without factor', { rope_scaling: { type: 'linear' } }, /factor is missing/],
  ['factor zero', { rope_scaling: { type: 'linear', factor: 0 } }, /factor 0/],
  [
    'llama3 without context',
    { rope_scaling: { ...LLAMA3, rope_type: 'llama3', original_max_position_embeddings: null } },
    /original_max/,
  ],
  [
    'llama3 with context zero',
    { rope_scaling: { ...LLAMA3, rope_type: 'llama3', original_max_position_embeddings: 0 } },
    /context 0/,
  ],
  ['llama3 in reverse', { rope_scaling: { ...LLAMA3, rope_type: 'llama3', low_freq_factor: 4 } }, /in no order/],
  ['RoPE as a list', { rope_scaling: [1] }, /rope_scaling is no JSON object/],
];

for (const [title, changes, message] of REFUSED) {
  test(`refuses ${title}`, () => expectError(() => parse(changes), 'unsupported-model', message));
}
for (const [title, changes, message] of SENSELESS) {
  test(`finds ${title}`, () => expectError(() => parse(changes), 'bad-file', message));
}
test('config.json must be an object', () =>
  expectError(() => configFromJson([], 'config.json'), 'bad-file', /no JSON object/));

async function parseGguf(file: Uint8Array): Promise<LlamaConfig> {
  const source = memorySource('test.gguf', file);
  const header = await readGgufHeader(source);
  return configFromGguf(header.metadata, openGguf(source, header), 'test.gguf');
}

/** Metadata of SMALL_LLAMA with entries replaced or, where the value is undefined, taken away. */
function metadata(changes: Record<string, GgufEntry | undefined>): GgufEntry[] {
  const entries = new Map(ggufMetadata(SMALL_LLAMA).map((entry) => [entry[0], entry]));
  for (const [key, entry] of Object.entries(changes)) {
    if (entry) entries.set(key, entry);
    else entries.delete(key);
  }
  return [...entries.values()];
}

/** f32 fields come back as the nearest f32. */
const rounded = (config: LlamaConfig) => ({ ...config, normEpsilon: Math.fround(config.normEpsilon) });

test('GGUF metadata of all families come back', async () => {
  const families: readonly LlamaConfig[] = [
    { ...SMALL_LLAMA, ropePairs: 'interleaved' },
    { ...SMALL_LLAMA, ropePairs: 'interleaved', tiedEmbeddings: true, attentionBias: true, headDim: 32, ropeDim: 24 },
    { ...SMALL_LLAMA, architecture: 'qwen2', attentionBias: true },
    { ...SMALL_LLAMA, architecture: 'qwen3', qkNorm: true },
  ];
  for (const config of families)
    assert.equal(await parseGguf(ggufFile(config, randomWeights(config))), rounded(config));
  const mistral: LlamaConfig = { ...SMALL_LLAMA, architecture: 'mistral' };
  const read = await parseGguf(ggufFile(mistral, randomWeights(mistral)));
  assert.equal([read.architecture, read.ropePairs], ['llama', 'interleaved']);
});

test('GGUF metadata have defaults', async () => {
  const read = await parseGguf(
    writeGguf(
      metadata({
        'llama.attention.head_count_kv': undefined,
        'llama.attention.key_length': undefined,
        'llama.attention.value_length': undefined,
        'llama.rope.freq_base': undefined,
        'llama.rope.dimension_count': undefined,
        'llama.vocab_size': undefined,
        'tokenizer.ggml.tokens': ['tokenizer.ggml.tokens', 'string[]', ['a', 'b', 'c']],
      }),
      [],
    ),
  );
  assert.equal(read, { ...rounded(SMALL_LLAMA), kvHeads: 4, vocab: 3, ropePairs: 'interleaved', tiedEmbeddings: true });
});

test('GGUF numbers may be given per layer, and as 64 bits', async () => {
  const key = 'llama.attention.head_count_kv';
  assert.is((await parseGguf(writeGguf(metadata({ [key]: [key, 'u32[]', [2, 2]] }), []))).kvHeads, 2);
  assert.is((await parseGguf(writeGguf(metadata({ [key]: [key, 'u64', 2] }), []))).kvHeads, 2);
  const uneven = writeGguf(metadata({ [key]: [key, 'i32[]', [2, 4]] }), []);
  await expectError(() => parseGguf(uneven), 'unsupported-model', /differs from layer to layer/);
});

test('GGUF sliding window, where 0 means none', async () => {
  const key = 'llama.attention.sliding_window';
  assert.is((await parseGguf(writeGguf(metadata({ [key]: [key, 'u32', 40] }), []))).slidingWindow, 40);
  assert.is((await parseGguf(writeGguf(metadata({ [key]: [key, 'u32', 0] }), []))).slidingWindow, undefined);
});

const GGUF_SCALING: readonly (readonly [title: string, entries: readonly GgufEntry[], kind: string, factor: number])[] =
  [
    ['none', [['llama.rope.scaling.type', 'string', 'none']], 'none', 1],
    [
      'linear',
      [
        ['llama.rope.scaling.type', 'string', 'linear'],
        ['llama.rope.scaling.factor', 'f32', 4],
      ],
      'linear',
      4,
    ],
    ['linear of 2023', [['llama.rope.scale_linear', 'f32', 2]], 'linear', 2],
  ];
for (const [title, entries, kind, factor] of GGUF_SCALING) {
  test(`GGUF RoPE scaling ${title}`, async () => {
    const { ropeScaling } = await parseGguf(writeGguf([...metadata({}), ...entries], []));
    assert.equal(ropeScaling, { ...NO_SCALING, kind, factor });
  });
}

const GGUF_BAD: readonly (readonly [
  title: string,
  entry: GgufEntry,
  code: 'bad-file' | 'unsupported-model',
  message: RegExp,
])[] = [
  ['an architecture', ['general.architecture', 'string', 'gemma'], 'unsupported-model', /"gemma".*llama, qwen2, qwen3/],
  ['experts', ['llama.expert_count', 'u32', 8], 'unsupported-model', /experts/],
  ['parts', ['split.count', 'u16', 3], 'unsupported-model', /join the parts/],
  ['yarn', ['llama.rope.scaling.type', 'string', 'yarn'], 'unsupported-model', /"yarn"/],
  ['values of another size', ['llama.attention.value_length', 'u32', 8], 'unsupported-model', /values of 8 per head/],
  ['a text', ['llama.block_count', 'string', '2'], 'bad-file', /block_count is no number/],
  ['too many layers', ['llama.block_count', 'u32', 4294967295], 'bad-file', /layers 4294967295/],
  ['a rotation wider than the head', ['llama.rope.dimension_count', 'u32', 32], 'bad-file', /ropeDim 32/],
  ['an infinite theta', ['llama.rope.freq_base', 'f32', Number.POSITIVE_INFINITY], 'bad-file', /ropeTheta Infinity/],
  ['a NaN', ['llama.attention.layer_norm_rms_epsilon', 'f32', Number.NaN], 'bad-file', /normEpsilon NaN/],
];
for (const [title, entry, code, message] of GGUF_BAD) {
  test(`GGUF refuses ${title}`, () =>
    expectError(() => parseGguf(writeGguf(metadata({ [entry[0]]: entry }), [])), code, message));
}
test('GGUF without a field', () =>
  expectError(
    () => parseGguf(writeGguf(metadata({ 'llama.block_count': undefined }), [])),
    'bad-file',
    /block_count is missing/,
  ));

(hasSharedData ? test : test.skip)('real configurations', async () => {
  const llama2 = configFromJson(readSharedJson('configs/llama-2-7b/config.json'), 'config.json');
  assert.equal(llama2, {
    ...SMALL_LLAMA,
    layers: 32,
    hidden: 4096,
    feedForward: 11008,
    heads: 32,
    kvHeads: 32,
    headDim: 128,
    ropeDim: 128,
    vocab: 32000,
    context: 2048,
  });
  const llama3 = readSharedJson('configs/llama-3.1-8b-instruct-bnb8/config.json') as Record<string, unknown>;
  await expectError(() => configFromJson(llama3, 'config.json'), 'unsupported-model', /"bitsandbytes"/);
  const plain = configFromJson({ ...llama3, quantization_config: null }, 'config.json');
  assert.equal([plain.kvHeads, plain.ropeTheta, plain.ropeScaling.kind, plain.context], [8, 500000, 'llama3', 131072]);
});
if (!hasSharedData) reportSkipped('config.test.ts', 1);

test.run();
