/** When the next token is due, so that the CPU can sleep until then. */

export interface Pace {
  /** A token has arrived. */
  arrived(nowMs: number): void;
  /** Milliseconds until the next token is due; 0 while too little is known. */
  dueMs(nowMs: number): number;
}

/** How long passes of different kinds take. */
export interface PassTimes {
  /** A pass has taken so long since it could start. */
  took(kind: string, ms: number): void;
  /** Milliseconds to sleep before its end is looked for; 0 while nothing is known. */
  expectedMs(kind: string): number;
}

const REMEMBERED = 9;
/** Of what a pass usually takes. Who looks late measures the sleep, so the sleep must be the shorter to come down again. */
const SLEPT = 0.9;

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
      return Math.max(0, medianOf(gaps) - (nowMs - lastMs));
    },
  };
}

export function createPassTimes(): PassTimes {
  const times = new Map<string, number[]>();
  return {
    took(kind, ms) {
      const known = times.get(kind) ?? [];
      times.set(kind, [...known, ms].slice(-REMEMBERED));
    },
    expectedMs(kind) {
      const known = times.get(kind);
      return known ? SLEPT * medianOf(known) : 0;
    },
  };
}

function medianOf(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] as number;
}
