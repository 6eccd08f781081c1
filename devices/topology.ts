/**
 * What memory a machine has and how its GPUs share it, from Linux's /proc and /sys. Vulkan tells too little: on APUs RADV's
 * heaps are not the two pools that the kernel has, and Dawn shows no heaps at all.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { KNOWN_GPUS, PCI_VENDORS } from './gpus.ts';
import type { AdapterInfo } from './types.ts';

export type MachineKind = 'steam-deck-lcd' | 'steam-deck-oled' | 'apu' | 'discrete' | 'unknown';

/** What the system tells of this machine: its memory, its GPUs, and the pools that they share. */
export interface Topology {
  readonly kind: MachineKind;
  /** Vendor and product as the firmware tells them, e.g. `Valve Jupiter`. */
  readonly product: string | undefined;
  /** Kernel release, e.g. `6.18.46-valve1`. */
  readonly kernel: string | undefined;
  readonly memory: SystemMemory | undefined;
  /** In the kernel's order; empty where /sys is not to be seen, as in many containers. */
  readonly gpus: readonly Gpu[];
}

export interface SystemMemory {
  readonly totalBytes: number;
  /** What programs could still take without swapping. */
  readonly availableBytes: number;
  readonly swapTotalBytes: number;
  readonly swapFreeBytes: number;
}

export interface Pool {
  readonly totalBytes: number;
  readonly usedBytes: number;
}

export interface Gpu {
  /** The kernel's name, e.g. `card0`. */
  readonly card: string;
  /** Kernel driver, e.g. `amdgpu`. */
  readonly driver: string;
  /** `vendor:device`, e.g. `1002:163f`. */
  readonly pci: string;
  /** Place on the bus, e.g. `0000:04:00.0`. */
  readonly slot: string | undefined;
  /** For people; undefined for GPUs that KNOWN_GPUS has not. */
  readonly name: string | undefined;
  /** Undefined when nothing tells. */
  readonly integrated: boolean | undefined;
  /** Memory of its own; on an APU the part of main memory that the firmware carves out for it. */
  readonly vram: Pool | undefined;
  /** The part of `vram` that the CPU can reach. */
  readonly visibleVram: Pool | undefined;
  /** Main memory that the GPU may map beside it. */
  readonly gtt: Pool | undefined;
  readonly bandwidthBytesPerSecond: number | undefined;
  /** After how long the kernel takes work for hung and resets the GPU; undefined for other drivers than amdgpu. */
  readonly lockupTimeoutMs: LockupTimeout | undefined;
  /** File with the GPU's power in microwatts. */
  readonly powerSensor: string | undefined;
}

/** By hardware queue. */
export type LockupTimeout = Readonly<Record<(typeof QUEUES)[number], number | 'never'>>;

const QUEUES = ['gfx', 'compute', 'sdma', 'video'] as const;
const KIB = 1024;

/**
 * Reads the machine's topology. Never throws: what cannot be read is undefined or left out, which on other systems than
 * Linux is everything.
 *
 * @param root where /proc and /sys are, for tests
 */
export async function readTopology(root = '/'): Promise<Topology> {
  const kernel = await readLine(join(root, 'proc/sys/kernel/osrelease'));
  const parameter = await readLine(join(root, 'sys/module/amdgpu/parameters/lockup_timeout'));
  const lockupTimeoutMs = parseLockupTimeout(parameter ?? '', kernel);
  const cards = (await list(join(root, 'sys/class/drm')))
    .filter((name) => /^card\d+$/.test(name))
    .sort((a, b) => Number(a.slice(4)) - Number(b.slice(4)));
  const gpus: Gpu[] = [];
  for (const card of cards) {
    const gpu = await readGpu(join(root, 'sys/class/drm', card, 'device'), card, lockupTimeoutMs);
    if (gpu) gpus.push(gpu);
  }
  const dmi = join(root, 'sys/class/dmi/id');
  const product = await readLine(join(dmi, 'product_name'));
  const vendor = await readLine(join(dmi, 'sys_vendor'));
  return {
    kind: kindOf(product, gpus),
    product: [vendor, product].filter(Boolean).join(' ') || undefined,
    kernel,
    memory: parseMeminfo(await readText(join(root, 'proc/meminfo'))),
    gpus,
  };
}

function kindOf(product: string | undefined, gpus: readonly Gpu[]): MachineKind {
  if (product === 'Jupiter') return 'steam-deck-lcd';
  if (product === 'Galileo') return 'steam-deck-oled';
  if (gpus.some((gpu) => gpu.integrated === false)) return 'discrete';
  return gpus.some((gpu) => gpu.integrated) ? 'apu' : 'unknown';
}

async function readGpu(folder: string, card: string, timeouts: LockupTimeout): Promise<Gpu | undefined> {
  const uevent = await readText(join(folder, 'uevent')); // DRIVER=amdgpu, PCI_ID=1002:163F, PCI_SLOT_NAME=0000:04:00.0
  const value = (key: string) => uevent?.match(new RegExp(`^${key}=(\\S+)$`, 'm'))?.[1];
  const driver = value('DRIVER');
  const pci = value('PCI_ID')?.toLowerCase();
  if (driver === undefined || pci === undefined) return undefined; // a display without a GPU of its own
  const pool = async (name: string): Promise<Pool | undefined> => {
    const totalBytes = await readBytes(join(folder, `mem_info_${name}_total`));
    const usedBytes = await readBytes(join(folder, `mem_info_${name}_used`));
    return totalBytes === undefined ? undefined : { totalBytes, usedBytes: usedBytes ?? 0 };
  };
  const known = KNOWN_GPUS[pci];
  return {
    card,
    driver,
    pci,
    slot: value('PCI_SLOT_NAME'),
    name: known?.name,
    integrated: known?.integrated ?? (await isIntegrated(folder, driver, value('PCI_SLOT_NAME'))),
    vram: await pool('vram'),
    visibleVram: await pool('vis_vram'),
    gtt: await pool('gtt'),
    bandwidthBytesPerSecond: known?.bandwidthBytesPerSecond,
    lockupTimeoutMs: driver === 'amdgpu' ? timeouts : undefined,
    powerSensor: await findPowerSensor(join(folder, 'hwmon')),
  };
}

/** For GPUs that are not known by their id. */
async function isIntegrated(folder: string, driver: string, slot: string | undefined): Promise<boolean | undefined> {
  if (driver === 'amdgpu') {
    // amdgpu tells of a board, and of the maker of its memory chips, only for cards
    const files = await list(folder);
    return !files.includes('board_info') && !files.includes('mem_info_vram_vendor');
  }
  if (driver === 'i915' || driver === 'xe') return slot === '0000:00:02.0'; // where Intel's CPUs have theirs
  return driver === 'nvidia' ? false : undefined;
}

async function findPowerSensor(folder: string): Promise<string | undefined> {
  for (const sensor of (await list(folder)).sort()) {
    const files = await list(join(folder, sensor));
    const file = ['power1_average', 'power1_input'].find((name) => files.includes(name));
    if (file !== undefined) return join(folder, sensor, file);
  }
  return undefined;
}

/** /proc/meminfo; undefined without its two main numbers. */
function parseMeminfo(text: string | undefined): SystemMemory | undefined {
  const bytes = (key: string) => {
    const digits = text?.match(new RegExp(`^${key}:\\s+(\\d+) kB$`, 'm'))?.[1];
    return digits === undefined ? undefined : Number(digits) * KIB;
  };
  const totalBytes = bytes('MemTotal');
  const availableBytes = bytes('MemAvailable');
  if (totalBytes === undefined || availableBytes === undefined) return undefined;
  return {
    totalBytes,
    availableBytes,
    swapTotalBytes: bytes('SwapTotal') ?? 0,
    swapFreeBytes: bytes('SwapFree') ?? 0,
  };
}

/**
 * amdgpu's parameter lockup_timeout: `GFX,Compute,SDMA,Video` in milliseconds, or one value; 0 or nothing keeps the default,
 * a negative value means never. One value is for all queues but compute up to Linux 6.17, and for all since.
 *
 * The default is 10 s up to Linux 6.17, where some versions leave compute more, and 2 s in Linux 7. Between the two, and for
 * a kernel that does not tell its version, the shorter one is assumed.
 */
export function parseLockupTimeout(parameter: string, kernel: string | undefined): LockupTimeout {
  const [major = 99, minor = 0] = (kernel?.match(/^(\d+)\.(\d+)/) ?? []).slice(1).map(Number);
  const before618 = major < 6 || (major === 6 && minor <= 17);
  const byDefault = before618 ? 10_000 : 2_000;
  const texts = parameter.split(',').map((text) => text.trim());
  const read = (text: string | undefined): number | 'never' => {
    if (text === undefined || !/^-?\d+$/.test(text) || Number(text) === 0) return byDefault;
    return Number(text) < 0 ? 'never' : Number(text);
  };
  const of = (queue: (typeof QUEUES)[number]) => {
    if (texts.length > 1) return read(texts[QUEUES.indexOf(queue)]);
    return queue === 'compute' && before618 ? byDefault : read(texts[0]);
  };
  return { gfx: of('gfx'), compute: of('compute'), sdma: of('sdma'), video: of('video') };
}

/**
 * The GPU in the topology that is Dawn's adapter, by vendor and, among several, by RADV's name of the chip. Undefined for
 * software adapters, and when more than one GPU would do.
 */
export function findGpu(
  topology: Topology,
  adapter: Pick<AdapterInfo, 'name' | 'vendor' | 'software'>,
): Gpu | undefined {
  if (adapter.software) return undefined;
  const vendor = PCI_VENDORS[adapter.vendor];
  const chip = adapter.name.match(/\(RADV (\w+)\)/)?.[1];
  const candidates = topology.gpus.filter(({ pci }) => pci.split(':')[0] === vendor);
  const sameChip = candidates.filter(({ pci }) => chip !== undefined && KNOWN_GPUS[pci]?.radvNames.includes(chip));
  const notOther = candidates.filter(({ pci }) => chip === undefined || KNOWN_GPUS[pci] === undefined);
  for (const found of [sameChip, notOther, candidates]) {
    if (found.length > 1) return undefined;
    if (found[0]) return found[0];
  }
  return undefined;
}

async function readText(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch(() => undefined);
}

async function readLine(path: string): Promise<string | undefined> {
  return (await readText(path))?.trim() || undefined;
}

/** A file that holds one number of bytes. */
async function readBytes(path: string): Promise<number | undefined> {
  const text = await readLine(path);
  const bytes = text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

async function list(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => []);
}
