/** Buffers on the device: made, counted, filled and read back. */
import { assert, FirstlightError } from '../quant/errors.ts';
import { roundUp } from '../quant/layout.ts';
import { READ_SLICE_BYTES } from './allocation.ts';
import { GPUBufferUsage, GPUMapMode } from './dawn.ts';
import type { Device, Limits, Purpose } from './types.ts';
import { describeError, type Watch } from './wait.ts';

const MIB = 1024 * 1024;
/** One writeBuffer. Dawn's upload staging grows in rings of 4 MiB, which slices of this size fill well. */
const WRITE_SLICE_BYTES = MIB;
/** Written between submits: Dawn holds the staging memory of a write until the next submit is done. */
const SUBMIT_BYTES = 4 * MIB;
/** Staging buffers for reading back: two in flight hide the copy of one behind the transfer of the other. */
const READ_RING = 2;
/** Uniform bindings are multiples of 16 bytes. */
const SIZE_STEP = 16;

const { STORAGE, UNIFORM, COPY_SRC, COPY_DST, MAP_READ, MAP_WRITE, QUERY_RESOLVE } = GPUBufferUsage;
const USAGE: Readonly<Record<Purpose, GPUBufferUsageFlags>> = {
  weights: STORAGE | COPY_SRC | COPY_DST,
  kv: STORAGE | COPY_SRC | COPY_DST,
  activations: STORAGE | COPY_SRC | COPY_DST,
  state: STORAGE | UNIFORM | COPY_SRC | COPY_DST | QUERY_RESOLVE,
  staging: MAP_WRITE | COPY_SRC,
  readback: MAP_READ | COPY_DST,
};

interface ReadSlot {
  staging: GPUBuffer | undefined;
}

type Buffers = Pick<Device, 'buffer' | 'free' | 'upload' | 'read' | 'memory'>;

/** The buffer functions of a device. */
export function createBuffers(gpu: GPUDevice, limits: Limits, watch: Watch): Buffers {
  const live = new Map<GPUBuffer, { readonly bytes: number; readonly purpose: Purpose }>();
  const totals: Record<Purpose, number> = { weights: 0, kv: 0, activations: 0, state: 0, staging: 0, readback: 0 };

  const forget = (buffer: GPUBuffer) => {
    const entry = live.get(buffer);
    if (!entry) return;
    live.delete(buffer);
    totals[entry.purpose] -= entry.bytes;
  };

  const buffer: Buffers['buffer'] = (label, bytes, purpose) => {
    assert(Number.isSafeInteger(bytes) && bytes >= 0, `buffer ${label} of ${bytes} bytes`);
    const size = Math.max(roundUp(bytes, SIZE_STEP), SIZE_STEP);
    const wanted = `${purpose} buffer "${label}" of ${inMib(size)} MiB`;
    if (size > limits.maxBufferBytes) {
      throw new FirstlightError(
        'not-enough-memory',
        `${wanted}: this device allows ${inMib(limits.maxBufferBytes)} MiB a buffer; use a smaller model or context`,
      );
    }
    gpu.pushErrorScope('validation');
    gpu.pushErrorScope('out-of-memory');
    const made = gpu.createBuffer({ label, size, usage: USAGE[purpose] });
    live.set(made, { bytes: size, purpose });
    totals[purpose] += size;
    const held = Object.values(totals).reduce((sum, one) => sum + one, 0) - size;
    const exhausted = gpu.popErrorScope();
    const invalid = gpu.popErrorScope();
    watch.collect(
      Promise.all([exhausted, invalid]).then(([noMemory, mistake]) => {
        if (!noMemory && !mistake) return undefined;
        forget(made);
        if (mistake) return describeError(mistake);
        return new FirstlightError(
          'not-enough-memory',
          `no GPU memory left for ${wanted}, ${inMib(held)} MiB held already: use a smaller model or context, ` +
            'or close other programs',
        );
      }),
    );
    return made;
  };

  const free: Buffers['free'] = (buffer) => {
    forget(buffer);
    buffer.destroy();
  };

  let stagedBytes = 0;
  let lastSubmit: Promise<unknown> = Promise.resolve();
  let uploading: Promise<void> = Promise.resolve();

  /** Counts bytes given to writeBuffer; past SUBMIT_BYTES submits them and waits for the submit before this one. */
  const staged = async (bytes: number, what: string) => {
    stagedBytes += bytes;
    if (stagedBytes < SUBMIT_BYTES) return;
    stagedBytes = 0;
    gpu.queue.submit([]);
    const before = lastSubmit;
    lastSubmit = gpu.queue.onSubmittedWorkDone();
    lastSubmit.catch(() => {}); // whoever waits for it next hears of a failure
    await watch.guard(before, what);
  };

  const upload: Buffers['upload'] = async (buffer, offsetBytes, data) => {
    assert(offsetBytes % 4 === 0, `upload to ${buffer.label} at byte ${offsetBytes}, not a multiple of 4`);
    const size = roundUp(data.byteLength, 4);
    assert(
      offsetBytes >= 0 && offsetBytes + size <= buffer.size,
      `upload of ${data.byteLength} bytes at ${offsetBytes} to ${buffer.label} of ${buffer.size}`,
    );
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    // one upload after another: together they would hold more staging than SUBMIT_BYTES promises
    const turn = uploading;
    let endTurn = () => {};
    uploading = new Promise((resolve) => {
      endTurn = resolve;
    });
    await turn;
    try {
      await writeSlices(buffer, offsetBytes, bytes);
    } finally {
      endTurn();
    }
  };

  const writeSlices = async (buffer: GPUBuffer, offsetBytes: number, bytes: Uint8Array) => {
    for (let at = 0; at < bytes.length; at += WRITE_SLICE_BYTES) {
      let slice = bytes.subarray(at, at + WRITE_SLICE_BYTES);
      if (slice.length % 4 !== 0) {
        const padded = new Uint8Array(roundUp(slice.length, 4));
        padded.set(slice);
        slice = padded;
      }
      gpu.queue.writeBuffer(buffer, offsetBytes + at, slice);
      await staged(slice.length, `uploading to ${buffer.label}`);
    }
  };

  // Staging for reads: each slot's buffer is made at first use, kept, and lent to one slice at a time.
  const idle: ReadSlot[] = Array.from({ length: READ_RING }, () => ({ staging: undefined }));
  const waiting: ((slot: ReadSlot) => void)[] = [];

  const borrow = async (): Promise<ReadSlot> => idle.pop() ?? new Promise((resolve) => waiting.push(resolve));

  const giveBack = (slot: ReadSlot) => {
    const next = waiting.shift();
    if (next) next(slot);
    else idle.push(slot);
  };

  /** Copies `target.length` bytes at `offset` into `target`; both are multiples of 4, at most one slice. */
  const readSlice = async (source: GPUBuffer, offset: number, target: Uint8Array) => {
    const slot = await borrow();
    try {
      slot.staging ??= buffer('readback', READ_SLICE_BYTES, 'readback');
      const encoder = gpu.createCommandEncoder();
      encoder.copyBufferToBuffer(source, offset, slot.staging, 0, target.length);
      gpu.queue.submit([encoder.finish()]);
      await watch.guard(slot.staging.mapAsync(GPUMapMode.READ, 0, target.length), `reading ${source.label} back`);
      target.set(new Uint8Array(slot.staging.getMappedRange(0, target.length)));
      slot.staging.unmap();
    } catch (error) {
      // its mapping may still be pending, or it may never have had memory
      if (slot.staging) free(slot.staging);
      slot.staging = undefined;
      throw error;
    } finally {
      giveBack(slot);
    }
  };

  const read: Buffers['read'] = async (buffer, offsetBytes, bytes) => {
    assert(
      offsetBytes >= 0 && bytes >= 0 && offsetBytes + bytes <= buffer.size,
      `read of ${bytes} bytes at ${offsetBytes} from ${buffer.label} of ${buffer.size}`,
    );
    const start = offsetBytes - (offsetBytes % 4);
    const whole = new Uint8Array(roundUp(offsetBytes + bytes, 4) - start);
    const slices: Promise<void>[] = [];
    for (let at = 0; at < whole.length; at += READ_SLICE_BYTES) {
      const target = whole.subarray(at, at + READ_SLICE_BYTES);
      slices.push(readSlice(buffer, start + at, target));
    }
    await Promise.all(slices);
    return whole.subarray(offsetBytes - start, offsetBytes - start + bytes);
  };

  return { buffer, free, upload, read, memory: () => ({ ...totals }) };
}

function inMib(bytes: number): string {
  const mib = bytes / MIB;
  return mib < 10 ? mib.toFixed(2) : Math.round(mib).toString();
}
