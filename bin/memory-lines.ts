/** Memory for people: the machine's pools as a bar, a budget and an estimate as lines. */
import type { Budget } from '../devices/budget.ts';
import type { Gpu, LockupTimeout, Pool, Topology } from '../devices/topology.ts';
import type { Estimate } from '../engine/estimate.ts';
import { table } from './output.ts';

const MIB = 2 ** 20;
/** Characters of a bar's two pools together. */
const BAR_WIDTH = 48;

/** Whole MiB, rounded up as in the messages of refusals. */
function mib(bytes: number): number {
  return Math.ceil(bytes / MIB);
}

/** The machine, its main memory, and a bar for each GPU that tells its pools; `#` is used, `.` free. */
export function formatTopology({ kind, product, kernel, memory, gpus }: Topology): string[] {
  const machine = [product ?? 'unknown machine', kind === 'unknown' ? undefined : kind, kernel && `Linux ${kernel}`];
  const lines = [machine.filter(Boolean).join(', ')];
  if (memory) {
    const { totalBytes, availableBytes, swapTotalBytes, swapFreeBytes } = memory;
    const swap = swapTotalBytes > 0 ? `; swap ${mib(swapTotalBytes)} MiB, ${mib(swapFreeBytes)} free` : '';
    lines.push(`main memory ${mib(totalBytes)} MiB, ${mib(availableBytes)} available${swap}`);
  }
  for (const gpu of gpus) lines.push(...formatGpu(gpu));
  return lines;
}

function formatGpu({ card, name, pci, driver, integrated, vram, gtt, lockupTimeoutMs }: Gpu): string[] {
  const kind = integrated === undefined ? undefined : integrated ? 'integrated' : 'discrete';
  const lines = [[`${card}: ${name ?? pci}`, driver, kind].filter(Boolean).join(', ')];
  if (vram) lines.push(...formatPools(vram, integrated ? gtt : undefined, integrated ? 'carve-out' : 'VRAM'));
  if (lockupTimeoutMs) lines.push(`  reset after ${formatTimeouts(lockupTimeoutMs)}`);
  return lines;
}

function formatPools(vram: Pool, gtt: Pool | undefined, vramName: string): string[] {
  const total = vram.totalBytes + (gtt?.totalBytes ?? 0);
  const used = vram.usedBytes + (gtt?.usedBytes ?? 0);
  const bars = [vram, gtt].flatMap((pool) => (pool ? [bar(pool, total)] : []));
  const sizes = [`${vramName} ${mib(vram.totalBytes)}`, gtt && `GTT ${mib(gtt.totalBytes)}`];
  const legend = [...sizes, `used ${mib(used)}`, `free ${mib(Math.max(0, total - used))} MiB`].filter(Boolean);
  return [`  [${bars.join('|')}]`, `  ${legend.join(' | ')}`];
}

/** A pool's share of a bar; at least one character, so that every pool is seen. */
function bar({ totalBytes, usedBytes }: Pool, allBytes: number): string {
  const width = Math.max(1, Math.round((BAR_WIDTH * totalBytes) / Math.max(allBytes, 1)));
  const used = Math.min(width, Math.round((width * usedBytes) / Math.max(totalBytes, 1)));
  return '#'.repeat(used) + '.'.repeat(width - used);
}

/** One time where all queues have the same. */
function formatTimeouts(timeouts: LockupTimeout): string {
  const words = (ms: number | 'never') => (ms === 'never' ? 'never' : `${ms} ms`);
  const { gfx } = timeouts;
  if (Object.values(timeouts).every((ms) => ms === gfx)) return words(gfx);
  return Object.entries(timeouts)
    .map(([queue, ms]) => `${queue} ${words(ms)}`)
    .join(', ');
}

/** `8752 of 9152 MiB free (VRAM + GTT)`, or why that is not known. */
export function formatBudget({ totalBytes, freeBytes, rule }: Budget): string {
  if (totalBytes === undefined || freeBytes === undefined) return `free memory ${rule}`;
  return `${mib(freeBytes)} of ${mib(totalBytes)} MiB free (${rule})`;
}

/**
 * The estimate as a table.
 *
 * @param advice what to change where it does not fit
 */
export function formatEstimate(plan: Estimate, advice: string): string {
  const { bytes, totalBytes, budget, context, kv, weightsOption, residentLayers, streamedBytes, speed } = plan;
  const streamed = streamedBytes > 0 ? `; the first ${residentLayers} layers, others are brought for every token` : '';
  const limit = budget.limitBytes === undefined ? '' : `; at most ${mib(budget.limitBytes)} MiB are taken`;
  const margin = budget.marginBytes > 0 ? `; ${mib(budget.marginBytes)} MiB are left to other programs` : '';
  const of = budget.totalBytes === undefined ? '' : `of ${mib(budget.totalBytes)} MiB: `;
  const rows: (readonly [string, number | undefined, string])[] = [
    ['weights', bytes.weights, weightsOption + streamed],
    ['KV cache', bytes.kv, `${context} positions, ${kv}`],
    ['activations', bytes.activations + bytes.state + bytes.readback, ''],
    ['staging', bytes.staging, 'on the way to the GPU'],
    ['rounding', bytes.rounding, "blocks of Dawn's allocator"],
    ['total', totalBytes, ''],
    ['free', budget.freeBytes, `${of}${budget.rule}${margin}${limit}`],
  ];
  const sizes = rows.map(([name, size, about]) => [
    name,
    (size === undefined ? '?' : `${mib(size)}`).padStart(7),
    size === undefined ? '' : 'MiB',
    about,
  ]);
  const lines = [`fits         ${formatFit(plan, advice)}`];
  if (speed) {
    const { tokensPerSecond, tokensPerSecondFull, assumption } = speed;
    const rate = (speed: number) => speed.toFixed(speed < 1 ? 2 : 1);
    const rates = `${rate(tokensPerSecond)} tok/s at first, ${rate(tokensPerSecondFull)} with a full context`;
    lines.push(`speed        ${rates}, ${assumption}`);
  }
  return `${table(sizes)}${lines.join('\n')}\n`;
}

function formatFit({ fits, largestContext, streamedBytes }: Estimate, advice: string): string {
  if (fits === undefined) return 'unknown';
  if (fits && streamedBytes > 0)
    return `in part: ${mib(streamedBytes)} MiB of weights are brought to the GPU for every token, which is slow`;
  return fits ? `yes, up to a context of ${largestContext}` : `no: ${advice}`;
}
