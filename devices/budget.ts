/** How much memory a load may take: the machine's pools, what is free of them, and what stays for the others. */
import { findGpu, type Gpu, type Topology } from './topology.ts';
import type { AdapterInfo } from './types.ts';

/** What memory of an adapter may be taken. */
export interface Budget {
  /** Memory that the GPU could use on an idle machine; undefined when the system does not tell. */
  readonly totalBytes: number | undefined;
  /** What of it can be taken now; undefined when the system does not tell. */
  readonly freeBytes: number | undefined;
  /** Part of `freeBytes` that is no main memory: VRAM or a carve-out; undefined when the system does not tell. */
  readonly ownBytes: number | undefined;
  /** Part of `freeBytes` that is left to the desktop and other programs. */
  readonly marginBytes: number;
  /** Most that the caller wants to be taken. */
  readonly limitBytes?: number | undefined;
  /** For people: what was counted, or why nothing could be. */
  readonly rule: string;
}

/** Left to the desktop on a GPU; a software driver shares no display. */
const DEFAULT_MARGIN_BYTES = 512 * 2 ** 20;
/**
 * Main memory that stays available on an APU, whose GTT is main memory: below it a Steam Deck does not fail a request, it
 * hangs or reboots.
 */
export const KEPT_AVAILABLE_BYTES = 2 * 2 ** 30;

/**
 * The budget of an adapter. On an APU, carve-out ("VRAM") and GTT count together, as the GPU uses one like the other; what
 * comes from GTT must leave 2 GiB of main memory available. On a card, VRAM counts alone; for a software driver, available
 * main memory. Drivers without such files in /sys (NVIDIA's) leave the budget unknown.
 *
 * @param marginBytes default 512 MiB, 0 for software
 * @param limitBytes most that may be taken, however much is free; default no limit
 */
export function budgetBytes(
  topology: Topology,
  adapter: Pick<AdapterInfo, 'name' | 'vendor' | 'software'>,
  marginBytes = adapter.software ? 0 : DEFAULT_MARGIN_BYTES,
  limitBytes?: number,
): Budget {
  const { memory } = topology;
  const limit = limitBytes === undefined ? {} : { limitBytes };
  if (adapter.software) {
    const rule = memory ? 'main memory' : 'unknown: this system has no /proc/meminfo';
    const ownBytes = memory && 0;
    return { totalBytes: memory?.totalBytes, freeBytes: memory?.availableBytes, ownBytes, marginBytes, ...limit, rule };
  }
  const gpu = findGpu(topology, adapter);
  return { ...hardwareBudget(topology, gpu, adapter.name), marginBytes, ...limit };
}

function hardwareBudget(topology: Topology, gpu: Gpu | undefined, name: string): Omit<Budget, 'marginBytes'> {
  const unknown = (why: string) => {
    return { totalBytes: undefined, freeBytes: undefined, ownBytes: undefined, rule: `unknown: ${why}` };
  };
  if (!gpu) return unknown(`/sys shows no GPU that is surely ${name}`);
  const { vram, gtt } = gpu;
  if (gpu.integrated && !vram) {
    // Intel's: all of main memory, which no pool bounds
    if (!topology.memory) return unknown(`${gpu.driver} does not tell its memory`);
    const { totalBytes, availableBytes } = topology.memory;
    const freeBytes = Math.max(0, availableBytes - KEPT_AVAILABLE_BYTES);
    return { totalBytes, freeBytes, ownBytes: 0, rule: 'main memory, of which 2 GiB stay available' };
  }
  if (!vram || gpu.integrated === undefined) return unknown(`${gpu.driver} does not tell its memory`);
  const freeVram = Math.max(0, vram.totalBytes - vram.usedBytes);
  if (!gpu.integrated || !gtt)
    return { totalBytes: vram.totalBytes, freeBytes: freeVram, ownBytes: freeVram, rule: 'VRAM' };
  const freeGtt = Math.max(0, gtt.totalBytes - gtt.usedBytes);
  const spareBytes = topology.memory && Math.max(0, topology.memory.availableBytes - KEPT_AVAILABLE_BYTES);
  const bound = spareBytes !== undefined && spareBytes < freeGtt;
  return {
    totalBytes: vram.totalBytes + gtt.totalBytes,
    freeBytes: freeVram + (bound ? spareBytes : freeGtt),
    ownBytes: freeVram,
    rule: bound ? 'VRAM + GTT, of which 2 GiB of main memory stay available' : 'VRAM + GTT',
  };
}

/** What may be taken of a budget; undefined when the system does not tell and no limit is set. */
export function spendableBytes({ freeBytes, marginBytes, limitBytes }: Budget): number | undefined {
  if (freeBytes === undefined) return limitBytes;
  return Math.min(freeBytes - marginBytes, limitBytes ?? Number.POSITIVE_INFINITY);
}
