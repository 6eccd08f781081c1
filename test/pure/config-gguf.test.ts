import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { configFromGguf } from '../../loaders/config-gguf.ts';
import { openGguf, readGgufHeader } from '../../loaders/gguf.ts';
import { memorySource } from '../../loaders/source.ts';
import type { LlamaConfig } from '../../loaders/types.ts';
import { ggufMetadata } from '../gguf-conventions.ts';
import { ggufFile, randomWeights, SMALL_LLAMA } from '../random-model.ts';
import { type GgufEntry, writeGguf } from '../write-gguf.ts';
import { expectError } from './expect-error.ts';

const test = suite('config of GGUF files');

// GGUF files hold the norms' gains with the offset of 1 added
const GEMMA = { activation: 'gelu', embeddingScale: 8, tiedEmbeddings: true } as const;

async function parseGguf(file: Uint8Array): Promise<LlamaConfig> {
  const source = memorySource('test.gguf', file);
  const header = await readGgufHeader(source);
  return configFromGguf(header.metadata, openGguf(source, header, 'before'), 'test.gguf');
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
    { ...SMALL_LLAMA, architecture: 'qwen3', qkNorm: 'head' },
    { ...SMALL_LLAMA, architecture: 'phi3', ropeDim: 12, slidingWindow: 9 },
    { ...SMALL_LLAMA, architecture: 'gemma', ...GEMMA },
    {
      ...{ ...SMALL_LLAMA, architecture: 'gemma2', ...GEMMA, norms: 'both', attentionCap: 2, logitCap: 3 },
      ...{ slidingWindow: 8, slidingLayers: [true, false] },
    },
    {
      ...{ ...SMALL_LLAMA, architecture: 'gemma3', ...GEMMA, norms: 'both', qkNorm: 'head' },
      ...{ slidingWindow: 8, slidingLayers: [false, true], localRopeTheta: 100, ropeTheta: 1e6 },
      ropeScaling: { kind: 'linear', factor: 8 },
    },
    { ...SMALL_LLAMA, architecture: 'olmo2', norms: 'after', qkNorm: 'all' },
    {
      ...SMALL_LLAMA,
      architecture: 'olmo3',
      norms: 'after',
      qkNorm: 'all',
      slidingWindow: 5,
      slidingLayers: [true, false],
    },
    {
      ...SMALL_LLAMA,
      architecture: 'smollm3',
      ropePairs: 'interleaved',
      layers: 4,
      ropeLayers: [true, true, true, false],
    },
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
    assert.equal(ropeScaling, kind === 'none' ? { kind } : { kind, factor });
  });
}

const GGUF_BAD: readonly (readonly [
  title: string,
  entry: GgufEntry,
  code: 'bad-file' | 'unsupported-model',
  message: RegExp,
])[] = [
  [
    'an architecture',
    ['general.architecture', 'string', 'gpt2'],
    'unsupported-model',
    /"gpt2".*llama, qwen2, qwen3.*smollm3/,
  ],
  [
    'experts',
    ['llama.expert_count', 'u32', 8],
    'unsupported-model',
    /experts are not run, only dense models of llama, qwen2, .*smollm3/,
  ],
  ['a kind of RoPE', ['llama.rope.scaling.type', 'string', 'spiral'], 'unsupported-model', /"spiral"/],
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

/** The configuration that a file of an architecture with SMALL_LLAMA's sizes and these metadata has. */
const ofArchitecture = (architecture: LlamaConfig['architecture'], changes: readonly GgufEntry[]) => {
  const entries = new Map<string, GgufEntry>();
  for (const entry of [...ggufMetadata({ ...SMALL_LLAMA, architecture }), ...changes]) entries.set(entry[0], entry);
  return parseGguf(writeGguf([...entries.values()], []));
};

test("GGUF files of Gemma leave out what llama.cpp knows: caps, windows, and 27B's scale", async () => {
  const gemma2 = await ofArchitecture('gemma2', []);
  assert.equal([gemma2.attentionCap, gemma2.logitCap, gemma2.slidingWindow], [50, 30, 4096]);
  assert.equal([gemma2.slidingLayers, gemma2.attentionScale, gemma2.normOffset], [[true, false], undefined, 0]);
  const large = await ofArchitecture('gemma2', [
    ['gemma2.block_count', 'u32', 46],
    ['gemma2.embedding_length', 'u32', 576],
  ]);
  assert.is(large.attentionScale, 1 / 12);
  const gemma3 = await ofArchitecture('gemma3', [['gemma3.block_count', 'u32', 12]]);
  assert.equal([gemma3.attentionCap, gemma3.logitCap, gemma3.localRopeTheta], [undefined, undefined, undefined]);
  assert.equal(gemma3.slidingLayers?.map(Number).join(''), '111110111110');
  const local = await ofArchitecture('gemma3', [['gemma3.rope.freq_base', 'f32', 1e6]]);
  assert.equal([local.ropeTheta, local.localRopeTheta], [1e6, 1e4]);
  const entries = ggufMetadata({ ...SMALL_LLAMA, architecture: 'gemma3' }).filter(([key]) => !/freq|epsilon/.test(key));
  const ollama = await parseGguf(writeGguf([...entries, ['gemma3.rope.global.freq_base', 'f32', 5e5]], []));
  assert.equal([ollama.ropeTheta, ollama.localRopeTheta, ollama.normEpsilon], [5e5, 1e4, 1e-6], "Ollama's own keys");
});

test('GGUF YaRN: attn_factor multiplies its own factor, except in OLMo, where it is all of it', async () => {
  const factor = async (name: LlamaConfig['architecture'], attention: readonly GgufEntry[]) => {
    const scaling = `${name}.rope.scaling`;
    const { ropeScaling } = await ofArchitecture(name, [
      [`${scaling}.type`, 'string', 'yarn'],
      [`${scaling}.factor`, 'f32', 4],
      [`${scaling}.original_context_length`, 'u32', 32],
      ...attention,
    ]);
    assert.ok(ropeScaling.kind === 'yarn' && ropeScaling.originalContext === 32 && ropeScaling.betaFast === 32);
    return ropeScaling.attentionFactor;
  };
  for (const key of ['yarn_log_multiplier', 'yarn_ext_factor'])
    await expectError(
      () => factor('qwen2', [[`qwen2.rope.scaling.${key}`, 'f32', 0.5]]),
      'unsupported-model',
      /YaRN with .* is not run/,
    );
  const own = 0.1 * Math.log(4) + 1;
  assert.is(await factor('qwen2', []), own);
  assert.is(await factor('qwen2', [['qwen2.rope.scaling.attn_factor', 'f32', 1.5]]), 1.5 * own);
  assert.is(await factor('olmo2', [['olmo2.rope.scaling.attn_factor', 'f32', 1.5]]), 1.5);
});

test('GGUF without a field', () =>
  expectError(
    () => parseGguf(writeGguf(metadata({ 'llama.block_count': undefined }), [])),
    'bad-file',
    /block_count is missing/,
  ));

test.run();
