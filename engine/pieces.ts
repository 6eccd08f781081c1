/**
 * Long passes in pieces. A GPU that is busy with one submit for seconds shows nothing on its screen, and its driver may take
 * it for hung; so passes are cut into submits of about BUDGET_MS, by how long the ones before took.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { findGpu, type Topology } from '../devices/topology.ts';
import type { Device, Traits } from '../devices/types.ts';
import { type EncodedStep, type Program, recordSteps } from './encode.ts';
import type { PassSize } from './steps.ts';

/** Of a submit. */
const BUDGET_MS = 200;
/** Of one on a CPU driver, which nothing watches: somebody waits to hear of progress, or wants to stop. */
const SOFTWARE_BUDGET_MS = 500;
/** Part of the time after which the kernel takes a submit for hung. */
const LOCKUP_SHARE = 0.1;
/** Multiply-adds of the first piece: some 200 ms of a small integrated GPU, or of a CPU. From there on pieces double at most. */
const FIRST_WORK = 60e9;
const SOFTWARE_FIRST_WORK = 0.1e9;
/** What a dispatch costs besides its multiply-adds, in multiply-adds: a microsecond or so of a large GPU. */
const DISPATCH_WORK = 2e6;
/** Pieces that take longer are slept through before the next one is submitted: who wants to stop need not wait for both. */
const SLEEP_FROM_MS = 100;
/** Of the expected time. */
const SLEPT = 0.9;
/** Pieces whose speed counts. */
const REMEMBERED = 8;
/** Pieces submitted and not done: the GPU has the next one when it is through with one. */
const IN_FLIGHT = 2;

/** How long pieces may be: learns from each. Work is in multiply-adds. */
export interface Cutting {
  /** Most work of the next piece. */
  limit(): number;
  /** Milliseconds that a piece will take, at the best speed of the last ones; 0 while nothing is known. */
  expectedMs(work: number): number;
  /** A piece has taken so long. */
  took(work: number, ms: number): void;
}

/** Starts with `firstWork` and goes by `budgetMs`. */
export function createCutting(budgetMs: number, firstWork: number): Cutting {
  let most = firstWork;
  const msPerWork: number[] = [];
  return {
    limit: () => most,
    // whoever sleeps too long measures the sleep: the best of a few comes down again at once
    expectedMs: (work) => (msPerWork.length > 0 ? work * Math.min(...msPerWork) : 0),
    took(work, ms) {
      // a short piece says little: launches are most of it. A slow one always counts
      if (work < most / 4 && ms < budgetMs) return;
      msPerWork.push(ms / work);
      if (msPerWork.length > REMEMBERED) msPerWork.shift();
      most = Math.min(2 * most, (work * budgetMs) / Math.max(ms, 0.1));
    },
  };
}

/** Longest submit, in milliseconds: a part of what the kernel allows, where it says so. */
export function pieceBudgetMs(traits: Traits, topology: Topology): number {
  if (traits.software) return SOFTWARE_BUDGET_MS;
  const timeouts = findGpu(topology, traits)?.lockupTimeoutMs;
  const limits = [timeouts?.gfx, timeouts?.compute].map((ms) =>
    typeof ms === 'number' ? ms * LOCKUP_SHARE : Number.POSITIVE_INFINITY,
  );
  return Math.min(BUDGET_MS, ...limits);
}

export interface PassWork {
  readonly size: PassSize;
  /** Keys that a column attends to, about. */
  readonly keys: number;
  readonly onPiece?: ((share: number) => void) | undefined;
}

export interface Pieces {
  /**
   * Submits a pass in pieces; resolves once the last one is submitted and, if it is long, nearly done. `finish` records what
   * follows the last step. `onPiece` is called between pieces with the share of the work that is done or submitted;
   * what it throws ends the pass there.
   */
  run(program: Program, pass: PassWork, finish?: (encoder: GPUCommandEncoder) => void): Promise<void>;
}

/** Multiply-adds of a step, of all columns or outputs of a pass. */
export function macsOf({ macs, macsPerKey, grid }: EncodedStep, { size, keys }: PassWork): number {
  return size[grid.over] * (macs + macsPerKey * keys);
}

/** Steps in runs of at most `limit()` work, asked anew for each run. */
export function* cutSteps(
  works: readonly number[],
  limit: () => number,
): Generator<{ readonly first: number; readonly end: number; readonly work: number }> {
  for (let first = 0; first < works.length; ) {
    const most = limit();
    let end = first + 1;
    let work = works[first] as number;
    while (end < works.length && work + (works[end] as number) <= most) work += works[end++] as number;
    yield { first, end, work };
    first = end;
  }
}

/** Submits for a device, none longer than `budgetMs` as far as the ones before tell. */
export function createPieces(device: Device, budgetMs: number): Pieces {
  const { queue } = device.gpu;
  const cutting = createCutting(budgetMs, device.traits.software ? SOFTWARE_FIRST_WORK : FIRST_WORK);
  const flight: Promise<void>[] = []; // ends that were asked for
  let last: { readonly work: number; readonly startMs: number } | undefined; // whose end was not
  let doneMs = 0;

  /** Asks for the end of the last piece. Of a long one only when most of it is over. */
  const askForEnd = async () => {
    if (!last) return;
    const { work, startMs } = last;
    const expectedMs = cutting.expectedMs(work);
    if (expectedMs > SLEEP_FROM_MS) {
      await Promise.all(flight.splice(0)); // then it has begun
      await sleep(Math.max(0, Math.max(startMs, doneMs) + SLEPT * expectedMs - performance.now()));
    }
    const done = device.guard(queue.onSubmittedWorkDone(), 'reading a prompt').then(() => {
      const nowMs = performance.now();
      cutting.took(work, nowMs - Math.max(startMs, doneMs)); // it may have waited for the one before
      doneMs = nowMs;
    });
    done.catch(() => undefined); // whoever waits next is told
    flight.push(done);
    last = undefined;
  };

  const submit = async (commands: GPUCommandBuffer, work: number) => {
    await askForEnd();
    while (flight.length > IN_FLIGHT - 1) await flight.shift();
    queue.submit([commands]);
    last = { work, startMs: performance.now() };
  };

  return {
    async run({ steps }, pass, finish) {
      const works = steps.map((step) => DISPATCH_WORK + macsOf(step, pass));
      const whole = works.reduce((sum, work) => sum + work, 0);
      let before = 0;
      try {
        for (const { first, end, work } of cutSteps(works, cutting.limit)) {
          const encoder = device.gpu.createCommandEncoder();
          recordSteps(encoder, steps.slice(first, end), pass.size);
          if (end === steps.length) finish?.(encoder);
          await submit(encoder.finish(), work);
          before += work;
          if (end < steps.length) pass.onPiece?.(before / whole);
        }
        await askForEnd();
      } catch (error) {
        last = undefined; // nobody would see when it ends
        throw error;
      }
    },
  };
}

/** Whole tiles of every kernel for many columns. */
const COLUMN_TILE = 64;

/**
 * Columns of each pass over a prompt of so many tokens: as many passes as `chunk` demands, and about the same number in each,
 * so that none is left with a few.
 */
export function passSizes(tokens: number, chunk: number): readonly number[] {
  const passes = Math.ceil(tokens / chunk);
  const step = Math.min(chunk, Math.ceil(Math.ceil(tokens / passes) / COLUMN_TILE) * COLUMN_TILE);
  return Array.from({ length: Math.ceil(tokens / step) }, (_, i) => Math.min(step, tokens - i * step));
}
