/** The plan before the load: what models need, which context is taken, and what is said when nothing fits. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { allocatedBytes, uploadStagingBytes } from '../../devices/allocation.ts';
import { readTopology, type Topology } from '../../devices/topology.ts';
import type { AdapterInfo } from '../../devices/types.ts';
import { chooseContext, type EstimateOptions, estimate } from '../../engine/estimate.ts';
import { notEnoughMemory } from '../../engine/refusal.ts';
import { describeWeights } from '../../engine/weights.ts';
import type { LlamaConfig } from '../../loaders/types.ts';
import type { FileType } from '../../quant/file-types.ts';
import { blankCheckpoint, LLAMA_2_7B, LLAMA_2_13B, LLAMA_31_8B } from '../blank-model.ts';
import { type FakeMachine, MACHINES, writeMachine } from '../fake-machines.ts';
import { SMALL_LLAMA } from '../random-model.ts';
import { expectError } from './expect-error.ts';

const test = suite('estimate');
const MIB = 2 ** 20;
let folder = '';
test.before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'firstlight-'));
});
test.after(() => rm(folder, { recursive: true, force: true }));

let roots = 0;
async function topologyOf(machine: FakeMachine): Promise<Topology> {
  const root = join(folder, `${roots++}`);
  await writeMachine(root, machine);
  return readTopology(root);
}

const DECK: AdapterInfo = {
  name: 'AMD Custom GPU 0405 (RADV VANGOGH)',
  driver: 'radv: Mesa 25.0.7',
  vendor: 'amd',
  architecture: 'rdna-2',
  software: false,
  limits: {
    maxBufferBytes: 2 ** 32 - 4,
    maxBindingBytes: 2 ** 32 - 4,
    maxWorkgroupThreads: 1024,
    maxWorkgroupBytes: 65536,
    maxWorkgroupsPerDimension: 65535,
    maxStorageBuffers: 16,
  },
};
const withBinding = (maxBindingBytes: number) => ({ ...DECK, limits: { ...DECK.limits, maxBindingBytes } });

const ALLOCATIONS: readonly (readonly [title: string, sizes: readonly number[], total: number])[] = [
  ['nothing', [], 0],
  ['one word takes a block', [4], 8 * MIB],
  ['large buffers have their own allocations', [4 * MIB, 5 * MIB], 9 * MIB],
  ['of whole pages', [4 * MIB + 1], 4 * MIB + 4096],
  ['just below that, two share a block', [4 * MIB - 16, 4 * MIB - 16], 8 * MIB],
  ['and a third needs another', [3 * MIB, 3 * MIB, 3 * MIB], 16 * MIB],
  ['pieces are powers of two', [1.5 * MIB, 1.5 * MIB, 1.5 * MIB, 1.5 * MIB, 16], 16 * MIB],
  ['small ones fill what is left', [3 * MIB, MIB, MIB, 1.1 * MIB, 16], 16 * MIB],
  ['a free piece is halved', [3 * MIB, 16, 2 * MIB, MIB, MIB / 2, MIB / 4], 8 * MIB],
  ['small pieces do not join for a large one', [16, 3 * MIB, 3 * MIB], 16 * MIB],
];
for (const [title, sizes, total] of ALLOCATIONS) {
  test(`allocation: ${title}`, () => assert.is(allocatedBytes(sizes), total));
}

test('staging grows with the upload, up to five rings', () => {
  assert.is(uploadStagingBytes(0), 0);
  assert.is(uploadStagingBytes(1), 4 * MIB);
  assert.is(uploadStagingBytes(9 * MIB), 12 * MIB);
  assert.is(uploadStagingBytes(9000 * MIB), 20 * MIB);
});

const MODELS: readonly (readonly [
  name: string,
  config: LlamaConfig,
  weightsMib: number,
  kvMibAt2048: number,
  bytesPerToken: number,
])[] = [
  ['Llama-2-7B', LLAMA_2_7B, 3615.6, 1024, 3.717e9],
  ['Llama-2-13B', LLAMA_2_13B, 6983.6, 1600, 7.23e9],
  ['Llama-3.1-8B', LLAMA_31_8B, 4308.6, 256, 4.22e9],
];
for (const [name, config, weightsMib, kvMib, bytesPerToken] of MODELS) {
  test(`${name} in 4 bits with 2048 positions, in well under a second`, async () => {
    const topology = await topologyOf(MACHINES.deckLcd4);
    const start = performance.now();
    const plan = estimate(blankCheckpoint(config, 'Q4_0'), DECK, topology, { context: 2048 });
    assert.ok(performance.now() - start < 500);
    assert.is(plan.weightsOption, 'native');
    assert.ok(Math.abs(plan.bytes.weights / MIB - weightsMib) < 0.1, `${plan.bytes.weights / MIB} MiB`);
    assert.is(plan.bytes.kv, kvMib * MIB);
    assert.is(
      plan.totalBytes,
      Object.values(plan.bytes).reduce((sum, bytes) => sum + bytes, 0),
    );
    const rest = plan.totalBytes - plan.bytes.weights - plan.bytes.kv;
    assert.ok(rest > 4 * MIB && rest < 120 * MIB, `${rest / MIB} MiB beside weights and cache`);
    assert.is(plan.fits, true);
    assert.ok(Math.abs(plan.speed!.bytesPerToken / bytesPerToken - 1) < 0.002, `${plan.speed!.bytesPerToken}`);
  });
}

test('a float checkpoint is planned in 4 bits, as it is loaded', async () => {
  const topology = await topologyOf(MACHINES.deckLcd);
  const quantised = estimate(blankCheckpoint(LLAMA_2_7B, 'Q4_0'), DECK, topology);
  const float = estimate(blankCheckpoint(LLAMA_2_7B, 'F16'), DECK, topology);
  assert.is(float.weightsOption, 'q4');
  assert.equal(float.bytes, quantised.bytes);
  const native = estimate(blankCheckpoint(LLAMA_2_7B, 'F16'), DECK, topology, { weights: 'native', stream: false });
  assert.ok(native.bytes.weights > 12_800 * MIB);
  assert.is(native.fits, false);
  const exact = estimate(blankCheckpoint(LLAMA_2_7B, 'Q4_0'), DECK, topology, { arithmetic: 'f32', context: 2048 });
  assert.is(exact.kv, 'f32');
  assert.is(exact.bytes.kv, 2048 * MIB);
});

test('a q8 cache has 34 bytes for 32 elements', async () => {
  const topology = await topologyOf(MACHINES.deckLcd);
  const plan = (config: LlamaConfig, kv: 'f16' | 'q8') =>
    estimate(blankCheckpoint(config, 'Q4_0'), DECK, topology, { kv, context: 2048 }).bytes.kv;
  assert.is(plan(LLAMA_2_7B, 'q8'), (plan(LLAMA_2_7B, 'f16') * 34) / 64);
  const tens = { ...SMALL_LLAMA, headDim: 10, ropeDim: 10, context: 2048 };
  await expectError(() => plan(tens, 'q8'), 'bad-argument', /heads of a multiple of 8.* have 10 elements: use f16/);
});

test('speed follows the bandwidth of a known machine, and is not guessed for others', async () => {
  const plan = async (machine: FakeMachine, adapter: AdapterInfo) =>
    estimate(blankCheckpoint(LLAMA_2_7B, 'Q4_0'), adapter, await topologyOf(machine), { context: 4096 }).speed;
  const lcd = await plan(MACHINES.deckLcd, DECK);
  assert.ok(Math.abs(lcd!.tokensPerSecond - 16.57) < 0.01, `${lcd!.tokensPerSecond}`);
  assert.ok(Math.abs(lcd!.tokensPerSecondFull - 10.5) < 0.01, `${lcd!.tokensPerSecondFull}`);
  assert.is(lcd!.assumption, 'if decode reaches 70 % of 88 GB/s of memory bandwidth');
  const oled = await plan(MACHINES.deckOled, DECK);
  assert.ok(Math.abs(oled!.tokensPerSecond / lcd!.tokensPerSecond - 102.4 / 88) < 1e-9);
  assert.is(await plan(MACHINES.phoenix, { ...DECK, name: 'AMD Radeon 780M (RADV PHOENIX)' }), undefined);
  assert.is(await plan(MACHINES.deckLcd, { ...DECK, software: true }), undefined);
});

test('tied embeddings are read for every token, and a window bounds the cache that is', async () => {
  const topology = await topologyOf(MACHINES.deckLcd);
  const speedOf = (config: LlamaConfig) => estimate(blankCheckpoint(config, 'Q4_0'), DECK, topology).speed!;
  const plain = speedOf(LLAMA_2_7B);
  assert.is(speedOf({ ...LLAMA_2_7B, tiedEmbeddings: true }).bytesPerToken, plain.bytesPerToken);
  const windowed = speedOf({ ...LLAMA_2_7B, slidingWindow: 1024 });
  const full = (speed: typeof plain) => 0.7 * (88e9 / speed.tokensPerSecondFull) - speed.bytesPerToken;
  assert.ok(Math.abs(full(windowed) / full(plain) - 1 / 4) < 1e-6);
});

test('the context is chosen by what is asked for, what the model has, and what fits', () => {
  assert.is(chooseContext('auto', 131_072, 131_072), 4096);
  assert.is(chooseContext('auto', 2048, 2048), 2048);
  assert.is(chooseContext('auto', 4096, 1562), 1536);
  assert.is(chooseContext('auto', 4096, 10), 256);
  assert.is(chooseContext('auto', 128, 0), 128);
  assert.is(chooseContext('largest', 131_072, 30_985), 30_976);
  assert.is(chooseContext('largest', 131_072, 131_072), 131_072);
  assert.is(chooseContext(2048, 4096, 10), 2048);
});

test('the largest context that fits does, and one more position does not', async () => {
  const topology = await topologyOf(MACHINES.deckLcd);
  for (const config of [LLAMA_2_13B, LLAMA_31_8B]) {
    const plan = (options: EstimateOptions) => estimate(blankCheckpoint(config, 'Q4_0'), DECK, topology, options);
    const { largestContext } = plan({});
    assert.ok(largestContext > 256 && largestContext < config.context, `${largestContext}`);
    assert.is(plan({ context: largestContext }).fits, true);
    assert.is(plan({ context: largestContext + 1, stream: false }).fits, false);
    const auto = plan({});
    assert.is(auto.fits, true);
    assert.is(auto.context, Math.min(4096, largestContext - (largestContext % 64)));
  }
});

test('a margin takes its part of the context', async () => {
  const topology = await topologyOf(MACHINES.deckLcd);
  const largest = (marginBytes: number) =>
    estimate(blankCheckpoint(LLAMA_31_8B, 'Q4_0'), DECK, topology, { marginBytes }).largestContext;
  // 128 KiB of cache and 512 bytes of angles each
  const positions = (largest(0) - largest(1024 * MIB)) * (128 * 1024 + 512);
  assert.ok(Math.abs(positions / (1024 * MIB) - 1) < 0.02, `${positions / MIB} MiB`);
});

test('where nothing tells what is free, the plan says so and goes by the model', async () => {
  const topology = await topologyOf(MACHINES.nvidia);
  const nvidia = { ...DECK, name: 'NVIDIA H200', vendor: 'nvidia' };
  const plan = estimate(blankCheckpoint(LLAMA_2_13B, 'Q4_0'), nvidia, topology);
  assert.is(plan.fits, undefined);
  assert.is(plan.largestContext, 4096);
  assert.is(plan.context, 4096);
  assert.match(plan.budget.rule, /^unknown/);
});

test('no buffer may be larger than a binding', async () => {
  const topology = await topologyOf(MACHINES.strixHalo);
  const adapter = { ...withBinding(128 * MIB), name: 'Radeon 8060S Graphics (RADV STRIX_HALO)' };
  const checkpoint = blankCheckpoint({ ...LLAMA_2_7B, context: 32_768 }, 'Q4_0', 'model');
  const plan = estimate(checkpoint, adapter, topology, { context: 'largest' });
  assert.is(plan.bindableContext, 8192); // 16 KiB a position in each layer's cache
  assert.is(plan.context, 8192);
  assert.is(plan.fits, true);
  const beyond = estimate(checkpoint, adapter, topology, { context: 8193 });
  assert.is(beyond.fits, false);
  const weights = describeWeights(checkpoint, 'native', adapter.limits.maxBindingBytes);
  assert.match(
    notEnoughMemory('model', beyond, adapter, topology, weights).message,
    /^model: a context of 8193 needs a buffer above the 128 MiB that Radeon 8060S .* allows for one: .* at most 8192$/,
  );
});

test('what does not fit is streamed: as few layers as possible', async () => {
  const topology = await topologyOf(MACHINES.deckLcd);
  const GIB = 1024 * MIB;
  for (const [type, options, mostBytes] of [
    ['F16', { weights: 'native' }, 8752 * MIB - 512 * MIB],
    ['Q4_0', { memoryBytes: 3 * GIB }, 3 * GIB],
    ['Q4_0', { memoryBytes: 3 * GIB, context: 2048 }, 3 * GIB],
  ] as const) {
    const plan = (more: EstimateOptions = {}) =>
      estimate(blankCheckpoint(LLAMA_2_7B, type), DECK, topology, { ...options, ...more });
    const { fits, residentLayers, streamedBytes, context, totalBytes, bytes, speed } = plan();
    assert.is(fits, true);
    assert.ok(residentLayers >= 0 && residentLayers < 30, `${residentLayers} layers stay`);
    assert.is(context, 'context' in options ? 2048 : 1024);
    assert.ok(totalBytes <= mostBytes, `${totalBytes} bytes`);
    assert.is(plan({ residentLayers: residentLayers + 1, context }).fits, false);
    const all = plan({ residentLayers: 32, context });
    const layer = streamedBytes / (32 - residentLayers);
    assert.ok(
      Math.abs(all.bytes.weights - bytes.weights - streamedBytes + 2 * layer) < MIB,
      "two layers' worth of buffers",
    );
    assert.match(speed!.assumption, /of memory bandwidth and layers are streamed at 4 GB\/s$/);
    assert.ok(Math.abs(1 / speed!.tokensPerSecond - 1 / all.speed!.tokensPerSecond - streamedBytes / 4e9) < 1e-6);
    assert.is(plan({ stream: false }).fits, false);
  }
});

test('a limit holds where nothing tells what is free, and is told when not even streaming helps', async () => {
  const topology = await topologyOf(MACHINES.nvidia);
  const nvidia = { ...DECK, name: 'NVIDIA H200', vendor: 'nvidia' };
  const checkpoint = blankCheckpoint(LLAMA_2_13B, 'Q4_0', 'model');
  const plan = estimate(checkpoint, nvidia, topology, { memoryBytes: 4096 * MIB });
  assert.is(plan.fits, true);
  assert.ok(plan.residentLayers > 5 && plan.residentLayers < 20, `${plan.residentLayers} layers stay`);
  assert.is(plan.wholeContext, 0);
  const small = estimate(checkpoint, nvidia, topology, { memoryBytes: 256 * MIB });
  assert.is(small.fits, false);
  const weights = describeWeights(checkpoint, 'native', nvidia.limits.maxBindingBytes);
  assert.match(
    notEnoughMemory('model', small, nvidia, topology, weights).message,
    /^model needs 7\d\d\d MiB \(.*\) on NVIDIA H200, or \d{3} MiB with all layers brought for each token, but at most 256 MiB may be taken: /,
  );
  const shorter = estimate(blankCheckpoint(LLAMA_2_7B, 'Q4_0'), DECK, await topologyOf(MACHINES.deckLcd), {
    memoryBytes: 5 * 1024 * MIB,
    context: 4096,
  });
  assert.ok(shorter.residentLayers < 32 && shorter.wholeContext > 2048, `${shorter.wholeContext} would fit whole`);
});

test('only layers that the CPU does not pack need no main memory of their own', async () => {
  const topology = await topologyOf({ ...MACHINES.deckLcd, memory: [14_800, 2_500] });
  const plan = (type: FileType) =>
    estimate(blankCheckpoint(LLAMA_2_7B, type), DECK, topology, { weights: 'q4', memoryBytes: 1024 * MIB }).fits;
  assert.is(plan('Q4_0'), true);
  assert.is(plan('F16'), false);
  // beside 2 GiB in the carve-out 2 GiB of packed layers find room in main memory, beside 2 GiB in GTT they do not
  for (const [machine, fits] of [
    [{ ...MACHINES.deckLcd4, memory: [11_700, 5_000] }, true],
    [{ ...MACHINES.deckLcd, memory: [14_800, 5_000] }, false],
  ] as const) {
    const options = { weights: 'q4', memoryBytes: 2048 * MIB } as const;
    assert.is(estimate(blankCheckpoint(LLAMA_2_7B, 'F16'), DECK, await topologyOf(machine), options).fits, fits);
  }
});

const ANYWAY = 'close other programs, or set overcommit to load it all the same';
const BIOS = 'close other programs, set "UMA Frame Buffer Size" to 4G in the BIOS, or set overcommit';
const REFUSALS: readonly (readonly [
  title: string,
  machine: FakeMachine,
  config: LlamaConfig,
  type: FileType,
  options: EstimateOptions,
  parts: readonly string[],
])[] = [
  [
    'a shorter context helps',
    MACHINES.deckLcd,
    LLAMA_2_13B,
    'Q4_0',
    { context: 2048 },
    [
      'model needs 8647 MiB (weights 6984, KV cache 1600 for a context of 2048, activations 39, staging 4, rounding 20)',
      ' on AMD Custom GPU 0405 (RADV VANGOGH), but of 9152 MiB (VRAM + GTT) 8752 MiB are free, of which 512 MiB are left',
      `to other programs: ask for a context of at most 1472, keep the KV cache in q8, ${BIOS}`,
    ],
  ],
  [
    'a large carve-out is not asked for again',
    MACHINES.deckLcd4,
    LLAMA_2_13B,
    'Q4_0',
    { context: 4096 },
    [
      `ask for a context of at most 3392, keep the KV cache in q8, ${ANYWAY}`,
      'of which 2 GiB of main memory stay available',
    ],
  ],
  [
    'smaller weights and a smaller cache',
    MACHINES.deckLcd,
    LLAMA_2_7B,
    'F16',
    { weights: 'q8', kv: 'f32', context: 4096 },
    ['ask for a context of at most ', 'keep the KV cache in f16, load the weights as q4, close'],
  ],
  [
    "a limit of the caller's own, below which streaming takes even more",
    MACHINES.deckLcd,
    SMALL_LLAMA,
    'Q4_0',
    { memoryBytes: 5 * MIB, stream: true },
    [' on AMD Custom GPU 0405 (RADV VANGOGH), but of 9152', 'model, allow more than 5 MiB, or set overcommit'],
  ],
  [
    'nothing but a smaller model',
    { ...MACHINES.deckLcd, memory: [14_800, 2_500] },
    LLAMA_2_13B,
    'Q4_0',
    {},
    ['KV cache 200 for a context of 256', ` programs: keep the KV cache in q8, use a smaller model, ${BIOS}`],
  ],
];
for (const [title, machine, config, type, options, parts] of REFUSALS) {
  test(`refusal: ${title}`, async () => {
    const topology = await topologyOf(machine);
    const checkpoint = blankCheckpoint(config, type, 'model');
    const plan = estimate(checkpoint, DECK, topology, { stream: false, ...options });
    assert.is(plan.fits, false);
    const weights = describeWeights(checkpoint, plan.weightsOption, DECK.limits.maxBindingBytes);
    const { code, message } = notEnoughMemory('model', plan, DECK, topology, weights);
    assert.is(code, 'not-enough-memory');
    assert.not.match(message, /\n/);
    for (const part of parts) assert.ok(message.includes(part), `${message} has no "${part}"`);
  });
}

test('sizes that are none are refused', async () => {
  const topology = await topologyOf(MACHINES.container);
  const plan = (options: EstimateOptions) => () =>
    estimate(blankCheckpoint(SMALL_LLAMA, 'F32'), DECK, topology, options);
  for (const context of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])
    await expectError(plan({ context }), 'bad-argument', /^context is .*: it must be a whole number of at least 1$/);
  await expectError(plan({ context: 129 }), 'bad-argument', /made for 128: ask for at most that$/);
  await expectError(plan({ chunk: 0 }), 'bad-argument', /^chunk is 0/);
});

test.run();
