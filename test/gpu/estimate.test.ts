/** The plan against what a driver is really asked for, and what happens where a plan does not fit. */
import { execFile, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { LONG, onlyLong, skipUnless } from '../device.ts';
import { MACHINES } from '../fake-machines.ts';
import type { BlankLoad, BlankResult } from './load-blank.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** Puts a layer between Dawn and the driver that shows an APU's memory types, counts, and refuses what is too much. */
const cap = fileURLToPath(new URL('../../../shared/vangogh/env.sh', import.meta.url));
const driver = process.env.FIRSTLIGHT_TEST_ADAPTER === 'llvmpipe' ? 'lavapipe' : 'swiftshader';
const isSetUp = existsSync(cap) && spawnSync(cap, [driver, 'true'], { cwd: root }).status === 0;
const MIB = 2 ** 20;

const test = suite('estimate and device');
const checkCapped = skipUnless('estimate', 'they need the memory cap of ../shared/vangogh', test, test);
const check = (name: string, run: () => Promise<void>) => checkCapped(isSetUp, name, run);

interface Measured extends BlankResult {
  /** Most bytes of device memory at once. */
  readonly peakBytes: number;
  readonly allocations: number;
}

async function measure(load: BlankLoad, vramMib: number, gttMib: number): Promise<Measured> {
  const folder = await mkdtemp(join(tmpdir(), 'firstlight-'));
  const [log, trace] = [join(folder, 'log'), join(folder, 'trace')];
  const sizes = { HEAP_CAP_VRAM_MB: `${vramMib}`, HEAP_CAP_GTT_MB: `${gttMib}` };
  try {
    const { stdout } = await promisify(execFile)(
      cap,
      [driver, process.execPath, '--import', 'tsx', 'test/gpu/load-blank.ts', JSON.stringify(load)],
      {
        cwd: root,
        env: { ...process.env, ...sizes, HEAP_CAP_LOG: log, HEAP_CAP_TRACE: trace },
        timeout: LONG ? 1_200_000 : 120_000,
      },
    );
    const result: BlankResult = JSON.parse(stdout.trim().split('\n').at(-1)!);
    const peaks = JSON.parse((await readFile(log, 'utf8')).trim().split('\n').at(-1)!);
    const lines = existsSync(trace) ? (await readFile(trace, 'utf8')).split('\n') : [];
    const allocations = lines.filter((line) => line.startsWith('{"alloc"')).length;
    return { ...result, peakBytes: peaks.total_peak, allocations };
  } finally {
    await rm(folder, { recursive: true });
  }
}

const HEADS = { heads: 16, kvHeads: 16, headDim: 64, ropeDim: 64 };
const WIDE = { ...HEADS, hidden: 1024, feedForward: 2816 };
const LOADS: readonly (readonly [title: string, load: BlankLoad])[] = [
  [
    'four bits with a long context',
    { config: { ...WIDE, layers: 4, vocab: 32_000, context: 4096 }, type: 'Q4_0', tokens: 2 },
  ],
  [
    'f16',
    { config: { ...HEADS, layers: 4, hidden: 512, feedForward: 1536, vocab: 32_000, context: 4096 }, type: 'F16' },
  ],
  [
    'q8 in many small buffers, with norms of heads and tied embeddings',
    {
      config: {
        ...HEADS,
        architecture: 'qwen3',
        qkNorm: 'head',
        tiedEmbeddings: true,
        layers: 12,
        hidden: 768,
        feedForward: 2048,
        vocab: 20_000,
        context: 2048,
      },
      type: 'Q8_0',
      options: { context: 1500 },
    },
  ],
  [
    'exact arithmetic',
    { config: { ...WIDE, layers: 2, vocab: 10_000, context: 4096 }, type: 'F32', options: { arithmetic: 'f32' } },
  ],
];
/** With those above and the streamed and large ones below there are ten kinds. */
const MORE_LOADS: typeof LOADS = [
  [
    'K quantisation, grouped heads, a q8 cache',
    {
      config: { ...WIDE, kvHeads: 4, layers: 6, vocab: 60_000, context: 16_384 },
      type: 'Q4_K',
      options: { kv: 'q8', context: 16_000 },
    },
  ],
  [
    'floats that are quantised on the way',
    { config: { ...WIDE, layers: 14, vocab: 10_000, context: 4096 }, type: 'F16', options: { weights: 'q4' } },
  ],
  [
    'two tables of turns, norms around, a window',
    {
      config: {
        ...WIDE,
        norms: 'both',
        layers: 12,
        vocab: 30_000,
        context: 2048,
        slidingWindow: 512,
        localRopeTheta: 1e4,
      },
      type: 'Q6_K',
    },
  ],
];
for (const [title, load] of LONG ? [...LOADS, ...MORE_LOADS] : LOADS) {
  check(`the plan is within 3 % of what is allocated: ${title}`, async () => {
    const { plan, message, peakBytes, ids } = await measure(load, 1024, 8128);
    assert.is(message, '');
    assert.is(ids.length, load.tokens ?? 0);
    assert.ok(peakBytes > 140 * MIB, `${peakBytes} bytes are too few to tell`);
    const ratio = plan!.totalBytes / peakBytes;
    assert.ok(Math.abs(ratio - 1) <= 0.03, `planned ${plan!.totalBytes} of ${peakBytes} bytes`);
  });
}

const MODEL: BlankLoad = { config: { ...WIDE, layers: 4, vocab: 32_000, context: 4096 }, type: 'Q4_0' };
const SMALL_DECK = { ...MACHINES.deckLcd, gpus: [{ pci: '1002:163F', vram: [40, 4], gtt: [40, 0] }] } as const;

check('what does not fit is refused before anything is allocated', async () => {
  const load: BlankLoad = { ...MODEL, machine: SMALL_DECK, asDeck: true, options: { marginBytes: 4 * MIB } };
  const refused = await measure(load, 40, 40);
  assert.is(refused.code, 'not-enough-memory');
  assert.match(
    refused.message,
    /^blank needs \d+ MiB .* but of 80 MiB \(VRAM \+ GTT\) 76 MiB are free, of which 4 MiB/,
  );
  assert.is(refused.plan?.fits, false);
  assert.is(refused.heldBytes, 0);
  assert.is(refused.allocations, 0);

  const forced = await measure({ ...load, options: { overcommit: true } }, 40, 40);
  // the driver refuses a buffer, or staging of Dawn's own, which loses the device
  assert.match(forced.message, /^no GPU memory left for \w+ buffer|^the GPU was lost/);
  assert.ok(forced.allocations > 0);
  assert.is(forced.heldBytes, 0);
});

check('the context that is chosen by the memory there is can be used', async () => {
  const machine = { memory: [400, 140] } as const;
  const { plan, message, ids, peakBytes } = await measure({ ...MODEL, machine, tokens: 2 }, 80, 80);
  assert.is(message, '');
  assert.is(ids.length, 2);
  assert.ok(plan!.context >= 256 && plan!.context < 4096, `context ${plan!.context}`);
  assert.ok(peakBytes <= 140 * MIB, `${peakBytes}`);
});

check('a session beyond the plan is refused when the machine has no room for it', async () => {
  const config = { ...MODEL.config, context: 12_288 };
  const load: BlankLoad = { ...MODEL, config, machine: { memory: [400, 150] }, options: { context: 256 } };
  const { plan, code, message, heldBytes } = await measure({ ...load, sessionContext: 12_288 }, 512, 512);
  assert.is(plan?.fits, true);
  assert.is(code, 'not-enough-memory');
  assert.match(
    message,
    /^blank needs \d+ MiB \(KV cache 192 for a context of 12288, .* at most \d+, keep the KV cache in q8, close other programs/,
  );
  assert.is(heldBytes, plan?.bytes.weights, 'the weights stay, the session took nothing');
});

/** 16 layers of 7 MiB. */
const DEEP: BlankLoad = {
  config: { ...WIDE, layers: 16, vocab: 2000, context: 512 },
  type: 'Q4_0',
  random: true,
  options: { context: 256 },
  tokens: 3,
};

check('a model larger than the memory there is: streamed within it, with the same ids, or refused', async () => {
  const whole = await measure({ ...DEEP, machine: { memory: [4000, 2000] } }, 1024, 1024);
  assert.is(whole.message, '');
  assert.is(whole.plan?.streamedBytes, 0);
  const machine = { memory: [400, 112] } as const;
  const { message, plan, ids, peakBytes } = await measure({ ...DEEP, machine }, 40, 72);
  assert.is(message, '');
  assert.ok(plan!.residentLayers < 12 && plan!.streamedBytes > 20 * MIB, `${plan!.residentLayers} layers stay`);
  assert.ok(peakBytes <= 112 * MIB, `${peakBytes}`);
  assert.ok(Math.abs(plan!.totalBytes / peakBytes - 1) <= 0.03, `planned ${plan!.totalBytes} of ${peakBytes} bytes`);
  assert.equal(ids, whole.ids);

  const refused = await measure({ ...DEEP, machine, options: { ...DEEP.options, stream: false } }, 40, 72);
  assert.match(
    refused.message,
    /^random needs 1\d\d MiB \(weights 11\d, .* but of 400 MiB \(main memory\) 112 MiB are free: /,
  );
  const tiny = await measure({ ...DEEP, machine: { memory: [400, 64] } }, 40, 24);
  assert.match(tiny.message, /^random needs .*, or \d+ MiB with all layers brought for each token, but of 400 MiB/);
  assert.is(tiny.allocations, 0);
});

/** 50 layers of 28 MiB, and 9 of 460 MiB: minutes on a CPU driver. */
const BIG: BlankLoad = {
  config: { ...HEADS, heads: 32, kvHeads: 32, hidden: 2048, feedForward: 5632, layers: 52, vocab: 8000, context: 512 },
  type: 'Q4_0',
  random: true,
  options: { context: 256 },
  tokens: 3,
};
const HUGE: BlankLoad = {
  config: {
    heads: 64,
    kvHeads: 8,
    headDim: 128,
    ropeDim: 128,
    hidden: 8192,
    feedForward: 28_672,
    layers: 9,
    vocab: 8000,
  },
  type: 'Q4_0',
  random: true,
  prompt: [1],
  tokens: 1,
};
const long = onlyLong('estimate', test, check);
const report = ({ plan, peakBytes, loadMs, decodeMs, ids, peakResidentBytes }: Measured) =>
  console.log(
    `  planned ${mib(plan!.totalBytes)}, allocated at most ${mib(peakBytes)} MiB, process ${mib(peakResidentBytes)} MiB; ` +
      `${plan!.residentLayers} layers stay; loaded in ${(loadMs / 1000).toFixed(1)} s, ${(decodeMs / Math.max(1, ids.length - 1)).toFixed(0)} ms a token`,
  );
const mib = (bytes: number) => Math.round(bytes / MIB);

long('1.5 GiB: with a carve-out that spills into GTT, streamed in 1 GiB, refused in 256 MiB', async () => {
  const spilling = await measure({ ...BIG, machine: { memory: [8000, 4000] } }, 512, 3000);
  assert.is(spilling.message, '');
  assert.ok(spilling.peakBytes > 1500 * MIB);
  report(spilling);
  const streamed = await measure({ ...BIG, machine: { memory: [8000, 1024] } }, 512, 512);
  assert.is(streamed.message, '');
  assert.ok(streamed.peakBytes <= 1024 * MIB);
  assert.equal(streamed.ids, spilling.ids);
  report(streamed);
  const refused = await measure({ ...BIG, options: { context: 512 }, machine: { memory: [8000, 256] } }, 128, 128);
  assert.is(refused.code, 'not-enough-memory');
  console.log(`  ${refused.message}`);
  assert.is(refused.allocations, 0);
});

long('more than 4 GiB of weights make a token', async () => {
  const measured = await measure(HUGE, 4096, 8128);
  assert.is(measured.message, '');
  assert.is(measured.ids.length, 1);
  assert.ok(measured.plan!.bytes.weights > 4096 * MIB);
  report(measured);
});

test.run();
