/** When the next tokens are due, so that the CPU can sleep until then, and how many to make at a time. */

export interface Pace {
  /** A new text begins: what passed since the last token is no gap, and the pace of that one holds until a new one is known. */
  restart(): void;
  /**
   * So many tokens have arrived, 1 unless told. Not `waited` for, they were there when they were looked for, nobody knows since
   * when.
   */
  arrived(nowMs: number, tokens?: number, waited?: boolean): void;
  /** Milliseconds until the next tokens should be looked for; 0 while too little is known. */
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
 * Goes by arrivals that were waited for: only their times are the GPU's. The times of others are those of our own sleep, and a
 * pace that is made of them never becomes faster than it once was. A stall makes a gap longer, nothing makes it shorter than the
 * GPU's pace, so the lower quartile of the last ones counts.
 */
export function createPace(): Pace {
  const gaps: number[] = []; // milliseconds a token, between arrivals that were waited for
  let lastMs: number | undefined; // of the last one that was
  let since = 0; // tokens behind that
  let missed = 0; // arrivals behind that
  const tokenMs = () => quantileOf(gaps, 4);
  return {
    restart() {
      lastMs = undefined;
      since = 0;
      missed = 0;
    },
    arrived(nowMs, tokens = 1, waited = true) {
      since += tokens;
      missed++;
      if (!waited) return;
      if (lastMs !== undefined) gaps.push((nowMs - lastMs) / since);
      if (gaps.length > REMEMBERED) gaps.shift();
      lastMs = nowMs;
      since = 0;
      missed = 0;
    },
    dueMs(nowMs, tokens = 1) {
      if (lastMs === undefined || gaps.length === 0) return 0;
      // who keeps coming late looks earlier and earlier, until there is something to wait for
      const earlyMs = missed === 0 ? 0 : 4 ** (missed - 1);
      return Math.max(0, (since + tokens) * tokenMs() - earlyMs - (nowMs - lastMs));
    },
    burst() {
      return gaps.length < KNOWN ? 1 : burstOf(tokenMs());
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
      return known ? SLEPT * quantileOf(known, 2) : 0;
    },
  };
}

/** Below which one value in `parts` lies: with 2 the median. */
function quantileOf(values: readonly number[], parts: number): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / parts)] as number;
}
