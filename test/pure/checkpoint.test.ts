import { readFileSync } from 'node:fs';
import { rm, symlink } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { zipSync } from 'fflate';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { builtinPath, openCheckpoint, openFolder, openGgufSource } from '../../loaders/checkpoint.ts';
import type { Folder } from '../../loaders/folder.ts';
import { memorySource } from '../../loaders/source.ts';
import type { Checkpoint, LlamaConfig } from '../../loaders/types.ts';
import { decodeRows, type FileType } from '../../quant/file-types.ts';
import { interleaveRows, type Weights } from '../gguf-conventions.ts';
import {
  configJson,
  encodeRows,
  ggufFile,
  memoryFolder,
  randomWeights,
  SMALL_LLAMA,
  safetensorsFolder,
} from '../random-model.ts';
import type { GgufEntry } from '../write-gguf.ts';
import { type TensorBytes, writeSafetensors } from '../write-safetensors.ts';
import { expectError } from './expect-error.ts';
import { hasSharedData, reportSkipped, sharedPath } from './shared-data.ts';
import { temporaryFolder } from './temporary-folder.ts';

const test = suite('checkpoint');
const shared = hasSharedData ? test : test.skip;

const writeFolder = temporaryFolder(test);

async function readTensor(checkpoint: Checkpoint, name: string): Promise<Float32Array> {
  const { type, rows, cols } = checkpoint.tensors.get(name)!;
  return decodeRows(type, await checkpoint.readRows(name, 0, rows), rows, cols);
}

/** All tensors, read in two parts each, must be what was written. */
async function checkWeights(
  checkpoint: Checkpoint,
  weights: ReadonlyMap<string, Weights>,
  type: FileType,
  expected = ({ values }: Weights, _name: string) => values,
): Promise<void> {
  assert.equal([...checkpoint.tensors.keys()].sort(), [...weights.keys()].sort());
  for (const [name, weight] of weights) {
    const [rows, cols] = weight.shape.length === 2 ? weight.shape : [1, weight.shape[0]];
    const stored = weight.shape.length === 2 ? type : 'F32';
    assert.equal(checkpoint.tensors.get(name), { name, type: stored, rows, cols });
    const bytes = encodeRows(stored, expected(weight, name));
    const middle = Math.floor(rows! / 2);
    const parts = [await checkpoint.readRows(name, 0, middle), await checkpoint.readRows(name, middle, rows! - middle)];
    assert.equal(new Uint8Array(Buffer.concat(parts)), bytes, name);
  }
}

const FAMILIES: readonly LlamaConfig[] = [
  SMALL_LLAMA,
  { ...SMALL_LLAMA, architecture: 'qwen2', attentionBias: true, tiedEmbeddings: true },
  { ...SMALL_LLAMA, architecture: 'qwen3', qkNorm: 'head', headDim: 32, ropeDim: 32 },
];

for (const config of FAMILIES) {
  const weights = randomWeights(config);

  test(`${config.architecture}: safetensors of all types`, async () => {
    for (const type of ['F32', 'F16', 'BF16', 'Q4_0'] as const) {
      const checkpoint = await openFolder(memoryFolder(safetensorsFolder(config, weights, type)));
      assert.equal([checkpoint.format, checkpoint.config], ['safetensors', config]);
      await checkWeights(checkpoint, weights, type);
      await checkpoint.close();
    }
  });

  test(`${config.architecture}: GGUF of all types`, async () => {
    for (const type of ['F32', 'F16', 'BF16', 'Q8_0', 'Q4_0'] as const) {
      const checkpoint = await openGgufSource(memorySource('m.gguf', ggufFile(config, weights, type, { version: 2 })));
      assert.is(checkpoint.format, 'GGUF v2');
      await checkWeights(checkpoint, weights, type, ({ values, shape }, name) => {
        const moved = config.architecture === 'llama' && /\.[qk]_proj/.test(name);
        return moved ? interleaveRows(values, config.headDim, shape) : values;
      });
      await checkpoint.close();
    }
  });
}

const WEIGHTS = randomWeights(SMALL_LLAMA);
const FILES = safetensorsFolder(SMALL_LLAMA, WEIGHTS);

test('a folder, its files, a zip archive and a GGUF file are opened by content', async () => {
  const path = await writeFolder('opened', FILES);
  const zip = zipSync(Object.fromEntries([...FILES].map(([name, bytes]) => [`model/${name}`, bytes])));
  const others = await writeFolder(
    'others',
    new Map([
      ['model.bin', zip],
      ['gguf', ggufFile(SMALL_LLAMA, WEIGHTS)],
    ]),
  );
  const inFolder = [path, join(path, 'config.json'), join(path, 'model.safetensors')];
  for (const place of [...inFolder, join(others, 'model.bin'), join(others, 'gguf')]) {
    const checkpoint = await openCheckpoint(place);
    assert.is(checkpoint.path, place);
    assert.is(checkpoint.config.hidden, SMALL_LLAMA.hidden);
    assert.equal(await readTensor(checkpoint, 'model.norm.weight'), WEIGHTS.get('model.norm.weight')!.values, place);
    assert.is(await checkpoint.vocab(), undefined);
    await checkpoint.close();
  }
});

function tensorsOf(weights: ReadonlyMap<string, Weights>): TensorBytes[] {
  return [...weights].map(([name, { shape, values }]) => ({
    name,
    type: 'F32',
    shape,
    bytes: encodeRows('F32', values),
  }));
}

/** The model in two shards with an index. */
function sharded(): Map<string, Uint8Array | string> {
  const tensors = tensorsOf(WEIGHTS);
  const names = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];
  const map = Object.fromEntries(tensors.map(({ name }, i) => [name, names[i % 2]]));
  return new Map<string, Uint8Array | string>([
    ['config.json', JSON.stringify(configJson(SMALL_LLAMA))],
    ['model.safetensors.index.json', JSON.stringify({ metadata: { total_size: 1 }, weight_map: map })],
    [names[0]!, writeSafetensors(tensors.filter((_, i) => i % 2 === 0))],
    [names[1]!, writeSafetensors(tensors.filter((_, i) => i % 2 === 1))],
  ]);
}

test('a GGUF file of a legal but unusual layout', async () => {
  const metadata: GgufEntry[] = [
    ['maker.empty', 'string[]', []],
    ['maker.numbers', 'i16[]', [-1, 7]],
    ['maker.flags', 'bool[]', [true]],
    ['maker.large', 'u64', 2n ** 63n],
  ];
  const file = ggufFile(SMALL_LLAMA, WEIGHTS, 'Q8_0', { metadata, alignment: 64, reversed: true });
  const checkpoint = await openGgufSource(memorySource('m.gguf', file));
  await checkWeights(checkpoint, WEIGHTS, 'Q8_0', ({ values, shape }, name) =>
    /\.[qk]_proj/.test(name) ? interleaveRows(values, SMALL_LLAMA.headDim, shape) : values,
  );
  await checkpoint.close();
});

test('what is missing beside a model is said', async () => {
  const cases: [readonly string[], RegExp][] = [
    [['config.json', 'm.gguf'], /neither.*nor.*give its own path, for instance memory\/m\.gguf/],
    [['config.json', ...[1, 2].map((i) => `model-0000${i}-of-00002.safetensors`)], /get the index too/],
    [['blobs', 'snapshots'], /give a folder in memory\/snapshots/],
    [['params.json', 'consolidated.00.pth'], /maker's own layout: get the model in Hugging Face's, or as GGUF/],
    [['adapter_config.json', 'adapter_model.safetensors'], /an adapter \(LoRA\): merge it/],
    [['m.gguf'], /no config\.json: to open a GGUF file/],
  ];
  for (const [names, message] of cases) {
    const files = new Map(names.map((name) => [name, FILES.get(name) ?? new Uint8Array()]));
    await expectError(() => openFolder(memoryFolder(files)), 'bad-file', message);
  }
  const metadata = ggufFile(SMALL_LLAMA, new Map());
  await expectError(() => openGgufSource(memorySource('m.gguf', metadata)), 'bad-file', /has no tensors/);
});

test("Hugging Face's cache: links to blobs, and what a copy of links alone leaves", async () => {
  const blobs = await writeFolder('cache/blobs', FILES);
  const snapshot = await writeFolder('cache/snapshots/1', new Map());
  for (const name of FILES.keys()) await symlink(join('..', '..', 'blobs', name), join(snapshot, name));
  for (const path of [snapshot, join(snapshot, 'model.safetensors')]) await (await openCheckpoint(path)).close();
  await rm(join(blobs, 'model.safetensors'));
  await expectError(
    () => openCheckpoint(snapshot),
    'bad-argument',
    /model\.safetensors is a link to a file that is not/,
  );
});

test('shards are one model, whichever of its files is given', async () => {
  const path = await writeFolder('sharded', sharded());
  for (const file of ['', 'model.safetensors.index.json', 'model-00002-of-00002.safetensors']) {
    const checkpoint = await openCheckpoint(join(path, file));
    assert.is(checkpoint.format, 'safetensors in 2 shards');
    await checkWeights(checkpoint, WEIGHTS, 'F32');
    await checkpoint.close();
  }
});

test('what the model does not need is left out, whatever its type', async () => {
  const rest = {
    'model.layers.0.self_attn.rotary_emb.inv_freq': { type: 'F64', shape: [8], bytes: new Uint8Array(64) },
    steps: { type: 'I64', shape: [], bytes: new Uint8Array(8) },
  };
  await checkWeights(await openFolder(withTensors(rest)), WEIGHTS, 'F32');
});

test('RoPE factors come from the GGUF tensor', async () => {
  const factors = Float32Array.of(1, 1, 1, 1.5, 2, 4, 8, 8);
  const rope = { name: 'rope_freqs.weight', type: 'F32', shape: [8], bytes: encodeRows('F32', factors) };
  const open = (changes: object) =>
    openGgufSource(
      memorySource('m.gguf', ggufFile(SMALL_LLAMA, WEIGHTS, 'F32', { tensors: [{ ...rope, ...changes }] })),
    );
  assert.equal((await open({})).config.ropeScaling, { kind: 'factors', factors });
  await expectError(() => open({ shape: [2, 4] }), 'bad-file', /F32 \[2, 4\] where F32 \[8\]/);
  await expectError(() => open({ bytes: new Uint8Array(32) }), 'bad-file', /not between 0 and 1e6/);
  await expectError(() => open({ type: 'F16', bytes: new Uint8Array(16) }), 'bad-file', /F16 \[8\] where F32/);
});

/** The folder of SMALL_LLAMA with some tensors changed, added, or (undefined) left out. */
function withTensors(changes: Readonly<Record<string, Partial<TensorBytes> | undefined>>): Folder {
  const tensors = new Map(tensorsOf(WEIGHTS).map((tensor) => [tensor.name, tensor]));
  for (const [name, change] of Object.entries(changes)) {
    const old = tensors.get(name) ?? { name, type: 'F32', shape: [1], bytes: new Uint8Array(4) };
    if (change) tensors.set(name, { ...old, ...change });
    else tensors.delete(name);
  }
  return memoryFolder(new Map(FILES).set('model.safetensors', writeSafetensors([...tensors.values()])));
}

const Q_PROJ = 'model.layers.1.self_attn.q_proj.weight';

test('tensors must agree with the configuration', async () => {
  await openFolder(withTensors({ 'model.norm.weight': { shape: [1, 64] } }));
  const oProjBias = 'model.layers.0.self_attn.o_proj.bias';
  const cases: [Parameters<typeof withTensors>[0], 'bad-file' | 'unsupported-model', RegExp][] = [
    [{ [Q_PROJ]: undefined }, 'bad-file', /tensor model\.layers\.1\.self_attn\.q_proj\.weight \[64, 64\] is missing/],
    [
      { [Q_PROJ]: { shape: [32, 128] } },
      'bad-file',
      /layers\.1.*q_proj\.weight is \[32, 128\] where \[64, 64\] is expected/,
    ],
    [{ [Q_PROJ]: { shape: [4096] } }, 'bad-file', /is \[4096\] where \[64, 64\]/],
    [{ [Q_PROJ]: { shape: [64, 64, 1] } }, 'bad-file', /is \[64, 64, 1\]/],
    [{ [Q_PROJ]: { shape: [2, 64, 64], type: 'F16' } }, 'bad-file', /is \[2, 64, 64\]/],
    [
      { [Q_PROJ]: { type: 'I32' } },
      'unsupported-model',
      /q_proj\.weight \(I32\) is not run; get the model in one of F32/,
    ],
    [{ [oProjBias]: {} }, 'unsupported-model', /o_proj\.bias is a bias/],
  ];
  for (const [changes, code, message] of cases)
    await expectError(() => openFolder(withTensors(changes)), code, message);
});

test('the index must make sense', async () => {
  const open = (change: (files: Map<string, Uint8Array | string>) => void) => {
    const files = sharded();
    change(files);
    return openFolder(memoryFolder(new Map([...files].map(([name, content]) => [name, Buffer.from(content)]))));
  };
  const index = (json: unknown) => (files: Map<string, Uint8Array | string>) => {
    files.set('model.safetensors.index.json', JSON.stringify(json));
  };
  await open(() => {});
  const shard = 'model-00001-of-00002.safetensors';
  await expectError(() => open((files) => files.delete(shard)), 'bad-file', /names "model-00001.*not beside it/);
  await expectError(() => open(index({ weight_map: { a: '../secret' } })), 'bad-file', /names "\.\.\/secret"/);
  await expectError(() => open(index({ weight_map: { a: 7 } })), 'bad-file', /names 7/);
  await expectError(() => open(index({ weight_map: {} })), 'bad-file', /names no files/);
  await expectError(() => open(index([])), 'bad-file', /no weight_map/);
  const twice = (files: Map<string, Uint8Array | string>) =>
    files.set('model-00002-of-00002.safetensors', files.get(shard)!);
  await expectError(() => open(twice), 'bad-file', /as has another shard/);
});

test('every file that was opened is closed', async () => {
  const files = sharded();
  let opened = 0;
  const counted = (extra: ReadonlyMap<string, string>): Folder => {
    const memory = memoryFolder(new Map([...files, ...extra].map(([name, content]) => [name, Buffer.from(content)])));
    const open = async (name: string) => {
      opened++;
      const source = await memory.open(name);
      return { ...source, close: async () => void opened-- };
    };
    return { ...memory, open };
  };
  const checkpoint = await openFolder(counted(new Map()));
  assert.is(opened, 2, 'the shards stay open');
  await checkpoint.close();
  assert.is(opened, 0);
  await expectError(() => openFolder(counted(new Map([['config.json', '{']]))), 'bad-file', /JSON/);
  const broken = new Map([['model-00002-of-00002.safetensors', 'x']]);
  await expectError(() => openFolder(counted(broken)), 'bad-file', /fewer/);
  assert.is(opened, 0);
});

test('a tokenizer that we cannot read is said, not passed over', async () => {
  const files = new Map(FILES).set('tokenizer.model', new Uint8Array(4));
  const checkpoint = await openFolder(memoryFolder(files));
  await expectError(() => checkpoint.vocab(), 'bad-tokenizer', /tokenizer\.model is no protocol buffer/);
});

test('the built-in model lies in the package', () => {
  assert.ok(isAbsolute(builtinPath()));
  assert.match(builtinPath().replaceAll('\\', '/'), /\/engine\/builtin\/storyteller\.zip$/);
});

const typesOf = ({ tensors }: Pick<Checkpoint, 'tensors'>) =>
  [...new Set([...tensors.values()].map(({ type }) => type))].sort();

shared('aidreams: every container and type opens with its configuration', async () => {
  const root = sharedPath('models/aidreams260K');
  const hf: LlamaConfig = {
    ...SMALL_LLAMA,
    ...{ layers: 4, feedForward: 172, kvHeads: 4, vocab: 512, context: 512, tiedEmbeddings: true },
  };
  const gguf: LlamaConfig = { ...hf, ropePairs: 'interleaved', normEpsilon: Math.fround(1e-5) };
  const padded = { ...gguf, feedForward: 192 };
  const cases: [string, LlamaConfig, FileType][] = [
    ['hf', hf, 'F32'],
    ['hf-sharded-bf16', hf, 'BF16'],
    ['gguf/aidreams260K-F32.gguf', gguf, 'F32'],
    ['gguf/aidreams260K-F16.gguf', gguf, 'F16'],
    ['gguf/aidreams260K-Q8_0.gguf', padded, 'Q8_0'],
    ['gguf/aidreams260K-Q4_0.gguf', padded, 'Q4_0'],
  ];
  for (const [path, config, type] of cases) {
    const checkpoint = await openCheckpoint(join(root, path));
    assert.equal(checkpoint.config, config, path);
    assert.is(checkpoint.tensors.size, 2 + 4 * 9);
    assert.equal(typesOf(checkpoint), [...new Set([type, path === 'hf-sharded-bf16' ? type : 'F32'])].sort(), path);
    await checkpoint.close();
  }
  for (const [type, types] of [
    ['Q4_1', ['F32', 'Q4_1', 'Q8_0']],
    ['Q5_0', ['F32', 'Q5_0', 'Q8_0']],
    ['mixed', ['F16', 'F32', 'Q5_0', 'Q8_0']],
  ] as const) {
    const checkpoint = await openCheckpoint(join(root, `gguf/aidreams260K-${type}.gguf`));
    assert.equal(typesOf(checkpoint), types, type);
    await checkpoint.close();
  }
});

shared('aidreams: safetensors and GGUF hold the same weights, bit for bit', async () => {
  const root = sharedPath('models/aidreams260K');
  const hf = await openCheckpoint(join(root, 'hf'));
  const gguf = await openCheckpoint(join(root, 'gguf/aidreams260K-F32.gguf'));
  for (const { name, rows, cols } of hf.tensors.values()) {
    const values = await readTensor(hf, name);
    const moved = /\.[qk]_proj/.test(name) ? interleaveRows(values, hf.config.headDim, [rows, cols]) : values;
    assert.equal(await readTensor(gguf, name), moved, name);
  }
  await hf.close();
  await gguf.close();
});

shared('the tokenizer is read with the files beside it', async () => {
  const read = (name: string) => readFileSync(sharedPath(`models/aidreams260K/hf/${name}`));
  const config = { ...configJson(SMALL_LLAMA), eos_token_id: 7 };
  const files = new Map<string, Uint8Array>([...FILES, ['config.json', Buffer.from(JSON.stringify(config))]]);
  const vocab = async () => (await openFolder(memoryFolder(files))).vocab();
  files.set('tokenizer.json', read('tokenizer.json'));
  assert.is((await vocab())!.tokens.length, 512);
  assert.equal((await vocab())!.eos, [7], 'from config.json');
  files.set('generation_config.json', Buffer.from('{"eos_token_id":[2,3]}'));
  assert.equal((await vocab())!.eos, [2, 3], 'generation_config.json goes first');
  files.set('tokenizer_config.json', Buffer.from('{"chat_template":"old"}'));
  assert.is((await vocab())!.chatTemplate, 'old');
  files.set('chat_template.jinja', Buffer.from('new'));
  assert.is((await vocab())!.chatTemplate, 'new');
  const gguf = await openCheckpoint(sharedPath('models/aidreams260K/gguf/aidreams260K-F16.gguf'));
  assert.is((await gguf.vocab())!.tokens.length, 512);
  await gguf.close();
});

shared('the tiny models open with the right configuration', async () => {
  const llama3 = { kind: 'llama3', factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 32 };
  const cases: Record<string, Partial<Record<keyof LlamaConfig, unknown>>> = {
    llama3: { architecture: 'llama', heads: 8, headDim: 32, hidden: 32, ropeTheta: 5e5, ropeScaling: llama3 },
    qwen2: {
      architecture: 'qwen2',
      attentionBias: true,
      tiedEmbeddings: true,
      slidingWindow: undefined,
      ropeTheta: 1e6,
    },
    qwen3: { architecture: 'qwen3', qkNorm: 'head', headDim: 32, layers: 3, attentionBias: false, normEpsilon: 1e-6 },
    mistral: { architecture: 'mistral', slidingWindow: 6, hidden: 60, headDim: 20, kvHeads: 1, vocab: 259 },
  };
  for (const [name, expected] of Object.entries(cases)) {
    const checkpoint = await openCheckpoint(sharedPath(`models/tiny-${name}`));
    for (const [key, value] of Object.entries(expected)) {
      assert.equal(checkpoint.config[key as keyof LlamaConfig], value, `${name} ${key}`);
    }
    for (const tensor of checkpoint.tensors.keys()) {
      assert.ok((await readTensor(checkpoint, tensor)).every(Number.isFinite), tensor);
    }
    await checkpoint.close();
  }
  for (const [type, types] of [
    ['Q2_K', ['F32', 'Q2_K', 'Q3_K', 'Q6_K']],
    ['Q3_K_M', ['F32', 'Q3_K', 'Q4_K', 'Q5_K', 'Q6_K']],
    ['Q4_K_M', ['F32', 'Q4_K', 'Q6_K']],
    ['Q5_K_M', ['F32', 'Q5_K', 'Q6_K']],
  ] as const) {
    const checkpoint = await openCheckpoint(sharedPath(`models/tiny-kquant/tiny-kquant-${type}.gguf`));
    assert.equal(typesOf(checkpoint), types, type);
    await checkpoint.close();
  }
});
if (!hasSharedData) reportSkipped('checkpoint.test.ts', 4);

test.run();
