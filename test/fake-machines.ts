/** Machines as /proc and /sys show them, for a folder that stands for the filesystem's root. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

const MIB = 2 ** 20;

export interface FakeGpu {
  readonly pci: string;
  readonly driver?: string;
  readonly slot?: string;
  /** MiB: [total, used]. */
  readonly vram?: readonly [number, number];
  readonly gtt?: readonly [number, number];
  readonly files?: Readonly<Record<string, string>>;
}

export interface FakeMachine {
  readonly product?: readonly [vendor: string, product: string];
  readonly kernel?: string;
  /** MiB: [total, available]. */
  readonly memory?: readonly [number, number];
  readonly gpus?: readonly FakeGpu[];
  readonly lockupTimeout?: string;
}

const DECK_POWER = { 'hwmon/hwmon4/name': 'amdgpu', 'hwmon/hwmon4/power1_average': '4210000' };
const DECK: FakeMachine = { product: ['Valve', 'Jupiter'], kernel: '6.16.12-valve1', lockupTimeout: '' };

/** The machines that firstlight is for, and the neighbours it must not mistake for them. */
export const MACHINES = {
  deckLcd: {
    ...DECK,
    memory: [14_800, 11_500],
    gpus: [{ pci: '1002:163F', vram: [1024, 300], gtt: [8128, 100], files: DECK_POWER }],
  },
  deckLcd4: {
    ...DECK,
    memory: [11_700, 8_600],
    gpus: [{ pci: '1002:163F', vram: [4096, 400], gtt: [8128, 50], files: DECK_POWER }],
  },
  deckOled: {
    product: ['Valve', 'Galileo'],
    kernel: '6.18.46-valve1',
    memory: [14_800, 3_000],
    lockupTimeout: '5000,10000,10000,5000',
    gpus: [
      { pci: '1002:1435', vram: [1024, 600], gtt: [8128, 400], files: { 'hwmon/hwmon5/power1_input': '3900000' } },
    ],
  },
  phoenix: {
    product: ['Framework', 'Laptop 13'],
    kernel: '6.14.0-24-generic',
    memory: [31_500, 26_000],
    gpus: [{ pci: '1002:15BF', vram: [512, 200], gtt: [15_750, 300] }],
  },
  strixHalo: {
    product: ['GMKtec', 'NucBox_EVO-X2'],
    kernel: '7.0.1-arch1',
    memory: [128_000, 120_000],
    gpus: [{ pci: '1002:1586', vram: [512, 120], gtt: [110_000, 80] }],
  },
  radeonCard: {
    product: ['ASUS', 'System Product Name'],
    kernel: '6.17.3-1-default',
    memory: [64_000, 50_000],
    gpus: [
      {
        pci: '1002:744C',
        slot: '0000:03:00.0',
        vram: [24_560, 1_000],
        gtt: [32_000, 100],
        files: { board_info: 'type : cem\n', mem_info_vram_vendor: 'samsung\n' },
      },
      { pci: '1002:164E', slot: '0000:0f:00.0', vram: [512, 20], gtt: [32_000, 10] },
    ],
  },
  nvidia: { product: ['Dell', 'Tower'], kernel: '6.8.0-45-generic', memory: [64_000, 50_000] },
  container: { kernel: '6.8.0-45-generic', memory: [8_000, 6_000] },
} as const satisfies Record<string, FakeMachine>;

/** Writes a machine's files below `root`. */
export async function writeMachine(root: string, machine: FakeMachine): Promise<void> {
  const files = new Map<string, string>();
  const { product, kernel, memory, gpus = [], lockupTimeout } = machine;
  if (kernel !== undefined) files.set('proc/sys/kernel/osrelease', `${kernel}\n`);
  if (product) {
    files.set('sys/class/dmi/id/sys_vendor', `${product[0]}\n`);
    files.set('sys/class/dmi/id/product_name', `${product[1]}\n`);
  }
  if (memory) files.set('proc/meminfo', meminfo(memory));
  if (lockupTimeout !== undefined) files.set('sys/module/amdgpu/parameters/lockup_timeout', `${lockupTimeout}\n`);
  for (const [index, gpu] of gpus.entries()) {
    const drm = `sys/class/drm/card${index}`;
    for (const [name, text] of gpuFiles(gpu)) files.set(`${drm}/device/${name}`, text);
    files.set(`${drm}-DP-1/status`, 'connected\n');
  }
  for (const [name, text] of files) {
    const path = join(root, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
  }
}

function meminfo([total, available]: readonly [number, number]): string {
  const line = (key: string, mib: number) => `${`${key}:`.padEnd(16)}${String(mib * 1024).padStart(8)} kB\n`;
  const memory = line('MemTotal', total) + line('MemFree', available / 2) + line('MemAvailable', available);
  return `${memory}${line('SwapCached', 0)}${line('SwapTotal', 1024)}${line('SwapFree', 512)}HugePages_Total:       0\n`;
}

function gpuFiles({ pci, driver = 'amdgpu', slot = '0000:04:00.0', vram, gtt, files = {} }: FakeGpu) {
  const uevent = `DRIVER=${driver}\nPCI_CLASS=30000\nPCI_ID=${pci}\nPCI_SUBSYS_ID=1002:0123\nPCI_SLOT_NAME=${slot}\n`;
  const list: [string, string][] = [['uevent', uevent]];
  const pools = [
    ['vram', vram],
    ['vis_vram', vram],
    ['gtt', gtt],
  ] as const;
  for (const [name, pool] of pools) {
    if (!pool) continue;
    list.push([`mem_info_${name}_total`, `${pool[0] * MIB}\n`], [`mem_info_${name}_used`, `${pool[1] * MIB}\n`]);
  }
  return [...list, ...Object.entries(files)];
}
