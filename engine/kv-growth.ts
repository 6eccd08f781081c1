/** More room in the KV cache while sequences are in it: layer after layer, so that little more than the result is needed. */
import type { Device } from '../devices/types.ts';
import type { LlamaConfig } from '../loaders/types.ts';
import { assert, FirstlightError } from '../quant/errors.ts';
import { type KvFormat, type KvPlane, kvCapacity, kvPlaneBytes, kvPlanes } from './kv-cache.ts';

/** Positions that a cache has room for at first. */
export const FIRST_POSITIONS = 512;
/** New buffers that may exist beside the old ones that they take the place of. */
const BESIDE_BYTES = 64 << 20;

/** Positions to have room for when `needed` are: half as many again, so that growing is rare, up to `most`. */
export function grownCapacity(capacity: number, needed: number, most: number): number {
  const next = Math.max(needed, capacity + Math.max(capacity >> 1, FIRST_POSITIONS / 2));
  return kvCapacity(Math.min(next, most));
}

export interface Cache {
  readonly device: Device;
  readonly config: LlamaConfig;
  readonly kv: KvFormat;
  readonly slots: number;
  /** By the plan's names; those of the cache are replaced. */
  readonly buffers: Map<string, GPUBuffer>;
}

/**
 * Gives every slot room for `to` positions instead of `from`. What is in the cache is kept. When memory runs out the cache is
 * as large as before but empty, and `not-enough-memory` is thrown.
 */
export async function growCache(cache: Cache, from: number, to: number): Promise<void> {
  try {
    await moveLayers(cache, from, to);
  } catch (error) {
    if (!(error instanceof FirstlightError) || error.code !== 'not-enough-memory') throw error;
    await replaceAll(cache, from);
    throw new FirstlightError(
      'not-enough-memory',
      `the KV cache cannot grow from ${from} to ${to} positions (${error.message}): its text can be read again as far as ` +
        'it fits; use a shorter context, keep the cache in q8, or close other programs',
      { cause: error },
    );
  }
}

async function moveLayers(cache: Cache, from: number, to: number): Promise<void> {
  const { device, config, slots, buffers } = cache;
  let moved: { readonly name: string; readonly made: GPUBuffer }[] = [];
  let bytes = 0;
  const swap = async () => {
    await device.settle(); // tells when memory ran out, and gives back what was freed
    for (const { name, made } of moved) {
      device.free(bufferOf(cache, name));
      buffers.set(name, made);
    }
    moved = [];
    bytes = 0;
  };
  try {
    for (const { name, plane } of planesOf(cache)) {
      const size = kvPlaneBytes(plane, config, slots, to);
      if (bytes > 0 && bytes + size > BESIDE_BYTES) await swap();
      const made = device.buffer(name, size, 'kv');
      moved.push({ name, made });
      bytes += size;
      const encoder = device.gpu.createCommandEncoder();
      for (let head = 0; head < slots * 2 * config.kvHeads; head++) {
        const rows = head * plane.rowBytes;
        encoder.copyBufferToBuffer(bufferOf(cache, name), rows * from, made, rows * to, from * plane.rowBytes);
      }
      device.gpu.queue.submit([encoder.finish()]);
    }
    await swap();
    await device.settle();
  } catch (error) {
    for (const { made } of moved) device.free(made);
    throw error;
  }
}

/** Some layers have grown and others not: all start afresh. */
async function replaceAll(cache: Cache, capacity: number): Promise<void> {
  const { device, config, slots, buffers } = cache;
  const all = planesOf(cache);
  for (const { name } of all) device.free(bufferOf(cache, name));
  await device.settle();
  for (const { name, plane } of all)
    buffers.set(name, device.buffer(name, kvPlaneBytes(plane, config, slots, capacity), 'kv'));
  await device.settle();
}

function planesOf({ config, kv }: Cache): readonly { readonly name: string; readonly plane: KvPlane }[] {
  const planes = kvPlanes(config, kv);
  return Array.from({ length: config.layers }, (_, layer) =>
    planes.map((plane) => ({ name: `layers.${layer}.${plane.name}`, plane })),
  ).flat();
}

function bufferOf({ buffers }: Cache, name: string): GPUBuffer {
  const buffer = buffers.get(name);
  assert(buffer, `the cache has ${name}`);
  return buffer;
}
