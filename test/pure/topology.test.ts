/** What is read of machines, and how much memory a load may take on them. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Budget, budgetBytes } from '../../devices/budget.ts';
import { findGpu, parseLockupTimeout, readTopology, type Topology } from '../../devices/topology.ts';
import { type FakeMachine, MACHINES, writeMachine } from '../fake-machines.ts';

const test = suite('topology');
let folder = '';
test.before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'firstlight-'));
});
test.after(() => rm(folder, { recursive: true, force: true }));

let roots = 0;
async function rootOf(machine: FakeMachine): Promise<string> {
  const root = join(folder, `${roots++}`);
  await mkdir(root);
  await writeMachine(root, machine);
  return root;
}

const MIB = 2 ** 20;
const adapter = (name: string, vendor = 'amd', software = false) => ({ name, vendor, software });
const DECK = adapter('AMD Custom GPU 0405 (RADV VANGOGH)');

/** The budget in MiB. */
async function budgetOf(machine: FakeMachine, who: ReturnType<typeof adapter>): Promise<Budget> {
  const budget = budgetBytes(await readTopology(await rootOf(machine)), who);
  const mib = (bytes: number | undefined) => (bytes === undefined ? undefined : bytes / MIB);
  return {
    ...budget,
    totalBytes: mib(budget.totalBytes),
    freeBytes: mib(budget.freeBytes),
    ownBytes: mib(budget.ownBytes),
    marginBytes: budget.marginBytes / MIB,
  };
}

test('a Steam Deck with everything that is read of it', async () => {
  const root = await rootOf(MACHINES.deckLcd);
  const all = 10_000;
  const expected: Topology = {
    kind: 'steam-deck-lcd',
    product: 'Valve Jupiter',
    kernel: '6.16.12-valve1',
    memory: {
      totalBytes: 14_800 * MIB,
      availableBytes: 11_500 * MIB,
      swapTotalBytes: 1024 * MIB,
      swapFreeBytes: 512 * MIB,
    },
    gpus: [
      {
        card: 'card0',
        driver: 'amdgpu',
        pci: '1002:163f',
        slot: '0000:04:00.0',
        name: 'Steam Deck LCD (Van Gogh)',
        integrated: true,
        vram: { totalBytes: 1024 * MIB, usedBytes: 300 * MIB },
        visibleVram: { totalBytes: 1024 * MIB, usedBytes: 300 * MIB },
        gtt: { totalBytes: 8128 * MIB, usedBytes: 100 * MIB },
        bandwidthBytesPerSecond: 88e9,
        lockupTimeoutMs: { gfx: all, compute: all, sdma: all, video: all },
        powerSensor: join(root, 'sys/class/drm/card0/device/hwmon/hwmon4/power1_average'),
      },
    ],
  };
  assert.equal(await readTopology(root), expected);
});

const KINDS: readonly (readonly [keyof typeof MACHINES, Topology['kind'], readonly (boolean | undefined)[]])[] = [
  ['deckLcd', 'steam-deck-lcd', [true]],
  ['deckLcd4', 'steam-deck-lcd', [true]],
  ['deckOled', 'steam-deck-oled', [true]],
  ['phoenix', 'apu', [true]],
  ['strixHalo', 'apu', [true]],
  ['radeonCard', 'discrete', [false, true]],
  ['nvidia', 'unknown', []],
  ['container', 'unknown', []],
];
for (const [name, kind, integrated] of KINDS) {
  test(`${name} is ${kind}`, async () => {
    const topology = await readTopology(await rootOf(MACHINES[name]));
    assert.is(topology.kind, kind);
    assert.equal(
      topology.gpus.map((gpu) => gpu.integrated),
      integrated,
    );
  });
}

test('an OLED Deck: its sensor and its queues', async () => {
  const root = await rootOf(MACHINES.deckOled);
  const [gpu] = (await readTopology(root)).gpus;
  assert.is(gpu?.powerSensor, join(root, 'sys/class/drm/card0/device/hwmon/hwmon5/power1_input'));
  assert.equal(gpu?.lockupTimeoutMs, { gfx: 5000, compute: 10_000, sdma: 10_000, video: 5000 });
  assert.is(gpu?.bandwidthBytesPerSecond, 102.4e9);
});

test('GPUs that are not known by their id', async () => {
  const gpus = [
    { pci: '1002:FFF0', vram: [512, 0], gtt: [8000, 0] },
    { pci: '1002:FFF1', vram: [8192, 0], gtt: [8000, 0], files: { board_info: 'type : cem\n' } },
    { pci: '1002:FFF2', vram: [8192, 0], gtt: [8000, 0], files: { mem_info_vram_vendor: 'hynix\n' } },
    { pci: '8086:FFF3', driver: 'i915', slot: '0000:00:02.0' },
    { pci: '8086:FFF4', driver: 'xe', slot: '0000:03:00.0' },
    { pci: '10DE:FFF5', driver: 'nvidia' },
    { pci: '1AF4:1050', driver: 'virtio-pci' },
  ] as const;
  const topology = await readTopology(await rootOf({ gpus }));
  assert.equal(
    topology.gpus.map(({ integrated }) => integrated),
    [true, false, false, true, false, false, undefined],
  );
  assert.equal(
    topology.gpus.map(({ lockupTimeoutMs }) => lockupTimeoutMs !== undefined),
    [true, true, true, false, false, false, false],
  );
});

test('nothing at all, and files that hold something else', async () => {
  assert.equal(await readTopology(join(folder, 'nowhere')), {
    kind: 'unknown',
    product: undefined,
    kernel: undefined,
    memory: undefined,
    gpus: [],
  });
  const root = await rootOf(MACHINES.deckLcd);
  const device = join(root, 'sys/class/drm/card0/device');
  await writeFile(join(device, 'mem_info_vram_total'), '-1\n');
  await writeFile(join(device, 'mem_info_vis_vram_total'), '99999999999999999999\n');
  await writeFile(join(device, 'mem_info_gtt_used'), 'permission denied\n');
  await writeFile(join(root, 'proc/meminfo'), 'MemTotal: lots\n');
  const topology = await readTopology(root);
  const [gpu] = topology.gpus;
  assert.is(gpu?.vram, undefined);
  assert.is(gpu?.visibleVram, undefined);
  assert.equal(gpu?.gtt, { totalBytes: 8128 * MIB, usedBytes: 0 });
  assert.is(topology.memory, undefined);
  assert.is(budgetBytes(topology, DECK).freeBytes, undefined);
  await writeFile(join(device, 'uevent'), 'MODALIAS=platform\n');
  assert.equal((await readTopology(root)).gpus, []);
});

const TIMEOUTS: readonly (readonly [string, string | undefined, readonly (number | 'never')[]])[] = [
  ['', '6.16.12-valve1', [10_000, 10_000, 10_000, 10_000]],
  ['', '6.17.0', [10_000, 10_000, 10_000, 10_000]],
  ['', '7.0.0', [2_000, 2_000, 2_000, 2_000]],
  ['', '6.18.46-valve1', [2_000, 2_000, 2_000, 2_000]],
  ['', undefined, [2_000, 2_000, 2_000, 2_000]],
  ['60000', '6.16.0', [60_000, 10_000, 60_000, 60_000]],
  ['60000', '7.2.0-valve1', [60_000, 60_000, 60_000, 60_000]],
  ['10000,60000,10000,10000', '6.16.0', [10_000, 60_000, 10_000, 10_000]],
  ['0,-1,0,500', '7.0.0', [2_000, 'never', 2_000, 500]],
  ['-1', '7.0.0', ['never', 'never', 'never', 'never']],
  ['0', '5.15.0', [10_000, 10_000, 10_000, 10_000]],
  ['1000,2500', '7.0.0', [1_000, 2_500, 2_000, 2_000]],
  ['soon', '7.0.0', [2_000, 2_000, 2_000, 2_000]],
];
for (const [parameter, kernel, [gfx, compute, sdma, video]] of TIMEOUTS) {
  test(`lockup_timeout=${parameter || 'nothing'} on Linux ${kernel}`, () => {
    assert.equal(parseLockupTimeout(parameter, kernel), { gfx, compute, sdma, video });
  });
}

const BUDGETS: readonly (readonly [string, FakeMachine, ReturnType<typeof adapter>, Budget])[] = [
  [
    'a Deck counts both pools',
    MACHINES.deckLcd,
    DECK,
    { totalBytes: 9152, freeBytes: 724 + 8028, ownBytes: 724, marginBytes: 512, rule: 'VRAM + GTT' },
  ],
  [
    'a large carve-out leaves less main memory, of which 2 GiB stay',
    MACHINES.deckLcd4,
    DECK,
    {
      totalBytes: 12_224,
      freeBytes: 3696 + 8600 - 2048,
      ownBytes: 3696,
      marginBytes: 512,
      rule: 'VRAM + GTT, of which 2 GiB of main memory stay available',
    },
  ],
  [
    'a Deck with a game running',
    MACHINES.deckOled,
    DECK,
    {
      totalBytes: 9152,
      freeBytes: 424 + 952,
      ownBytes: 424,
      marginBytes: 512,
      rule: 'VRAM + GTT, of which 2 GiB of main memory stay available',
    },
  ],
  [
    'main memory that is all but full gives nothing',
    { ...MACHINES.deckLcd, memory: [14_800, 1_500] },
    DECK,
    {
      totalBytes: 9152,
      freeBytes: 724,
      ownBytes: 724,
      marginBytes: 512,
      rule: 'VRAM + GTT, of which 2 GiB of main memory stay available',
    },
  ],
  [
    'a 780M',
    MACHINES.phoenix,
    adapter('AMD Radeon 780M (RADV PHOENIX)'),
    { totalBytes: 16_262, freeBytes: 312 + 15_450, ownBytes: 312, marginBytes: 512, rule: 'VRAM + GTT' },
  ],
  [
    'a Strix Halo with a small carve-out',
    MACHINES.strixHalo,
    adapter('Radeon 8060S Graphics (RADV GFX1151)'),
    { totalBytes: 110_512, freeBytes: 392 + 109_920, ownBytes: 392, marginBytes: 512, rule: 'VRAM + GTT' },
  ],
  [
    'a card counts its VRAM alone',
    MACHINES.radeonCard,
    adapter('AMD Radeon RX 7900 XTX (RADV NAVI31)'),
    { totalBytes: 24_560, freeBytes: 23_560, ownBytes: 23_560, marginBytes: 512, rule: 'VRAM' },
  ],
  [
    'the APU beside a card',
    MACHINES.radeonCard,
    adapter('AMD Radeon Graphics (RADV RAPHAEL_MENDOCINO)'),
    { totalBytes: 32_512, freeBytes: 492 + 31_990, ownBytes: 492, marginBytes: 512, rule: 'VRAM + GTT' },
  ],
  [
    'NVIDIA without files in /sys',
    MACHINES.nvidia,
    adapter('NVIDIA GeForce RTX 4090', 'nvidia'),
    {
      totalBytes: undefined,
      freeBytes: undefined,
      ownBytes: undefined,
      marginBytes: 512,
      rule: 'unknown: /sys shows no GPU that is surely NVIDIA GeForce RTX 4090',
    },
  ],
  [
    'a GPU whose driver tells nothing',
    { ...MACHINES.nvidia, gpus: [{ pci: '10DE:2684', driver: 'nvidia' }] },
    adapter('NVIDIA GeForce RTX 4090', 'nvidia'),
    {
      totalBytes: undefined,
      freeBytes: undefined,
      ownBytes: undefined,
      marginBytes: 512,
      rule: 'unknown: nvidia does not tell its memory',
    },
  ],
  [
    "Intel's, which shares all of main memory",
    { ...MACHINES.nvidia, gpus: [{ pci: '8086:9A49', driver: 'i915', slot: '0000:00:02.0' }] },
    adapter('Intel(R) Iris(R) Xe Graphics (TGL GT2)', 'intel'),
    {
      totalBytes: 64_000,
      freeBytes: 50_000 - 2048,
      ownBytes: 0,
      marginBytes: 512,
      rule: 'main memory, of which 2 GiB stay available',
    },
  ],
  [
    'a software driver in a container',
    MACHINES.container,
    adapter('SwiftShader Device (Subzero)', 'google', true),
    { totalBytes: 8_000, freeBytes: 6_000, ownBytes: 0, marginBytes: 0, rule: 'main memory' },
  ],
];
for (const [title, machine, who, expected] of BUDGETS) {
  test(`budget: ${title}`, async () => {
    assert.equal(await budgetOf(machine, who), expected);
  });
}

test('a margin of the caller goes before the usual one', async () => {
  const topology = await readTopology(await rootOf(MACHINES.deckLcd));
  assert.is(budgetBytes(topology, DECK, 7).marginBytes, 7);
});

test("Dawn's adapter is found among several GPUs, or none is", async () => {
  const two = [
    { pci: '1002:15BF', slot: '0000:c1:00.0' },
    { pci: '1002:7480', slot: '0000:03:00.0' },
  ];
  const topology = await readTopology(await rootOf({ gpus: two }));
  const slotOf = (name: string) => findGpu(topology, adapter(name))?.slot;
  assert.is(slotOf('AMD Radeon 780M (RADV GFX1103_R1)'), '0000:c1:00.0');
  assert.is(slotOf('AMD Radeon RX 7600M XT (RADV NAVI33)'), '0000:03:00.0');
  assert.is(slotOf('AMD Radeon 780M'), undefined); // another driver, which does not name the chip
  const twins = await readTopology(await rootOf({ gpus: [two[0]!, two[0]!] }));
  assert.is(findGpu(twins, adapter('AMD Radeon 780M (RADV PHOENIX)')), undefined);
  assert.is(findGpu(twins, adapter('AMD Radeon 780M (RADV PHOENIX)', 'intel')), undefined);
  const one = await readTopology(await rootOf(MACHINES.phoenix));
  assert.is(findGpu(one, adapter('AMD Radeon 780M (RADV A_LATER_NAME)'))?.card, 'card0');
});

test.run();
