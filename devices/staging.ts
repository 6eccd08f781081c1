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
}

export interface Staging {
  /** A free slot; waits for one until the GPU is done with it. */
  take(): Promise<StagingSlot>;
  /** Waits for everything sent, then gives the memory back. */
  close(): Promise<void>;
}

/** `count` slots of `slotBytes` (a multiple of 4). They are made at first use. */
export function createStaging(device: Device, count: number, slotBytes: number): Staging {
  const buffers: GPUBuffer[] = [];
  const free: Promise<GPUBuffer>[] = [];
  const waiting: ((buffer: Promise<GPUBuffer>) => void)[] = [];

  const giveBack = (buffer: Promise<GPUBuffer>) => {
    buffer.catch(() => undefined); // whoever takes it hears of it
    const next = waiting.shift();
    if (next) next(buffer);
    else free.push(buffer);
  };
  const mapped = async (buffer: GPUBuffer) => {
    await device.guard(buffer.mapAsync(GPUMapMode.WRITE), 'uploading weights');
    return buffer;
  };
  const next = (): Promise<GPUBuffer> => {
    const ready = free.shift();
    if (ready) return ready;
    if (buffers.length < count) {
      const buffer = device.buffer(`staging ${buffers.length}`, slotBytes, 'staging');
      buffers.push(buffer);
      return mapped(buffer);
    }
    return new Promise((resolve) => waiting.push(resolve));
  };

  return {
    async take() {
      const buffer = await next();
      return {
        bytes: new Uint8Array(buffer.getMappedRange()),
        send(encode) {
          buffer.unmap();
          const encoder = device.gpu.createCommandEncoder();
          encode(encoder, buffer);
          device.gpu.queue.submit([encoder.finish()]);
          giveBack(mapped(buffer));
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
