/** When the next tokens are due, so that the CPU can sleep until then, and how many to make at a time. */

export interface Pace {
  /** A new text begins: what passed since the last token is no gap, and the pace of that one holds until a new one is known. */
  restart(): void;
  /** So many tokens have arrived, 1 unless told. */
  arrived(nowMs: number, tokens?: number): void;
  /** Milliseconds until the next tokens are due; 0 while too little is known. */
  dueMs(nowMs: number, tokens?: number): number;
  /** Tokens that are worth making at a time: 1 unless they are much faster than anybody reads. */
  burst(): number;
}

/** How long passes of different kinds take. */
export interface PassTimes {
  /** A pass has taken so long since it could start. */
  took(kind: string, ms: number): void;
  /** Milliseconds to sleep before its end is looked for; 0 while nothing is known. */
  expectedMs(kind: string): number;
}

const REMEMBERED = 9;
/**
 * Time of a burst of tokens. For each the CPU waits the last millisecond awake, in which Dawn's polling makes garbage by the
 * megabyte, so that they should not be short; nobody sees such a wait, and few tokens are made in vain when a text ends.
 */
const BURST_MS = 12;
export const MOST_AT_ONCE = 16;
/** Gaps from which on a pace is known. */
const KNOWN = 5;
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
    restart() {
      lastMs = undefined;
    },
    arrived(nowMs, tokens = 1) {
      if (lastMs !== undefined) gaps.push((nowMs - lastMs) / tokens);
      if (gaps.length > REMEMBERED) gaps.shift();
      lastMs = nowMs;
    },
    dueMs(nowMs, tokens = 1) {
      if (lastMs === undefined || gaps.length === 0) return 0;
      return Math.max(0, tokens * medianOf(gaps) - (nowMs - lastMs));
    },
    burst() {
      return gaps.length < KNOWN ? 1 : burstOf(medianOf(gaps));
    },
  };
}

/** Tokens to make at a time where each takes so long. */
export function burstOf(tokenMs: number): number {
  return Math.max(1, Math.min(MOST_AT_ONCE, Math.floor(BURST_MS / tokenMs)));
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
