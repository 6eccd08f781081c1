/** The line below an answer: how fast, how full, how much memory, how many watts. */
import type { Energy } from '../../devices/power.ts';
import { findGpu, type Pool, type Topology } from '../../devices/topology.ts';
import type { Session, Stats } from '../../engine/session.ts';
import { speedsOf } from '../../engine/speeds.ts';
import { fitParts } from '../terminal.ts';

export interface Status {
  readonly stats: Stats;
  /** Positions that are taken, and those that there are. */
  readonly used: number;
  readonly context: number;
  /** What firstlight holds on the device. */
  readonly deviceBytes: number;
  /** What all programs have taken of the GPU's pools, where the system tells. */
  readonly pools: readonly (readonly [name: string, pool: Pool])[];
  /** Taken from the first token to the last. */
  readonly energy: Energy | undefined;
}

const GIB = 2 ** 30;

/** As much of it as fits. */
export function formatStatus(status: Status, columns: number): string {
  const { stats, used, context, deviceBytes, pools, energy } = status;
  const { prefill, decode } = speedsOf(stats);
  const gib = (bytes: number) => (bytes / GIB).toFixed(1);
  const speed = decode === undefined ? `${stats.tokens} tok` : `${decode.toFixed(1)} tok/s`;
  const parts = [speed, `context ${used}/${context}`];
  if (energy && energy.seconds > 0 && energy.joules > 0) {
    const perJoule = (stats.tokens - 1) / energy.joules;
    parts.push(`${(energy.joules / energy.seconds).toFixed(1)} W, ${perJoule.toFixed(2)} tok/J`);
  }
  parts.push(deviceBytes < 0.1 * GIB ? `${(deviceBytes / 2 ** 20).toFixed(1)} MiB` : `${gib(deviceBytes)} GiB`);
  for (const [name, { usedBytes, totalBytes }] of pools) parts.push(`${name} ${gib(usedBytes)}/${gib(totalBytes)}`);
  if (prefill !== undefined) parts.push(`prompt ${prefill.toFixed(1)} tok/s`);
  return fitParts(parts, ' | ', columns - 2);
}

/** The GPU's pools with their names: carve-out and GTT of an APU, VRAM of a card. */
export function poolsOf(topology: Topology, { model }: Session): readonly (readonly [string, Pool])[] {
  const gpu = findGpu(topology, model.device.traits);
  if (!gpu?.vram) return [];
  if (!gpu.integrated) return [['VRAM', gpu.vram]];
  return [['carve-out', gpu.vram], ...(gpu.gtt ? [['GTT', gpu.gtt] as const] : [])];
}
