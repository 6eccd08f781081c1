/** The server's GPU: opened when it is needed, and anew after it was lost, but not for ever. */
import { openDevice } from '../../devices/open.ts';
import type { Device, DeviceOptions } from '../../devices/types.ts';
import { FirstlightError } from '../../quant/errors.ts';

export interface Gpu {
  /** The open device, opened if it is not. Throws `no-adapter`, and `device-lost` while it is left alone. */
  get(): Promise<Device>;
  readonly opened: Device | undefined;
  /** Since the start. */
  readonly losses: number;
  /** Why it is left alone for now; undefined: it is not. */
  readonly trouble: FirstlightError | undefined;
  /** It does not answer: it is given up, which is heard of like any other loss. */
  giveUp(device: Device): void;
  close(): void;
}

export interface GpuOptions {
  readonly device: DeviceOptions;
  /** Tests bring their own. Default openDevice. */
  readonly open?: ((options: DeviceOptions) => Promise<Device>) | undefined;
  /** Whether tokens have been made on the device that was lost. */
  hasWorked(): boolean;
  /** Called when it is lost; after it `get` opens another one, from `retryMs` milliseconds on. */
  onLost(reason: string, retryMs: number): void;
}

/** After so many losses in a row, without a token between them, the GPU is left alone for a while. */
const MOST_LOSSES = 2;
const PAUSE_MS = 30_000;

export function createGpu({ device: options, open = openDevice, hasWorked, onLost }: GpuOptions): Gpu {
  let opening: Promise<Device> | undefined;
  let opened: Device | undefined;
  let losses = 0;
  let inARow = 0;
  let lastMs = 0;
  let lastReason = '';
  let closed = false;

  const trouble = () =>
    inARow >= MOST_LOSSES && opened === undefined
      ? new FirstlightError(
          'device-lost',
          `the GPU was lost ${inARow} times in a row (${lastReason}): it is left alone for a while`,
        )
      : undefined;

  function lost(device: Device, reason: string): void {
    if (device !== opened || closed) return;
    losses++;
    inARow = hasWorked() ? 1 : inARow + 1;
    lastMs = Date.now();
    lastReason = reason;
    opening = undefined;
    opened = undefined;
    onLost(reason, inARow < MOST_LOSSES ? 0 : PAUSE_MS);
  }

  return {
    async get() {
      const left = trouble();
      if (left && Date.now() - lastMs < PAUSE_MS) throw left;
      opening ??= open(options).then((device) => {
        opened = device;
        void device.lost.then((reason) => lost(device, reason));
        return device;
      });
      try {
        return await opening;
      } catch (error) {
        opening = undefined;
        throw error;
      }
    },
    get opened() {
      return opened;
    },
    get losses() {
      return losses;
    },
    get trouble() {
      return trouble();
    },
    giveUp(device) {
      if (device === opened) device.close();
    },
    close() {
      closed = true;
      opened?.close();
    },
  };
}
