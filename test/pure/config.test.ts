import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { huggingFaceConfig } from '../../engine/config-json.ts';
import { openCheckpoint } from '../../loaders/checkpoint.ts';
import { configFromJson } from '../../loaders/config.ts';
import type { LlamaConfig } from '../../loaders/types.ts';
import { FIXTURES, fixturePath } from '../fixture-models.ts';
import { configJson, SMALL_LLAMA } from '../random-model.ts';
import { expectError } from './expect-error.ts';
import { hasSharedData, readSharedJson, reportSkipped } from './shared-data.ts';

const test = suite('config');

const NO_SCALING = SMALL_LLAMA.ropeScaling;
const GEMMA = { activation: 'gelu', embeddingScale: 8, tiedEmbeddings: true, normOffset: 1 } as const;
const LLAMA3 = { factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 64 };

/** config.json of SMALL_LLAMA with some fields changed; undefined takes a field away. */
const json = (changes: Record<string, unknown>) =>
  JSON.parse(JSON.stringify({ ...configJson(SMALL_LLAMA), ...changes })) as Record<string, unknown>;
const parse = (changes: Record<string, unknown>) => configFromJson(json(changes), 'config.json');

test('config.json of all families comes back', () => {
  const families: readonly LlamaConfig[] = [
    SMALL_LLAMA,
    { ...SMALL_LLAMA, tiedEmbeddings: true, attentionBias: true, headDim: 32, ropeDim: 32 },
    { ...SMALL_LLAMA, architecture: 'mistral', slidingWindow: 12 },
    { ...SMALL_LLAMA, architecture: 'qwen2', attentionBias: true },
    { ...SMALL_LLAMA, architecture: 'qwen2', attentionBias: true, slidingWindow: 20 },
    { ...SMALL_LLAMA, architecture: 'qwen3', qkNorm: 'head' },
    { ...SMALL_LLAMA, ropeScaling: { kind: 'linear', factor: 4 } },
    {
      ...SMALL_LLAMA,
      ropeScaling: { kind: 'llama3', factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 64 },
    },
    { ...SMALL_LLAMA, activation: 'gelu' },
    { ...SMALL_LLAMA, architecture: 'phi3', ropeDim: 12, slidingWindow: 9 },
    { ...SMALL_LLAMA, architecture: 'gemma', ...GEMMA },
    {
      ...{ ...SMALL_LLAMA, architecture: 'gemma2', ...GEMMA, norms: 'both', attentionScale: 1 / 8, attentionCap: 2 },
      ...{ logitCap: 3, slidingWindow: 8, slidingLayers: [true, false] },
    },
    {
      ...{ ...SMALL_LLAMA, architecture: 'gemma3', ...GEMMA, norms: 'both', qkNorm: 'head', attentionScale: 1 / 16 },
      ...{ slidingWindow: 8, slidingLayers: [false, true], localRopeTheta: 100, ropeTheta: 1e6 },
      ropeScaling: { kind: 'linear', factor: 8 },
    },
    { ...SMALL_LLAMA, architecture: 'olmo2', norms: 'after', qkNorm: 'all' },
    { ...SMALL_LLAMA, architecture: 'smollm3', ropeLayers: [true, false] },
  ];
  for (const config of families) {
    assert.equal(configFromJson(configJson(config), 'config.json'), config);
    assert.equal(
      configFromJson(huggingFaceConfig(config, 'f32'), 'config.json'),
      config,
      'as convert --to hf writes it',
    );
  }
});

test('config.json as convert --to hf writes it says what each miniature model computes', async () => {
  for (const name of FIXTURES) {
    const { config, close } = await openCheckpoint(fixturePath(name));
    assert.equal(configFromJson(huggingFaceConfig(config, 'f16'), 'config.json'), config, name);
    await close();
  }
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
    qkNorm: 'head',
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
});

test('windows in some layers only, by every rule', () => {
  const layers = (architecture: string, changes: Record<string, unknown>) => {
    const { slidingWindow, slidingLayers } = parse({
      ...{ architectures: [architecture], num_hidden_layers: 4, sliding_window: 16, use_sliding_window: true },
      ...changes,
    });
    return slidingLayers?.map(Number).join('') ?? slidingWindow;
  };
  assert.is(layers('Qwen3ForCausalLM', { max_window_layers: 3 }), '0001');
  assert.is(layers('Gemma2ForCausalLM', {}), '1010');
  assert.is(
    layers('Gemma2ForCausalLM', { layer_types: ['full_attention', ...Array(3).fill('sliding_attention')] }),
    '0111',
  );
  assert.is(layers('Gemma3ForCausalLM', {}), 16, 'the sixth would be the first without');
  assert.is(layers('Gemma3ForCausalLM', { num_hidden_layers: 7 }), '1111101');
  assert.is(layers('Gemma3ForCausalLM', { sliding_window_pattern: 2 }), '1010');
  assert.is(layers('Olmo3ForCausalLM', {}), '1110');
  assert.is(layers('SmolLM3ForCausalLM', { no_rope_layers: [1, 0, 1, 0] }), '0101');
  assert.is(layers('SmolLM3ForCausalLM', { use_sliding_window: false }), undefined);
});

test('what Phi-3 calls su, and Phi-4-mini writes', () => {
  const [short, long] = [
    [1, 1.5, 2, 2.5, 3, 3.5],
    [1, 2, 4, 8, 16, 32],
  ];
  for (const type of ['su', 'yarn', 'longrope']) {
    const { ropeDim, ropeScaling } = parse({
      ...{ architectures: ['Phi3ForCausalLM'], model_type: 'phi3', partial_rotary_factor: 0.75 },
      ...{ max_position_embeddings: 131072, original_max_position_embeddings: 4096 },
      rope_scaling: { type, short_factor: short, long_factor: long },
    });
    assert.is(ropeDim, 12);
    assert.equal(ropeScaling, {
      kind: 'longrope',
      shortFactors: Float32Array.from(short!),
      longFactors: Float32Array.from(long!),
      originalContext: 4096,
      attentionFactor: Math.sqrt(1 + Math.log(32) / Math.log(4096)),
    });
  }
});

test('YaRN as in the files of Qwen 2.5, and with all it can say', () => {
  const { ropeScaling, context } = parse({
    ...{ max_position_embeddings: 32768 },
    rope_scaling: { type: 'yarn', factor: 4, original_max_position_embeddings: 32768 },
  });
  const yarn = { kind: 'yarn', factor: 4, originalContext: 32768, betaFast: 32, betaSlow: 1, truncate: true };
  assert.equal(ropeScaling, { ...yarn, attentionFactor: 0.1 * Math.log(4) + 1 });
  assert.is(context, 32768);
  const scaling = (changes: object) =>
    parse({ rope_scaling: { type: 'yarn', factor: 4, original_max_position_embeddings: 32768, ...changes } })
      .ropeScaling;
  const ends = { beta_fast: 16, beta_slow: 2, truncate: false, attention_factor: 1.5 };
  assert.equal(scaling(ends), { ...yarn, betaFast: 16, betaSlow: 2, truncate: false, attentionFactor: 1.5 });
  const weighted = (0.1 * 0.7 * Math.log(4) + 1) / (0.1 * 2 * Math.log(4) + 1);
  assert.equal(scaling({ mscale: 0.7, mscale_all_dim: 2 }), { ...yarn, attentionFactor: weighted });
});

test('dynamic RoPE goes on where the others end', () => {
  const { ropeScaling, context } = parse({ rope_scaling: { type: 'dynamic', factor: 4 } });
  assert.equal([ropeScaling, context], [{ kind: 'dynamic', factor: 4, originalContext: 128 }, 512]);
});

test('Gemma 3 that sees pictures: a text_config that leaves most out', () => {
  const text = {
    ...{ hidden_size: 2560, intermediate_size: 10240, model_type: 'gemma3_text', num_hidden_layers: 34 },
    ...{ rope_scaling: { factor: 8, rope_type: 'linear' }, sliding_window: 1024 },
  };
  const read = configFromJson(
    { architectures: ['Gemma3ForConditionalGeneration'], model_type: 'gemma3', text_config: text, vision_config: {} },
    'config.json',
  );
  const { heads, kvHeads, headDim, vocab, context, ropeTheta, localRopeTheta, slidingLayers } = read;
  assert.equal([heads, kvHeads, headDim, vocab, context], [8, 4, 256, 262208, 131072]);
  assert.equal([ropeTheta, localRopeTheta, read.ropeScaling], [1e6, 1e4, { kind: 'linear', factor: 8 }]);
  assert.is(slidingLayers?.filter((sliding) => !sliding).length, 5);
  assert.equal([read.tiedEmbeddings, read.activation, read.attentionScale], [true, 'gelu', 1 / 16]);
  assert.equal([read.embeddingScale, read.normOffset, read.qkNorm, read.norms], [Math.sqrt(2560), 1, 'head', 'both']);
});

test("Gemma's first files say gelu and mean its tanh formula", () => {
  const { activation, normOffset, norms } = parse({ architectures: ['GemmaForCausalLM'], hidden_act: 'gelu' });
  assert.equal([activation, normOffset, norms], ['gelu', 1, 'before']);
});

test("OLMo 3's window has RoPE without scaling", () => {
  const yarn = { rope_type: 'yarn', factor: 8, original_max_position_embeddings: 8192, attention_factor: 1.2 };
  const read = parse({
    architectures: ['Olmo3ForCausalLM'],
    rope_theta: 500000,
    rope_scaling: yarn,
    layer_types: null,
  });
  assert.equal([read.ropeTheta, read.localRopeTheta, read.ropeScaling.kind], [5e5, 5e5, 'yarn']);
  const plain = parse({ architectures: ['Olmo3ForCausalLM'], rope_theta: 500000, rope_scaling: null });
  assert.is(plain.localRopeTheta, undefined, 'nothing to tell apart');
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
  assert.equal(parse({ rope_scaling: { type: 'linear', factor: 2 } }).ropeScaling, { kind: 'linear', factor: 2 });
});

const REFUSED: readonly (readonly [title: string, changes: Record<string, unknown>, message: RegExp])[] = [
  ['another architecture', { architectures: ['MixtralForCausalLM'] }, /"Mixtral.*LlamaForCausalLM, Mistral.*SmolLM3/],
  [
    'no architecture',
    { architectures: undefined, model_type: undefined },
    /names no architecture; firstlight runs LlamaForCausalLM/,
  ],
  ['bitsandbytes', { quantization_config: { quant_method: 'bitsandbytes' } }, /"bitsandbytes"/],
  ['gptq in 8 bits', { quantization_config: { quant_method: 'gptq', bits: 8 } }, /by gptq in 8 bits/],
  ['another activation', { hidden_act: 'gelu' }, /hidden_act "gelu" is not run, only silu/],
  ['biases in the feed-forward part', { mlp_bias: true }, /mlp_bias/],
  ['attention to what follows', { use_bidirectional_attention: true }, /use_bidirectional_attention/],
  [
    'layers of a kind of their own',
    { architectures: ['Gemma2ForCausalLM'], sliding_window: 8, layer_types: ['chunked_attention', 'full_attention'] },
    /"chunked_attention"/,
  ],
  [
    'a scaled local RoPE',
    {
      architectures: ['Gemma3ForCausalLM'],
      rope_parameters: { sliding_attention: { rope_type: 'yarn' }, full_attention: {} },
    },
    /"yarn" of layers with a sliding window/,
  ],
  ['partial rotation', { partial_rotary_factor: 0.5 }, /partial_rotary_factor 0.5/],
  [
    'mrope',
    { rope_scaling: { type: 'mrope' } },
    /"mrope" \(it is made for pictures\) is not run; known are none, linear/,
  ],
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
  ['longrope without factors', { rope_scaling: { type: 'longrope' } }, /short_factor is no list of 8 numbers/],
  [
    'layer types that are too few',
    { architectures: ['Gemma2ForCausalLM'], sliding_window: 8, layer_types: [] },
    /layer_types/,
  ],
  [
    'layers without RoPE that are no list',
    { architectures: ['SmolLM3ForCausalLM'], no_rope_layers: [1] },
    /no_rope_layers/,
  ],
  ['a cap of zero', { architectures: ['Gemma2ForCausalLM'], final_logit_softcapping: 0 }, /logitCap 0/],
  ['a text part that is none', { text_config: 3 }, /text_config is no JSON object/],
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
