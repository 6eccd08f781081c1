/** The layers that are not on the device: brought there for every pass, while others are computed. */
import type { Device } from '../devices/types.ts';
import type { Checkpoint } from '../loaders/types.ts';
import { type PackedPiece, type Slice, slicesOf } from './slices.ts';
import { isStreamed, layerOf, STREAM_SETS, setOf, streamedBytes, streamedPart } from './streaming.ts';
import { createUploader } from './upload.ts';
import type { Weights } from './weights.ts';

/** Slices on their way at once: enough to keep all of Node's reading threads busy. */
export const STREAM_SLICES = 6;

export interface LayerStream {
  /** Layers from this one on are streamed. */
  readonly first: number;
  /** What stands for a streamed layer's buffer, by the plan's name. */
  buffer(name: string): GPUBuffer | undefined;
  /** Measured when it was made: what reading and copying give together. */
  readonly bytesPerSecond: number;
  /** One pass after another, also of several sessions. */
  turn<T>(pass: () => Promise<T>): Promise<T>;
  /** Resolves when a layer's weights are on their way: what is submitted then finds them. */
  bring(layer: number): Promise<void>;
  /** All that needs a layer has been submitted: its buffers get the next one. */
  done(layer: number): void;
  /** Gives the memory back that it took besides the weight buffers. */
  close(): Promise<void>;
}

/**
 * Streams the layers from `residentLayers` on through the weight buffers of that plan. The checkpoint must stay open. Blocks of
 * quantised files are read again each time, so that the page cache is the only copy in main memory, and it may be dropped; what
 * the CPU had to convert is kept.
 */
export async function createLayerStream(
  device: Device,
  checkpoint: Checkpoint,
  weights: Weights,
  residentLayers: number,
  find: (name: string) => GPUBuffer | undefined,
): Promise<LayerStream> {
  const slices = new Map<number, Slice[]>(); // by layer
  const names = new Map<string, string>(); // of buffers, as the plan has them -> as they are
  for (const matrix of weights.matrices.values()) {
    if (!isStreamed(matrix, residentLayers)) continue;
    const layer = layerOf(matrix.name) ?? 0;
    slices.set(layer, [...(slices.get(layer) ?? []), ...slicesOf(matrix)]);
    for (const part of matrix.parts)
      for (const kind of ['codes', 'scales'])
        names.set(`${part.name}.${kind}`, `${streamedPart(part, residentLayers)}.${kind}`);
  }
  const buffer = (name: string) => {
    const own = names.get(name);
    return own === undefined ? undefined : find(own);
  };
  const uploader = createUploader(device, checkpoint, STREAM_SLICES);
  const packed = new Map<Slice, readonly PackedPiece[]>();
  /** What each set holds, or will hold when its promise resolves. */
  const sets: { layer: number; filled: Promise<void> }[] = [];
  let last: Promise<unknown> = Promise.resolve();
  let closed = false;

  const fill = (layer: number): Promise<void> => {
    const filled = last.then(async () => {
      if (!closed) await uploader.bring(slices.get(layer) ?? [], { find: buffer, packed });
    });
    const set = { layer, filled };
    sets[setOf(layer, residentLayers)] = set;
    // whoever needs the layer hears of a failure, and the next one tries again
    filled.catch(() => (set.layer = -1));
    last = filled.catch(() => undefined);
    return filled;
  };

  let turns: Promise<unknown> = Promise.resolve();
  const close = async () => {
    closed = true;
    await last;
    await uploader.close();
  };

  let bytesPerSecond = 0;
  try {
    // what the first pass wants; the second time from the page cache and with all buffers made, as later passes find it
    const layers = [...slices.keys()].slice(0, STREAM_SETS);
    for (const layer of layers) await fill(layer);
    await device.settle();
    const startMs = performance.now();
    for (const layer of layers) await fill(layer);
    await device.settle();
    const share = layers.length / slices.size;
    bytesPerSecond = (1000 * share * streamedBytes(weights, residentLayers)) / (performance.now() - startMs);
  } catch (error) {
    await close().catch(() => undefined); // the first failure is the one to tell
    throw error;
  }

  return {
    first: residentLayers,
    bytesPerSecond,
    buffer,
    turn(pass) {
      const result = turns.then(pass);
      turns = result.catch(() => undefined);
      return result;
    },
    bring(layer) {
      const set = sets[setOf(layer, residentLayers)];
      return set?.layer === layer ? set.filled : fill(layer);
    },
    done(layer) {
      const next = layer + STREAM_SETS;
      fill(slices.has(next) ? next : residentLayers + setOf(layer, residentLayers));
    },
    close,
  };
}
