/**
 * The keys and values of a runner's sequences: more room for them while they are in use, and their rows as bytes. They grow layer
 * after layer, so that little more than the result is needed.
 */
import type { Device } from '../devices/types.ts';
import type { LlamaConfig } from '../loaders/types.ts';
import { assert, FirstlightError } from '../quant/errors.ts';
import { type KvFormat, type KvPlane, kvCapacity, kvPlaneBytes, kvPlanes } from './kv-cache.ts';
import { type RopeName, ropeNames } from './layers.ts';
import { ropeConfig, ropeTable } from './rope.ts';

/** Positions that a cache has room for at first. */
export const FIRST_POSITIONS = 512;
/** New buffers that may exist beside the old ones that they take the place of. */
const BESIDE_BYTES = 64 << 20;

export interface CacheOptions {
  readonly device: Device;
  readonly config: LlamaConfig;
  readonly kv: KvFormat;
  readonly slots: number;
  /** Most positions of a sequence. */
  readonly context: number;
  /** By the plan's names; those that grow are replaced. */
  readonly buffers: Map<string, GPUBuffer>;
}

export interface SequenceCache {
  /** Positions that each slot has room for. */
  readonly capacity: number;
  /** Fills the tables of turns. */
  writeTurns(): Promise<void>;
  /**
   * Gives every slot room for so many positions, and more, so that it is rare. What is in the cache is kept; buffers are others
   * afterwards. When memory runs out the cache is as large as before but empty, and `not-enough-memory` is thrown.
   */
  grow(positions: number): Promise<void>;
  /** A slot's rows up to a position, in pieces: [layer][plane][k, v][kvHead][position][rowBytes]. */
  readRows(slot: number, positions: number): AsyncGenerator<Uint8Array, void, void>;
  /** Puts them back, where there is room for them; `next` gives as many bytes as it is asked for, in the same order. */
  writeRows(slot: number, positions: number, next: (bytes: number) => Promise<Uint8Array>): Promise<void>;
}

/** The cache in a plan's buffers, which have been made for `capacity` positions. */
export function createSequenceCache(options: CacheOptions, capacity: number): SequenceCache {
  const { device, config, context, buffers } = options;

  const turnsOf = (name: RopeName, positions: number) => ropeTable(ropeConfig(config, name), context, positions);

  const growTurns = async (positions: number) => {
    for (const name of ropeNames(config)) {
      const table = turnsOf(name, positions);
      const made = device.buffer(name, table.byteLength, 'state');
      try {
        await device.upload(made, 0, table);
        await device.settle();
      } catch (error) {
        device.free(made);
        throw error;
      }
      device.free(bufferOf(options, name));
      buffers.set(name, made);
    }
  };

  /** Where the rows of each head of a slot are. */
  function* headsOf(slot: number, positions: number) {
    for (const { name, plane } of planesOf(options)) {
      const buffer = bufferOf(options, name);
      for (let head = 2 * slot * config.kvHeads; head < 2 * (slot + 1) * config.kvHeads; head++)
        yield { buffer, offset: head * capacity * plane.rowBytes, bytes: positions * plane.rowBytes };
    }
  }

  return {
    get capacity() {
      return capacity;
    },
    async writeTurns() {
      for (const name of ropeNames(config)) await device.upload(bufferOf(options, name), 0, turnsOf(name, capacity));
    },
    async grow(positions) {
      const to = grownCapacity(capacity, positions, context);
      await growTurns(to);
      try {
        await moveLayers(options, capacity, to);
      } catch (error) {
        if (!(error instanceof FirstlightError) || error.code !== 'not-enough-memory') throw error;
        await replaceAll(options, capacity);
        throw new FirstlightError(
          'not-enough-memory',
          `the KV cache cannot grow from ${capacity} to ${to} positions (${error.message}): its text can be read again as far ` +
            'as it fits; use a shorter context, keep the cache in q8, or close other programs',
          { cause: error },
        );
      }
      capacity = to;
    },
    async *readRows(slot, positions) {
      let reading: Promise<Uint8Array> | undefined; // one ahead
      for (const { buffer, offset, bytes } of headsOf(slot, positions)) {
        const before = reading;
        reading = device.read(buffer, offset, bytes);
        reading.catch(() => undefined); // whoever waits for it is told
        if (before) yield await before;
      }
      if (reading) yield await reading;
    },
    async writeRows(slot, positions, next) {
      for (const { buffer, offset, bytes } of headsOf(slot, positions))
        await device.upload(buffer, offset, await next(bytes));
      await device.settle();
    },
  };
}

/** Positions to have room for when `needed` are: half as many again, up to `most`. */
function grownCapacity(capacity: number, needed: number, most: number): number {
  const next = Math.max(needed, capacity + Math.max(capacity >> 1, FIRST_POSITIONS / 2));
  return kvCapacity(Math.min(next, most));
}

async function moveLayers(cache: CacheOptions, from: number, to: number): Promise<void> {
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
async function replaceAll(cache: CacheOptions, capacity: number): Promise<void> {
  const { device, config, slots, buffers } = cache;
  const all = planesOf(cache);
  for (const { name } of all) device.free(bufferOf(cache, name));
  await device.settle();
  for (const { name, plane } of all)
    buffers.set(name, device.buffer(name, kvPlaneBytes(plane, config, slots, capacity), 'kv'));
  await device.settle();
}

function planesOf({ config, kv }: CacheOptions): readonly { readonly name: string; readonly plane: KvPlane }[] {
  const planes = kvPlanes(config, kv);
  return Array.from({ length: config.layers }, (_, layer) =>
    planes.map((plane) => ({ name: `layers.${layer}.${plane.name}`, plane })),
  ).flat();
}

function bufferOf({ buffers }: CacheOptions, name: string): GPUBuffer {
  const buffer = buffers.get(name);
  assert(buffer, `the cache has ${name}`);
  return buffer;
}
