/** The machine as the app draws it: whose memory is whose, whether each model fits, power. */
import { readFile } from 'node:fs/promises';
import { budgetBytes } from '../../devices/budget.ts';
import { findGpu, readTopology, type Topology } from '../../devices/topology.ts';
import type { AdapterInfo } from '../../devices/types.ts';
import { estimate } from '../../engine/estimate.ts';
import type { LoadOptions } from '../../engine/model.ts';
import type { KnownModel } from '../serve/load.ts';

/** A part of memory that the GPU can use. */
export interface MemoryPool {
  /** `carve-out`, `GTT`, `VRAM`, `main memory`. */
  readonly name: string;
  readonly totalBytes: number;
  readonly usedBytes: number;
}

export interface MachineMemory {
  readonly adapter: string;
  /** A driver that computes on the CPU. */
  readonly software: boolean;
  /** Empty where the system does not tell. */
  readonly pools: readonly MemoryPool[];
  /** What could be taken now; null where the system does not tell. */
  readonly freeBytes: number | null;
  /** For people. */
  readonly rule: string;
}

/** What a model would need. */
export interface ModelFit {
  /** Null: the system does not tell what is free. */
  readonly fits: boolean | null;
  readonly weightBytes: number;
  readonly kvBytes: number;
  readonly otherBytes: number;
  readonly context: number;
  /** Form of the weights on the GPU. */
  readonly weights: string;
  readonly tokensPerSecond: number | null;
  /** Layers that do not stay on the GPU but are brought there for every token. */
  readonly streamedLayers: number;
  /** A file that cannot be read, or a model that does not run: why. */
  readonly problem: string | null;
}

export async function machineMemory(adapter: AdapterInfo, root?: string): Promise<MachineMemory> {
  const topology = await readTopology(root);
  const { freeBytes = null, rule } = budgetBytes(topology, adapter);
  return { adapter: adapter.name, software: adapter.software, pools: poolsOf(topology, adapter), freeBytes, rule };
}

function poolsOf(topology: Topology, adapter: AdapterInfo): MemoryPool[] {
  const { memory } = topology;
  const main = memory && {
    name: 'main memory',
    totalBytes: memory.totalBytes,
    usedBytes: memory.totalBytes - memory.availableBytes,
  };
  if (adapter.software) return main ? [main] : [];
  const gpu = findGpu(topology, adapter);
  if (!gpu?.vram) return gpu?.integrated && main ? [main] : [];
  if (!gpu.integrated) return [{ name: 'VRAM', ...gpu.vram }];
  return [{ name: 'carve-out', ...gpu.vram }, ...(gpu.gtt ? [{ name: 'GTT', ...gpu.gtt }] : [])];
}

/**
 * Plans a load without doing it.
 *
 * @param ownBytes what the server itself holds on the GPU, and would give back for this model
 */
export async function modelFit(
  model: KnownModel,
  adapter: AdapterInfo,
  options: LoadOptions,
  { ownBytes, root }: { readonly ownBytes: number; readonly root?: string | undefined },
): Promise<ModelFit> {
  const none = {
    weightBytes: 0,
    kvBytes: 0,
    otherBytes: 0,
    context: 0,
    weights: '',
    tokensPerSecond: null,
    streamedLayers: 0,
  };
  try {
    const checkpoint = await model.open();
    try {
      const plan = estimate(checkpoint, adapter, withoutOwn(await readTopology(root), adapter, ownBytes), options);
      const { weights, kv } = plan.bytes;
      return {
        fits: plan.fits ?? null,
        weightBytes: weights,
        kvBytes: kv,
        otherBytes: plan.totalBytes - weights - kv,
        context: plan.context,
        weights: plan.weightsOption,
        tokensPerSecond: plan.speed?.tokensPerSecond ?? null,
        streamedLayers: plan.streamedBytes > 0 ? checkpoint.config.layers - plan.residentLayers : 0,
        problem: null,
      };
    } finally {
      await checkpoint.close();
    }
  } catch (error) {
    return { ...none, fits: false, problem: error instanceof Error ? error.message : String(error) };
  }
}

/** The machine as it would be if the server held nothing on the GPU. */
function withoutOwn(topology: Topology, adapter: AdapterInfo, ownBytes: number): Topology {
  const gpu = findGpu(topology, adapter);
  const fromVram = Math.min(ownBytes, gpu?.vram?.usedBytes ?? 0);
  const fromMain = adapter.software || gpu?.integrated ? ownBytes - fromVram : 0;
  const less = <P extends { readonly usedBytes: number }>(pool: P | undefined, bytes: number) =>
    pool && { ...pool, usedBytes: Math.max(0, pool.usedBytes - bytes) };
  return {
    ...topology,
    memory: topology.memory && {
      ...topology.memory,
      availableBytes: Math.min(topology.memory.totalBytes, topology.memory.availableBytes + fromMain),
    },
    gpus: topology.gpus.map((one) =>
      one === gpu ? { ...one, vram: less(one.vram, fromVram), gtt: less(one.gtt, fromMain) } : one,
    ),
  };
}

/** Watts that the GPU takes now; undefined where nothing tells. */
export async function readWatts(adapter: AdapterInfo, root?: string): Promise<number | undefined> {
  const sensor = findGpu(await readTopology(root), adapter)?.powerSensor;
  if (sensor === undefined) return undefined;
  const text = await readFile(sensor, 'utf8').catch(() => '');
  const microwatts = Number.parseInt(text, 10);
  return Number.isFinite(microwatts) ? microwatts / 1e6 : undefined;
}
