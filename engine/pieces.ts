/**
 * Long passes in pieces. A GPU that is busy with one submit for seconds shows nothing on its screen, and its driver may take
 * it for hung; so passes are cut where the work so far is estimated at BUDGET_MS, by a rate that every piece measures anew.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { findGpu, type Topology } from '../devices/topology.ts';
import type { Device, Traits } from '../devices/types.ts';
import { type EncodedStep, type Program, recordSteps } from './encode.ts';
import type { PassSize } from './steps.ts';

/** Of a submit. */
const BUDGET_MS = 200;
/** Part of the time after which the kernel takes a submit for hung. */
const LOCKUP_SHARE = 0.1;
/** Multiply-adds a millisecond before anything is measured: of a small integrated GPU. */
const FIRST_RATE = 0.3e9;
/** What a dispatch costs besides its multiply-adds, in multiply-adds: a microsecond or so of a large GPU. */
const DISPATCH_WORK = 2e6;
/** Pieces that take longer are slept through: waiting keeps a CPU core busy, whose watts are the GPU's on an APU. */
const SLEEP_FROM_MS = 50;
/** Of the expected time: who sleeps longer than a piece takes never learns it. */
const SLEPT = 0.9;
/** Shorter pieces measure the launch more than the work. */
const LEAST_MEASURED_MS = 2;
/** Pieces submitted and not done: the GPU has the next one when it is through with one. */
const IN_FLIGHT = 2;

export interface Pieces {
  /**
   * Submits a pass in pieces; resolves once the last one is submitted, with earlier ones done or nearly so. `finish` records
   * what follows the last step. `onPiece` is called between pieces with the share of the work that is done or submitted;
   * what it throws ends the pass there.
   */
  run(program: Program, pass: PassWork, finish?: (encoder: GPUCommandEncoder) => void): Promise<void>;
}

export interface PassWork {
  readonly size: PassSize;
  /** Keys that a column attends to, about. */
  readonly keys: number;
  readonly onPiece?: ((share: number) => void) | undefined;
}

/** Longest submit on a GPU, in milliseconds; undefined where nothing watches: CPU drivers. */
export function pieceBudgetMs(traits: Traits, topology: Topology): number | undefined {
  if (traits.software) return undefined;
  const timeouts = findGpu(topology, traits)?.lockupTimeoutMs;
  const shortest = Math.min(
    ...[timeouts?.gfx, timeouts?.compute].map((ms) => (typeof ms === 'number' ? ms : Infinity)),
  );
  return Math.min(BUDGET_MS, shortest * LOCKUP_SHARE);
}

/** Multiply-adds of a step in a pass. */
function workOf({ macs, macsPerKey }: EncodedStep, { size, keys }: PassWork): number {
  return DISPATCH_WORK + size.columns * (macs + macsPerKey * keys);
}

/** Submits for a device. Rates are kept as long as this is. */
export function createPieces(device: Device, budgetMs: number | undefined): Pieces {
  const { queue } = device.gpu;
  let rate: number | undefined; // multiply-adds a millisecond
  let doneMs = 0;
  const flight: Promise<void>[] = [];

  const submit = async (encoder: GPUCommandEncoder, work: number) => {
    const expectedMs = rate === undefined ? 0 : work / rate;
    const alone = rate === undefined || expectedMs > SLEEP_FROM_MS;
    while (flight.length > (alone ? 0 : IN_FLIGHT - 1)) await flight.shift();
    const startMs = performance.now();
    queue.submit([encoder.finish()]);
    const learn = () => {
      const nowMs = performance.now();
      const tookMs = nowMs - Math.max(startMs, doneMs); // it may have waited for the one before
      doneMs = nowMs;
      if (tookMs >= LEAST_MEASURED_MS) rate = work / tookMs;
    };
    if (alone) await sleep(SLEPT * expectedMs);
    const done = device.guard(queue.onSubmittedWorkDone(), 'reading a prompt').then(learn);
    if (alone) await done;
    else flight.push(done);
    done.catch(() => undefined); // whoever waits next is told
  };

  return {
    async run({ steps }, pass, finish) {
      const whole = steps.reduce((sum, step) => sum + workOf(step, pass), 0);
      let piece: EncodedStep[] = [];
      let work = 0;
      let before = 0;
      for (const [i, step] of steps.entries()) {
        const own = workOf(step, pass);
        const budget = budgetMs === undefined ? Infinity : budgetMs * (rate ?? FIRST_RATE);
        if (piece.length > 0 && work + own > budget) {
          const encoder = device.gpu.createCommandEncoder();
          recordSteps(encoder, piece, pass.size);
          await submit(encoder, work);
          before += work;
          pass.onPiece?.(before / whole);
          piece = [];
          work = 0;
        }
        piece.push(step);
        work += own;
        if (i + 1 < steps.length) continue;
        const encoder = device.gpu.createCommandEncoder();
        recordSteps(encoder, piece, pass.size);
        finish?.(encoder);
        await submit(encoder, work);
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
