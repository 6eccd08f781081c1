/** Speed measurements with the names and the protocol of llama-bench, and a profile of one pass by step. */
import { createTimer } from '../devices/timing.ts';
import { FirstlightError } from '../quant/errors.ts';
import { packedBytes } from '../quant/layout.ts';
import type { Model } from './model.ts';
import { burstOf } from './pace.ts';
import { createSession, type Session } from './session.ts';
import type { Tuning } from './variants.ts';

export interface BenchTest {
  /** `pp512`, `tg128`, with `@d2048` behind it at a depth. */
  readonly name: string;
  readonly kind: 'prefill' | 'decode';
  readonly tokens: number;
  /** Positions already in the context when the clock starts. */
  readonly depth: number;
}

export interface BenchResult extends BenchTest {
  /** One for each repetition. */
  readonly tokensPerSecond: readonly number[];
  readonly median: number;
  /** Sample standard deviation, as llama-bench prints behind its mean. */
  readonly deviation: number;
  /** Share of the time in which the event loop was busy, the median over the repetitions. */
  readonly loopBusy: number;
}

/** Tests named like llama-bench names them. `depth` 0 is left out of the name. */
export function benchTest(kind: BenchTest['kind'], tokens: number, depth = 0): BenchTest {
  const name = `${kind === 'prefill' ? 'pp' : 'tg'}${tokens}${depth > 0 ? `@d${depth}` : ''}`;
  return { name, kind, tokens, depth };
}

/** The usual tests, as far as a context has room for them: short and long prompts, a text, and a prompt far into a text. */
export function usualTests(context: number): readonly BenchTest[] {
  const room = context - ROOM;
  return [
    ...[128, 512, 2048].map((count) => benchTest('prefill', count)),
    benchTest('decode', 128),
    benchTest('prefill', 512, Math.min(4096, room - 512)),
  ].filter(({ tokens, depth }) => depth >= 0 && depth + tokens <= room);
}

export interface BenchOptions {
  /** Default 5. */
  readonly repetitions?: number | undefined;
  /** Measured kernel variants. Default none. */
  readonly tuning?: Tuning | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onResult?: ((result: BenchResult) => void) | undefined;
}

/** GPUs clock up from idle: this much decoding goes before the first measurement. */
export const WARM_UP_MS = 1500;
/** Positions that a test needs beyond its own: for the tokens that are chosen. */
const ROOM = 2;
/** A profile is the median of so many. */
const PROFILED_PASSES = 9;
const SUBMITS = 40;
/** A token of every vocabulary that is not special in any common one. */
export const FILLER = 100;

/**
 * Runs the tests one after another in one session. Prefill is timed from the submission of the prompt to the arrival of the
 * first chosen token, decode from the first token to the last, always choosing greedily on the GPU. Every test runs once
 * before it counts.
 */
export async function bench(
  model: Model,
  tests: readonly BenchTest[],
  options: BenchOptions = {},
): Promise<readonly BenchResult[]> {
  const longest = Math.max(...tests.map((test) => test.depth + test.tokens + ROOM));
  if (longest > model.config.context)
    throw new FirstlightError(
      'bad-argument',
      `the tests need ${longest} positions but ${model.path} was made for ${model.config.context}: use a smaller depth`,
    );
  const session = await createSession(model, { context: longest, reserve: longest, tuning: options.tuning });
  const results: BenchResult[] = [];
  try {
    await warmUp(session, options.signal);
    for (const test of tests) {
      await runTest(session, test, options.signal);
      const tokensPerSecond: number[] = [];
      const busy: number[] = [];
      for (let i = 0; i < (options.repetitions ?? 5); i++) {
        const before = performance.eventLoopUtilization();
        tokensPerSecond.push(await runTest(session, test, options.signal));
        busy.push(performance.eventLoopUtilization(before).utilization);
      }
      const result = { ...test, ...summarise(tokensPerSecond), loopBusy: medianOf(busy) };
      results.push(result);
      options.onResult?.(result);
    }
  } finally {
    await session.close();
  }
  return results;
}

/** Median and deviation of repetitions. */
export function summarise(
  tokensPerSecond: readonly number[],
): Pick<BenchResult, 'tokensPerSecond' | 'median' | 'deviation'> {
  const mean = tokensPerSecond.reduce((sum, value) => sum + value, 0) / tokensPerSecond.length;
  const squares = tokensPerSecond.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return {
    tokensPerSecond,
    median: medianOf(tokensPerSecond),
    deviation: tokensPerSecond.length > 1 ? Math.sqrt(squares / (tokensPerSecond.length - 1)) : 0,
  };
}

function medianOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return ((sorted[middle] as number) + (sorted[Math.ceil(sorted.length / 2 - 1)] as number)) / 2;
}

async function generate(session: Session, ids: readonly number[], maxTokens: number, signal?: AbortSignal) {
  for await (const _ of session.generate(ids, { temperature: 0, maxTokens, signal }));
  return session.stats;
}

/** Decodes until the GPU has had time to clock up. */
export async function warmUp(session: Session, signal: AbortSignal | undefined): Promise<void> {
  const start = performance.now();
  while (performance.now() - start < WARM_UP_MS)
    await generate(session, [FILLER], Math.min(16, session.context - 1), signal);
}

/** Tokens per second of one repetition. */
async function runTest(session: Session, test: BenchTest, signal: AbortSignal | undefined): Promise<number> {
  const filled = new Array<number>(test.depth).fill(FILLER);
  if (test.depth > 0 && session.history.length < test.depth) await generate(session, filled, 1, signal);
  session.rewind(test.depth);
  if (test.kind === 'prefill') {
    const stats = await generate(session, [...filled, ...new Array<number>(test.tokens).fill(FILLER)], 1, signal);
    return (1000 * test.tokens) / stats.prefillMs;
  }
  const stats = await generate(session, [...filled, FILLER], test.tokens + 1, signal);
  return (1000 * test.tokens) / stats.decodeMs;
}

export interface ProfileRow {
  /** The step without its layer: all layers' `qkv` are one row. */
  readonly name: string;
  readonly count: number;
  readonly microseconds: number;
  /** Weight bytes read, without activations and cache. */
  readonly bytes: number;
  /** Floating point operations, two to a multiply-add, of all columns. */
  readonly operations: number;
}

/**
 * Times every step of one pass at the session's end of history, as the median of several passes: of one token's decode, or
 * over `columns` tokens of a prompt. Undefined when the device has no timestamps. Steps are timed one by one, so launch gaps
 * between them are not in the figures.
 */
export async function profilePass(session: Session, columns = 1): Promise<readonly ProfileRow[] | undefined> {
  const { device, weights } = session.model;
  const timer = createTimer(device, 2048);
  if (!timer) return undefined;
  const weightBytes = new Map<string, number>();
  for (const matrix of weights.matrices.values()) {
    for (const part of matrix.parts) {
      const { codes, scales } = packedBytes(part.format, part.rows, matrix.cols);
      weightBytes.set(part.name, codes + scales);
    }
  }
  for (let layer = 0; layer < session.model.config.layers; layer++) {
    const both = ['gateUp', 'down'].map((name) => weightBytes.get(`layers.${layer}.${name}`) ?? 0);
    weightBytes.set(`layers.${layer}.feedForward`, both[0]! + both[1]!);
  }
  try {
    const runs: { name: string; microseconds: number }[][] = [];
    const steps = await session.timedPass(timer, columns); // the first pass warms up
    for (let i = 0; i < PROFILED_PASSES; i++) runs.push(await session.timedPass(timer, columns));
    const rows = new Map<string, { count: number; microseconds: number; bytes: number; operations: number }>();
    for (const [i, { name, macs }] of steps.entries()) {
      const times = runs.map((run) => run[i]?.microseconds ?? 0).sort((a, b) => a - b);
      const key = name.replace(/^layers\.\d+\./, '').replace(/\/\d+$/, '');
      const row = rows.get(key) ?? { count: 0, microseconds: 0, bytes: 0, operations: 0 };
      row.count++;
      row.microseconds += times[Math.floor(times.length / 2)] as number;
      row.bytes += key === 'embed' ? 0 : (weightBytes.get(weightName(name, session)) ?? 0);
      row.operations += 2 * macs;
      rows.set(key, row);
    }
    return [...rows].map(([name, row]) => ({ name, ...row }));
  } finally {
    timer.close();
  }
}

/** What recording and submitting a token takes the CPU, in milliseconds. */
export interface Submission {
  readonly medianMs: number;
  /** Of the quickest submit: others that share the CPU, also guests of the same host, make it longer, nothing makes it shorter. */
  readonly quickestMs: number;
}

/** Times submits of as many tokens as decoding at that speed makes at once. */
export async function profileSubmission(session: Session, tokensPerSecond: number): Promise<Submission> {
  const passes = burstOf(1000 / tokensPerSecond);
  const times = (await session.timedSubmissions(SUBMITS, passes)).map((ms) => ms / passes);
  return { medianMs: medianOf(times), quickestMs: Math.min(...times) };
}

/** The matrix part that a step reads. */
function weightName(step: string, session: Session): string {
  if (!step.startsWith('logits')) return step;
  return step.replace('logits', session.model.config.tiedEmbeddings ? 'embed' : 'output');
}
