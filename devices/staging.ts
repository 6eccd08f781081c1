/**
 * A ring of mapped buffers through which files reach the GPU: read straight into mapped memory, copied by the GPU, mapped
 * again. Its size bounds what a load takes besides the model itself.
 */
import { GPUMapMode } from './dawn.ts';
import type { Device } from './types.ts';

export interface StagingSlot {
  /** Mapped memory to fill; gone after send(). */
  readonly bytes: Uint8Array;
  /** Hands the filled memory to the GPU: `encode` records copies from `buffer`. The slot returns to the ring by itself. */
  send(encode: (encoder: GPUCommandEncoder, buffer: GPUBuffer) => void): void;
  /** Returns the slot to the ring as it is: there was nothing to send. */
  release(): void;
}

export interface Staging {
  /** A free slot; waits for one until the GPU is done with it. */
  take(): Promise<StagingSlot>;
  /** Waits for everything sent, then gives the memory back. */
  close(): Promise<void>;
}

interface Mapped {
  readonly buffer: GPUBuffer;
  readonly bytes: Uint8Array;
}

/** `count` slots of `slotBytes` (a multiple of 4). They are made at first use. */
export function createStaging(device: Device, count: number, slotBytes: number): Staging {
  const buffers = new Set<GPUBuffer>();
  const free: Promise<Mapped>[] = [];
  const waiting: ((slot: Promise<Mapped>) => void)[] = [];

  const giveBack = (slot: Promise<Mapped>) => {
    slot.catch(() => undefined); // whoever takes it hears of it
    const next = waiting.shift();
    if (next) next(slot);
    else free.push(slot);
  };
  const map = async (buffer: GPUBuffer): Promise<Mapped> => {
    try {
      await device.guard(buffer.mapAsync(GPUMapMode.WRITE), 'uploading weights');
      return { buffer, bytes: new Uint8Array(buffer.getMappedRange()) };
    } catch (error) {
      // the next one to take a slot gets a new buffer
      buffers.delete(buffer);
      device.free(buffer);
      waiting.shift()?.(next());
      throw error;
    }
  };
  const next = (): Promise<Mapped> => {
    const ready = free.shift();
    if (ready) return ready;
    if (buffers.size < count) {
      const buffer = device.buffer(`staging ${buffers.size}`, slotBytes, 'staging');
      buffers.add(buffer);
      return map(buffer);
    }
    return new Promise((resolve) => waiting.push(resolve));
  };

  return {
    async take() {
      const slot = await next();
      const { buffer, bytes } = slot;
      return {
        bytes,
        release: () => giveBack(Promise.resolve(slot)),
        send(encode) {
          buffer.unmap();
          const encoder = device.gpu.createCommandEncoder();
          encode(encoder, buffer);
          device.gpu.queue.submit([encoder.finish()]);
          giveBack(map(buffer));
        },
      };
    },
    async close() {
      await Promise.allSettled(free);
      for (const buffer of buffers) device.free(buffer);
      await device.settle();
    },
  };
}
