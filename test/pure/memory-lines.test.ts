/** What people read of a machine's memory and of an estimate. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { formatBudget, formatEstimate, formatTopology } from '../../bin/memory-lines.ts';
import { budgetBytes } from '../../devices/budget.ts';
import { readTopology, type Topology } from '../../devices/topology.ts';
import type { Estimate } from '../../engine/estimate.ts';
import { type FakeMachine, MACHINES, writeMachine } from '../fake-machines.ts';

const test = suite('memory lines');
const MIB = 2 ** 20;

async function topologyOf(machine: FakeMachine): Promise<Topology> {
  const root = await mkdtemp(join(tmpdir(), 'firstlight-'));
  try {
    await writeMachine(root, machine);
    return await readTopology(root);
  } finally {
    await rm(root, { recursive: true });
  }
}

const SHOWN: readonly (readonly [string, FakeMachine, readonly string[]])[] = [
  [
    'a Deck with both pools',
    MACHINES.deckLcd4,
    [
      'Valve Jupiter, steam-deck-lcd, Linux 6.16.12-valve1',
      'main memory 11700 MiB, 8600 available; swap 1024 MiB, 512 free',
      'card0: Steam Deck LCD (Van Gogh), amdgpu, integrated',
      `  [##${'.'.repeat(14)}|${'.'.repeat(32)}]`,
      '  carve-out 4096 | GTT 8128 | used 450 | free 11774 MiB',
      '  reset after 10000 ms',
    ],
  ],
  [
    'a tiny carve-out is still seen, and queues that differ are named',
    {
      ...MACHINES.strixHalo,
      lockupTimeout: '0,-1,500,0',
      gpus: [{ pci: '1002:1586', vram: [512, 512], gtt: [110_000, 55_000] }],
    },
    [
      'GMKtec NucBox_EVO-X2, apu, Linux 7.0.1-arch1',
      'main memory 128000 MiB, 120000 available; swap 1024 MiB, 512 free',
      'card0: Radeon 8060S (Strix Halo), amdgpu, integrated',
      `  [#|${'#'.repeat(24)}${'.'.repeat(24)}]`,
      '  carve-out 512 | GTT 110000 | used 55512 | free 55000 MiB',
      '  reset after gfx 2000 ms, compute never, sdma 500 ms, video 2000 ms',
    ],
  ],
  [
    'a card and the APU beside it',
    MACHINES.radeonCard,
    [
      'ASUS System Product Name, discrete, Linux 6.17.3-1-default',
      'main memory 64000 MiB, 50000 available; swap 1024 MiB, 512 free',
      'card0: Radeon RX 7900, amdgpu, discrete',
      `  [##${'.'.repeat(46)}]`,
      '  VRAM 24560 | used 1000 | free 23560 MiB',
      '  reset after 10000 ms',
      'card1: Radeon Graphics (Raphael), amdgpu, integrated',
      `  [.|${'.'.repeat(47)}]`,
      '  carve-out 512 | GTT 32000 | used 30 | free 32482 MiB',
      '  reset after 10000 ms',
    ],
  ],
  [
    'a GPU that tells nothing',
    { gpus: [{ pci: '10DE:2684', driver: 'nvidia' }] },
    ['unknown machine, discrete', 'card0: 10de:2684, nvidia, discrete'],
  ],
  [
    'a container',
    MACHINES.container,
    ['unknown machine, Linux 6.8.0-45-generic', 'main memory 8000 MiB, 6000 available; swap 1024 MiB, 512 free'],
  ],
];
for (const [title, machine, lines] of SHOWN) {
  test(`shows ${title}`, async () => assert.equal(formatTopology(await topologyOf(machine)), lines));
}

test('a budget in words', async () => {
  const deck = { name: 'AMD Custom GPU 0405 (RADV VANGOGH)', vendor: 'amd', software: false };
  const budget = budgetBytes(await topologyOf(MACHINES.deckLcd), deck);
  assert.is(formatBudget(budget), '8752 of 9152 MiB free (VRAM + GTT)');
  const unknown = budgetBytes(await topologyOf(MACHINES.nvidia), { ...deck, name: 'RTX', vendor: 'nvidia' });
  assert.is(formatBudget(unknown), 'free memory unknown: /sys shows no GPU that is surely RTX');
});

const PLAN: Estimate = {
  weightsOption: 'q4',
  kv: 'f16',
  context: 2048,
  slots: 1,
  chunk: 32,
  bytes: {
    weights: 3615.6 * MIB,
    kv: 1024 * MIB,
    activations: 3 * MIB,
    state: MIB,
    readback: 48,
    staging: 4 * MIB,
    rounding: 76.2 * MIB,
  },
  totalBytes: 4724 * MIB,
  residentLayers: 32,
  streamedBytes: 0,
  wholeContext: 4096,
  budget: {
    totalBytes: 9152 * MIB,
    freeBytes: 8752 * MIB,
    ownBytes: 724 * MIB,
    marginBytes: 512 * MIB,
    rule: 'VRAM + GTT',
  },
  fits: true,
  largestContext: 4096,
  bindableContext: 4096,
  speed: { bytesPerToken: 3.7e9, tokensPerSecond: 16.57, tokensPerSecondFull: 12.86, assumption: 'if all goes well' },
};

test('an estimate to the MiB', () => {
  assert.equal(formatEstimate(PLAN, '').split('\n'), [
    'weights         3616  MiB  q4',
    'KV cache        1024  MiB  2048 positions, f16',
    'activations        5  MiB',
    'staging            4  MiB  on the way to the GPU',
    "rounding          77  MiB  blocks of Dawn's allocator",
    'total           4724  MiB',
    'free            8752  MiB  of 9152 MiB: VRAM + GTT; 512 MiB are left to other programs',
    'fits         yes, up to a context of 4096',
    'speed        16.6 tok/s at first, 12.9 with a full context, if all goes well',
    '',
  ]);
});

test('an estimate of which a part fits', () => {
  const streamed = { residentLayers: 20, streamedBytes: 1350 * MIB, wholeContext: 0 };
  const budget = { ...PLAN.budget, limitBytes: 3072 * MIB };
  const lines = formatEstimate({ ...PLAN, ...streamed, budget }, '');
  assert.match(lines, /^weights .* q4; the first 20 layers, others are brought for every token$/m);
  assert.match(lines, /^free .* 512 MiB are left to other programs; at most 3072 MiB are taken$/m);
  assert.match(lines, /^fits {9}in part: 1350 MiB of weights are brought to the GPU for every token, which is slow$/m);
});

test('an estimate that does not fit, and one of which nothing is known', () => {
  const refused = formatEstimate({ ...PLAN, fits: false, speed: undefined }, 'close other programs');
  assert.match(refused, /^fits {9}no: close other programs$/m);
  assert.not.match(refused, 'speed');
  const budget = {
    totalBytes: undefined,
    freeBytes: undefined,
    ownBytes: undefined,
    marginBytes: 0,
    rule: 'unknown: no files',
  };
  const unknown = formatEstimate({ ...PLAN, fits: undefined, budget }, 'close other programs');
  assert.match(unknown, /^free +\? +unknown: no files$/m);
  assert.match(unknown, /^fits {9}unknown$/m);
});

test.run();
