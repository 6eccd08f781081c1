/** Waiting for the GPU: every wait ends, by the result, the loss of the device or the time-out. */
import { setTimeout as sleep } from 'node:timers/promises';
import { FirstlightError } from '../quant/errors.ts';
import { GPUMapMode } from './dawn.ts';
import type { Device } from './types.ts';

/** Uncaptured errors kept for the next wait; a broken loop may raise thousands. */
const MOST_FAILURES = 8;
/** Dawn may reject pending work a moment before it says that the device is lost. */
const LOSS_GRACE_MS = 20;
/** A sleep may end this much late, so it is cut by it. */
const TIMER_SLACK_MS = 0.5;
/** A mapping that takes no longer finds its result there. */
const AT_ONCE_MS = 0.3;

export interface Watch {
  /** Resolves with the reason once the device is lost or closed. */
  readonly lost: Promise<string>;
  /**
   * Passes on what `work` resolves to. Rejects with `device-lost` or `device-timeout` (after `limitMs`, default the
   * device's time-out), or with an error that the device raised since the last wait.
   */
  guard<T>(work: Promise<T>, what: string, limitMs?: number): Promise<T>;
  /** Takes the outcome of an error scope: the next guarded wait awaits it and throws the error, if it is one. */
  collect(outcome: Promise<Error | undefined>): void;
}

/** Starts to collect the errors and the loss of a device. */
export function watchDevice(gpu: GPUDevice, timeoutMs: number): Watch {
  const failures: Error[] = [];
  const outcomes = new Set<Promise<void>>();
  // Waits in progress. A reaction to `lost` for each wait would stay for the device's life.
  const waits = new Set<(reason: string) => void>();
  let lostReason: string | undefined;

  const fail = (error: Error) => {
    if (failures.length < MOST_FAILURES) failures.push(error);
  };

  gpu.addEventListener('uncapturederror', (event) => {
    const { error } = event as GPUUncapturedErrorEvent;
    fail(describeError(error));
  });

  const lost = gpu.lost.then((info) => {
    lostReason = info.message || info.reason || 'no reason given';
    for (const end of waits) end(lostReason);
    return lostReason;
  });

  /** What the device raised since the last wait, error scopes included. */
  const takeFailures = async (): Promise<Error | undefined> => {
    if (outcomes.size > 0) await Promise.all(outcomes);
    return failures.length > 0 ? joinErrors(failures.splice(0)) : undefined;
  };

  const guard = <T>(work: Promise<T>, what: string, limitMs = timeoutMs): Promise<T> =>
    new Promise<T>((resolve, reject) => {
      const end = (settle: () => void) => {
        clearTimeout(timer);
        waits.delete(onLost);
        settle();
      };
      const onLost = (reason: string) => end(() => reject(lostError(reason, what)));
      const timer = setTimeout(() => end(() => reject(timeoutError(limitMs, what))), limitMs);
      waits.add(onLost);
      if (lostReason !== undefined) onLost(lostReason);
      work.then(
        async (value) => {
          if (!waits.has(onLost)) return; // too late: what was raised belongs to the next wait
          const failure = await takeFailures();
          end(() => (failure ? reject(failure) : resolve(value)));
        },
        async (cause) => {
          await sleep(LOSS_GRACE_MS);
          if (!waits.has(onLost)) return;
          const failure = await takeFailures();
          end(() => reject(failure ?? cause));
        },
      );
    });

  return {
    lost,
    guard,
    collect(outcome) {
      const settled = outcome.then(
        (error) => {
          outcomes.delete(settled);
          if (error) fail(error);
        },
        // a scope of a lost device rejects; the loss itself is reported
        () => void outcomes.delete(settled),
      );
      outcomes.add(settled);
    },
  };
}

function lostError(reason: string, what: string): FirstlightError {
  return new FirstlightError(
    'device-lost',
    `the GPU was lost while ${what} (${oneLine(reason)}): open the device again and load the model anew; ` +
      'if it happens again, use a smaller model, context or prompt chunk, or update the driver',
  );
}

function timeoutError(limitMs: number, what: string): FirstlightError {
  return new FirstlightError(
    'device-timeout',
    `the GPU did not answer within ${limitMs} ms while ${what}: it may hang, or the work may be too large for it; ` +
      'use a smaller prompt chunk, raise timeoutMs, or restart the program',
  );
}

/** A GPUError as an Error that names what happened. */
export function describeError(error: GPUError): Error {
  const text = oneLine(error.message);
  if (error.constructor.name === 'GPUOutOfMemoryError') {
    return new FirstlightError(
      'not-enough-memory',
      `the GPU ran out of memory (${text}): use a smaller model or context, or close other programs`,
    );
  }
  return new Error(`the GPU refused a call, which is a bug in firstlight or in the driver: ${text}`);
}

/** One error of several. Where memory ran out, calls on the buffers that got none failed too: those are left out. */
function joinErrors(all: readonly Error[]): Error {
  const told = all.filter((error) => error instanceof FirstlightError);
  const errors = told.length > 0 ? told : all;
  const [first, ...others] = errors as [Error, ...Error[]];
  if (others.length === 0) return first;
  const message = errors.map((error) => error.message).join('; then: ');
  return first instanceof FirstlightError ? new FirstlightError(first.code, message) : new Error(message);
}

/** Dawn's message without line breaks and without places in its own source. */
function oneLine(text: string): string {
  return text
    .replaceAll(/^\s*at \S+ \(.*\)$/gm, '')
    .replaceAll(/\s+/g, ' ')
    .trim();
}

export interface Mapped {
  readonly bytes: Uint8Array;
  /** It was on its way still when it was looked for, so that now is when it arrived. */
  readonly waited: boolean;
}

/**
 * Reads the first `bytes` of a readback buffer whose contents are due in about `expectedMs`, by the caller's moving
 * average. Dawn keeps a CPU core busy while a mapping is pending (polling.ts), and on an APU that core's watts come out of
 * the GPU's budget: so this sleeps first and maps late. Rejects as `Device.guard` does.
 */
export async function mapLate(
  device: Pick<Device, 'guard'>,
  buffer: GPUBuffer,
  bytes: number,
  expectedMs: number,
): Promise<Mapped> {
  const sleepMs = Math.floor(expectedMs - TIMER_SLACK_MS);
  if (sleepMs >= 1) await sleep(sleepMs);
  const startMs = performance.now();
  try {
    await device.guard(buffer.mapAsync(GPUMapMode.READ, 0, bytes), `waiting for ${buffer.label || 'a result'}`);
    const waited = performance.now() - startMs > AT_ONCE_MS;
    return { bytes: new Uint8Array(buffer.getMappedRange(0, bytes).slice(0)), waited };
  } finally {
    buffer.unmap(); // also calls off a mapping that came too late
  }
}

/** Waits until memory that was freed is back. A device that is lost, or closed, has given all of it back. */
export async function settleFreed(device: Pick<Device, 'settle'>): Promise<void> {
  try {
    await device.settle();
  } catch (error) {
    if (!(error instanceof FirstlightError && error.code === 'device-lost')) throw error;
  }
}
