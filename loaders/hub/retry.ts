/** Tries again what a bad connection broke off. */
import { setTimeout as sleep } from 'node:timers/promises';
import { FirstlightError } from '../../quant/errors.ts';
import { ConnectionLost } from './http.ts';

export interface Patience {
  readonly signal?: AbortSignal | undefined;
  /** Tries without progress after which to give up. Default 6. */
  readonly tries?: number | undefined;
  /** Pause before the second try; doubles with each. Default 1 s. */
  readonly pauseMs?: number | undefined;
  /** Told why a try failed, before the pause. */
  readonly onRetry?: ((why: string) => void) | undefined;
}

/**
 * Calls `attempt` until it does not end with ConnectionLost.
 *
 * @param progress a number that grows with what is done: tries that moved it are not counted
 * @throws `download-failed` after too many tries, and whatever else `attempt` throws
 */
export async function withRetries<T>(
  { signal, tries = 6, pauseMs = 1000, onRetry }: Patience,
  progress: () => number,
  attempt: () => Promise<T>,
): Promise<T> {
  for (let failed = 0; ; ) {
    const before = progress();
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof ConnectionLost)) throw error;
      failed = progress() > before ? 1 : failed + 1;
      if (failed >= tries)
        throw new FirstlightError(
          'download-failed',
          `${error.message}, ${failed} times in a row: run the command again to go on from here`,
          { cause: error },
        );
      onRetry?.(error.message);
      await sleep(pauseMs * 2 ** (failed - 1), undefined, { ...(signal ? { signal } : {}) }).catch(() => undefined);
      signal?.throwIfAborted();
    }
  }
}
