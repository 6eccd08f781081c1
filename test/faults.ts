/** Faults on purpose: allocations that fail, devices that are lost. */
import type { Device } from '../devices/types.ts';

/** Dawn's class is known by its name alone. */
class GPUOutOfMemoryError {
  readonly message = 'injected: out of device memory';
}

export interface Allocations {
  /** Buffers that have been asked for so far. */
  readonly count: number;
  /** Gives the device its own functions back. */
  restore(): void;
}

/**
 * Counts the buffers that a device makes; those whose number (from 0) `fails` accepts come out as they do when memory has run
 * out: destroyed, and the error scope around them holds an error.
 */
export function watchAllocations(device: Device, fails: (index: number) => boolean): Allocations {
  const gpu = device.gpu as GPUDevice & Record<string, unknown>;
  const [createBuffer, popErrorScope] = [gpu.createBuffer, gpu.popErrorScope];
  let count = 0;
  let failed = false;
  gpu.createBuffer = (descriptor) => {
    const buffer = createBuffer.call(gpu, descriptor);
    failed = fails(count++);
    if (failed) buffer.destroy();
    return buffer;
  };
  gpu.popErrorScope = async () => {
    const outcome = popErrorScope.call(gpu); // the scope must go in any case
    const injected = failed;
    failed = false;
    const error = await outcome;
    return injected ? (new GPUOutOfMemoryError() as GPUOutOfMemoryError & GPUError) : error;
  };
  return {
    get count() {
      return count;
    },
    restore() {
      gpu.createBuffer = createBuffer;
      gpu.popErrorScope = popErrorScope;
    },
  };
}

export interface Submits {
  /** Calls of submit so far, of all devices that were told of. */
  readonly count: number;
  /** Counts the submits of one more device. */
  watch(device: Device): Device;
  /** Destroys the device at the submit behind so many more. */
  destroyIn(submits: number): void;
}

/** Destroys the device at the submit with this number (from 0), of several devices that are opened one after another. */
export function destroyAt(submit: number): Submits {
  let count = 0;
  let last = submit;
  return {
    get count() {
      return count;
    },
    watch(device) {
      const queue = device.gpu.queue as GPUQueue & Record<string, unknown>;
      const { submit: original } = queue;
      queue.submit = (commands) => {
        if (count++ === last) device.gpu.destroy();
        return original.call(queue, commands);
      };
      return device;
    },
    destroyIn(submits) {
      last = count + submits;
    },
  };
}
