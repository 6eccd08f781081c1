/** How long each step takes on the GPU, by timestamp queries. */
import { assert } from '../quant/errors.ts';
import type { Device } from './types.ts';

const TIMESTAMP_BYTES = 8; // u64 nanoseconds

export interface StepTime {
  readonly name: string;
  readonly microseconds: number;
}

export interface Timer {
  /** Starts a compute pass, one step; its time is kept under `name`, which several steps may share. */
  pass(encoder: GPUCommandEncoder, name: string): GPUComputePassEncoder;
  /** Encodes the collecting of all times so far: after the last pass, in the same or a later encoder. */
  resolve(encoder: GPUCommandEncoder): void;
  /** The times in the order of the passes, once what was encoded is submitted; then the timer starts afresh. */
  read(): Promise<StepTime[]>;
  close(): void;
}

/** A timer for at most `capacity` steps (2048 at most); undefined when the device has no timestamps. */
export function createTimer(device: Device, capacity: number): Timer | undefined {
  if (!device.traits.timestamps) return undefined;
  const { gpu } = device;
  const querySet = gpu.createQuerySet({ label: 'timer', type: 'timestamp', count: capacity * 2 });
  const times = device.buffer('timer', capacity * 2 * TIMESTAMP_BYTES, 'state'); // [step][begin, end] u64
  let names: string[] = [];
  return {
    pass(encoder, name) {
      const index = names.length * 2;
      assert(names.length < capacity, `more than ${capacity} steps in one timer`);
      names.push(name);
      return encoder.beginComputePass({
        label: name,
        timestampWrites: { querySet, beginningOfPassWriteIndex: index, endOfPassWriteIndex: index + 1 },
      });
    },
    resolve(encoder) {
      if (names.length > 0) encoder.resolveQuerySet(querySet, 0, names.length * 2, times, 0);
    },
    async read() {
      const steps = names;
      names = [];
      const bytes = await device.read(times, 0, steps.length * 2 * TIMESTAMP_BYTES);
      const stamps = new BigUint64Array(bytes.slice().buffer);
      return steps.map((name, step) => {
        const nanoseconds = Number(stamps[step * 2 + 1]! - stamps[step * 2]!);
        return { name, microseconds: Math.max(nanoseconds, 0) / 1000 };
      });
    },
    close() {
      querySet.destroy();
      device.free(times);
    },
  };
}
