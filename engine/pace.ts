/** When the next token is due, so that the CPU can sleep until then. */

export interface Pace {
  /** A token has arrived. */
  arrived(nowMs: number): void;
  /** Milliseconds until the next token is due; 0 while too little is known. */
  dueMs(nowMs: number): number;
}

const REMEMBERED = 9;

/**
 * Goes by the median of the last gaps between tokens. A mean would not do: after one stall it is too long, the next sleep is
 * too, and the gaps that this makes keep it so.
 */
export function createPace(): Pace {
  const gaps: number[] = [];
  let lastMs: number | undefined;
  return {
    arrived(nowMs) {
      if (lastMs !== undefined) gaps.push(nowMs - lastMs);
      if (gaps.length > REMEMBERED) gaps.shift();
      lastMs = nowMs;
    },
    dueMs(nowMs) {
      if (lastMs === undefined || gaps.length === 0) return 0;
      const median = [...gaps].sort((a, b) => a - b)[gaps.length >> 1] as number;
      return Math.max(0, median - (nowMs - lastMs));
    },
  };
}
