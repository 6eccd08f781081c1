/**
 * The device's side of one or several sequences over a model: KV cache, activations, compiled passes. It knows columns, slots
 * and positions; what is generated, and why, is the business of its callers.
 */
import { budgetBytes } from '../devices/budget.ts';
import type { StepTime, Timer } from '../devices/timing.ts';
import { readTopology, type Topology } from '../devices/topology.ts';
import { settleFreed } from '../devices/wait.ts';
import { assert } from '../quant/errors.ts';
import { BLOCK, blocksOf } from '../quant/layout.ts';
import type { Edits } from './edits.ts';
import { type Program, recordPass, recordTimedPass, runsOfLayers } from './encode.ts';
import { checkSizes, checkSlots, fitContext } from './estimate.ts';
import { kvCapacity } from './kv-cache.ts';
import type { Model } from './model.ts';
import { createPieces, macsOf, pieceBudgetMs } from './pieces.ts';
import { type Choice, type ChoiceExtras, mostEdits, TICKETS } from './plan.ts';
import { sessionBuffers } from './plan-buffers.ts';
import { createPrograms, type Pass } from './programs.ts';
import { createReadbacks, type Readbacks, type Wanted } from './readbacks.ts';
import { notEnoughMemory } from './refusal.ts';
import { type CompleteSampling, chooseChoice } from './sampler.ts';
import { createSequenceCache, FIRST_POSITIONS } from './sequence-cache.ts';
import {
  CAPACITY_AT,
  editsBytes,
  encodeEdits,
  encodeSampler,
  encodeState,
  type Place,
  SAMPLER_BYTES,
} from './state.ts';
import type { PassSize, PlanOptions } from './steps.ts';
import type { Tuning } from './variants.ts';

export interface RunnerOptions {
  /** Most positions of each sequence. Default: what the load was planned with. */
  readonly context?: number | undefined;
  /** Positions to have memory for from the start; more is taken when it is needed. Default 512. */
  readonly reserve?: number | undefined;
  /** Most prompt tokens per pass. Default 512, on integrated GPUs 256, on CPU drivers 32. */
  readonly chunk?: number | undefined;
  /** Sequences. Default 1, whatever the load was planned with. */
  readonly slots?: number | undefined;
  /**
   * Passes over a dozen sequences and more take the kernels of prompts: much faster, but a sequence's numbers then differ in their
   * last digits from those that it gets alone. Default false.
   */
  readonly fastBatch?: boolean | undefined;
  /** Measured kernel variants, from tune(). Default none. */
  readonly tuning?: Tuning | undefined;
}

/** One token of a pass. */
export interface Column extends Place {
  /** An id, or FROM_RING for the one that the GPU chose for this position. */
  readonly token: number;
}

export interface Runner extends Pick<Readbacks, 'chosen' | 'outcome' | 'gather' | 'gathered'> {
  readonly model: Model;
  readonly context: number;
  readonly chunk: number;
  readonly slots: number;
  /**
   * Makes room for so many positions in every slot. Passes do so by themselves, but one step at a time. When memory runs out
   * it throws `not-enough-memory`, and all slots are empty.
   */
  reserve(positions: number): Promise<void>;
  /**
   * Compiles what generating with a choice needs, so that no later pass waits for a compiler: behind passes over a prompt of
   * so many `columns`, after which a sequence has so many `keys` (default 1). `late`: the choice is a pass of its own.
   */
  prepare(
    choice: Choice,
    columns: readonly number[],
    extras?: ChoiceExtras,
    late?: boolean,
    keys?: number,
  ): Promise<void>;
  /** Compiles what passes over several sequences need. */
  prepareBatch(): Promise<void>;
  /** How the tokens of a slot are chosen from now on. */
  setSampler(slot: number, sampling: CompleteSampling): void;
  /** What changes a slot's logits in passes that are `edited`, from now on. */
  setEdits(slot: number, edits: Edits): void;
  /**
   * Says what the next pass is over: its columns, and the columns whose logits are wanted. With `advance` choosing a token
   * prepares the following pass, so that `decode` passes go on by themselves; then outputs are one, or all columns.
   */
  place(columns: readonly Column[], outputs: readonly number[], advance: boolean): void;
  /**
   * Submits a pass; those over prompts in pieces, between which `onPiece` is told the share that is on its way and may throw.
   * With `wanted` the token chosen for that position of the slot travels to readback buffer `ticket`.
   */
  submit(pass: Pass, size: PassSize, wanted?: Wanted, onPiece?: (share: number) => void): Promise<void>;
  /**
   * Submits several decode passes at once, each feeding the next. The tokens that they choose, for `first.position` of the
   * slot and those behind it, travel to readback buffer `first.ticket` together. At most MOST_AT_ONCE.
   */
  submitBurst(pass: Pass, passes: number, first: Wanted): Promise<void>;
  /** Gives a slot what another one holds of its sequence, up to a position. */
  copyPrefix(from: number, to: number, positions: number): Promise<void>;
  /**
   * Drops `count` of a slot's `length` positions, from `first` on: what follows moves up, its keys turned to where they now
   * are. No pass may be on its way that continues by itself.
   */
  shift(slot: number, first: number, count: number, length: number): Promise<void>;
  /** A slot's keys and values up to a position, in pieces: [layer][plane][k, v][kvHead][position][rowBytes]. */
  readRows(slot: number, positions: number): AsyncGenerator<Uint8Array, void, void>;
  /** Puts them back; `next` gives as many bytes as it is asked for, in the same order. */
  writeRows(slot: number, positions: number, next: (bytes: number) => Promise<Uint8Array>): Promise<void>;
  /** The sum of a slot's normalised states since its position 0, [hidden]. */
  pooled(slot: number): Promise<Float32Array>;
  /** Logits of an output of the last pass, [vocab], as edits have left them. */
  logits(output: number): Promise<Float32Array>;
  /** The residual stream behind all layers, of a column of the last pass, [hidden]. */
  residual(column: number): Promise<Float32Array>;
  /** Runs a decode pass, or one over several columns of a prompt, with every step timed. */
  timedPass(position: number, timer: Timer, columns?: number): Promise<TimedStep[]>;
  /** Milliseconds that the CPU takes to record and submit `passes` decode passes at once, of each of so many submits. */
  timedSubmissions(position: number, submits: number, passes: number): Promise<number[]>;
  /** Contents of one of the plan's buffers as f32, for tests and for comparing with the CPU reference. */
  inspect(buffer: string): Promise<Float32Array>;
  /** Gives the memory back. */
  close(): Promise<void>;
}

export interface TimedStep extends StepTime {
  /** Multiply-adds of all columns. */
  readonly macs: number;
}

/**
 * Refuses what does not fit beside what the machine holds by now. The margin that the load kept may have gone to others
 * meanwhile, so only what is beyond its plan must leave one too.
 */
function checkMemory(model: Model, plan: PlanOptions, topology: Topology): void {
  const { marginBytes, memoryBytes, overcommit = false } = model.memoryOptions;
  const { traits } = model.device;
  const asPlanned = plan.slots <= model.plan.slots && plan.context <= model.plan.context;
  const heldBytes = Object.values(model.memory()).reduce((sum, bytes) => sum + bytes, 0);
  const limitBytes = memoryBytes === undefined ? undefined : Math.max(0, memoryBytes - heldBytes);
  const budget = budgetBytes(topology, traits, asPlanned ? 0 : marginBytes, limitBytes);
  const fit = fitContext(plan, budget, plan.context, false);
  if (fit.fits === false && (!overcommit || plan.context > fit.bindableContext))
    throw notEnoughMemory(model.path, fit, traits, topology, model.weights);
}

/** Records what follows a pass. */
type Finish = (encoder: GPUCommandEncoder) => void;

/** Allocates a KV cache and all else that passes need. Throws `not-enough-memory`, `bad-argument`. */
export async function createRunner(model: Model, options: RunnerOptions = {}): Promise<Runner> {
  const { device, config } = model;
  model.checkOpen();
  const context = options.context ?? model.plan.context;
  const chunk = Math.min(options.chunk ?? model.plan.chunk, context);
  const slots = options.slots ?? 1;
  checkSizes(context, chunk, config, model.path);
  checkSlots(slots);

  const plan: PlanOptions = {
    config,
    weights: model.weights,
    traits: device.traits,
    preferences: { ...model.preferences, tuning: options.tuning },
    kv: model.kv,
    context,
    chunk,
    slots,
  };
  const topology = await readTopology(model.memoryOptions.root);
  checkMemory(model, plan, topology);
  const pieces = createPieces(device, pieceBudgetMs(device.traits, topology));
  const buffers = new Map<string, GPUBuffer>();
  const firstCapacity = kvCapacity(Math.min(context, options.reserve ?? FIRST_POSITIONS));
  const cache = createSequenceCache({ device, config, kv: model.kv, slots, context, buffers }, firstCapacity);
  const own = (name: string): GPUBuffer => {
    const buffer = buffers.get(name);
    assert(buffer, `the session has no buffer ${name}`);
    return buffer;
  };
  const readbacks = createReadbacks(device, slots, own);
  const close = () => {
    for (const buffer of buffers.values()) device.free(buffer);
    readbacks.close();
    return settleFreed(device);
  };
  try {
    for (const { name, bytes, purpose } of sessionBuffers({ ...plan, capacity: cache.capacity }))
      buffers.set(name, device.buffer(name, bytes, purpose));
    await cache.writeTurns();
  } catch (error) {
    await close().catch(() => undefined); // the first failure is the one to tell
    throw error;
  }

  const find = (name: string) => buffers.get(name) ?? model.buffer(name);
  const programs = createPrograms(device, plan, find, options.fastBatch);
  const { queue } = device.gpu;
  let lastPosition = 0; // of the columns as the next pass will find them
  let advancing = false;
  const grow = async (positions: number) => {
    if (positions <= cache.capacity) return;
    programs.clear(); // they are bound to the old buffers
    await cache.grow(positions);
    // passes may be going on by themselves
    queue.writeBuffer(own('state'), CAPACITY_AT, Uint32Array.of(cache.capacity));
  };
  const place: Runner['place'] = (columns, outputs, advance) => {
    queue.writeBuffer(own('state'), 0, encodeState(columns, outputs, cache.capacity, advance));
    queue.writeBuffer(
      own('tokens'),
      0,
      Uint32Array.from(columns, ({ token }) => token),
    );
    lastPosition = Math.max(0, ...columns.map(({ position }) => position));
    advancing = advance;
  };
  const submitWhole = (program: Program, size: PassSize, finish?: Finish) => {
    const encoder = device.gpu.createCommandEncoder();
    recordPass(encoder, program, size);
    finish?.(encoder);
    queue.submit([encoder.finish()]);
  };
  return {
    model,
    context,
    chunk,
    slots,
    reserve: grow,
    async prepare(choice, columns, extras = {}, late = false, keys = 1) {
      const end = late ? { choice: 'none' as const } : { choice, ...extras };
      const passes: readonly Pass[] = [{ kind: 'decode', ...end, position: 0 }];
      const last: readonly Pass[] = late ? [{ kind: 'choice', choice, ...extras }] : [];
      await Promise.all([
        ...columns.slice(0, -1).map((count) => programs.of({ kind: 'prompt' }, count)),
        programs.of({ kind: 'ending', ...end }, columns.at(-1) ?? 1),
        ...[...passes, ...last].map((pass) => programs.of(pass, 1, keys)),
      ]);
    },
    async prepareBatch() {
      const passes: readonly Pass[] = [
        { kind: 'prompt' },
        { kind: 'ending', choice: 'none' },
        { kind: 'batch' },
        { kind: 'choice', choice: 'each' },
      ];
      const prompts = passes.slice(0, 2).map((pass) => programs.of(pass, chunk));
      await Promise.all([
        ...passes.map((pass) => programs.of(pass, 1)),
        ...prompts,
        programs.of({ kind: 'batch' }, slots),
      ]);
    },
    setSampler(slot, sampling) {
      const state = { ...sampling, choice: chooseChoice(sampling) };
      queue.writeBuffer(own('samplers'), slot * SAMPLER_BYTES, encodeSampler(state));
    },
    setEdits(slot, edits) {
      queue.writeBuffer(own('edits'), slot * editsBytes(mostEdits(config, context)), encodeEdits(edits));
      if (edits.mask) queue.writeBuffer(own('masks'), slot * edits.mask.byteLength, edits.mask);
    },
    place,
    async submit(pass, size, wanted, onPiece) {
      await grow(lastPosition + 1);
      const keys = lastPosition + 1;
      if (advancing && 'choice' in pass && pass.choice !== 'none') lastPosition++;
      const compiled = await programs.of(pass, size.columns, keys);
      const isPrompt = pass.kind === 'prompt' || pass.kind === 'ending' || pass.kind === 'pooled';
      const finish: Finish = (encoder) => {
        if (wanted) readbacks.record(encoder, wanted);
      };
      const work = { size: { ...size, keys }, keys: keys - size.columns / 2 };
      const run = async (program: Program, finish?: Finish, onShare?: (share: number) => void) => {
        if (isPrompt && size.columns > 1) return pieces.run(program, { ...work, onPiece: onShare }, finish);
        submitWhole(program, work.size, finish);
      };
      const { stream } = model;
      if (!stream) return run(compiled, finish, onPiece);
      await stream.turn(async () => {
        const runs = runsOfLayers(compiled, stream.first);
        for (const [i, { layer, program }] of runs.entries()) {
          if (layer !== undefined) await stream.bring(layer);
          const onShare = (share: number) => onPiece?.((i + share) / runs.length);
          await run(program, i + 1 === runs.length ? finish : undefined, onShare);
          if (layer !== undefined) stream.done(layer);
        }
      });
    },
    async submitBurst(pass, passes, first) {
      assert(!model.stream, 'streamed layers are brought for one pass at a time');
      await grow(lastPosition + passes);
      // each pass has the program of its own keys, so that what it computes does not depend on how bursts happen to fall
      const keys = Array.from({ length: passes }, (_, i) => lastPosition + i + 1);
      const compiled = await Promise.all(keys.map((count) => programs.of(pass, 1, count)));
      const encoder = device.gpu.createCommandEncoder();
      for (const [i, program] of compiled.entries())
        recordPass(encoder, program, { columns: 1, outputs: 1, keys: keys[i] });
      lastPosition += passes;
      readbacks.recordBurst(encoder, first, passes);
      queue.submit([encoder.finish()]);
    },
    chosen: readbacks.chosen,
    outcome: readbacks.outcome,
    gather: readbacks.gather,
    gathered: readbacks.gathered,
    async copyPrefix(from, to, positions) {
      const compiled = await programs.copy();
      const places = [
        { position: positions, slot: to },
        { position: 0, slot: from },
      ];
      queue.writeBuffer(own('state'), 0, encodeState(places, [], cache.capacity, false));
      submitWhole(compiled, { columns: positions, outputs: 0 });
    },
    async shift(slot, first, count, length) {
      const compiled = await programs.shift();
      const places = [first, count, length].map((position) => ({ position, slot }));
      queue.writeBuffer(own('state'), 0, encodeState(places, [], cache.capacity, false));
      submitWhole(compiled, { columns: count, outputs: 0 });
    },
    readRows: cache.readRows,
    async writeRows(slot, positions, next) {
      await grow(positions);
      await cache.writeRows(slot, positions, next);
    },
    async pooled(slot) {
      const stride = blocksOf(config.hidden) * BLOCK * 4;
      const bytes = await device.read(own('pooled'), slot * stride, config.hidden * 4);
      return new Float32Array(bytes.buffer, bytes.byteOffset, config.hidden);
    },
    async logits(output) {
      const stride = blocksOf(config.vocab) * BLOCK * 4;
      const bytes = await device.read(own('logits'), output * stride, config.vocab * 4);
      return new Float32Array(bytes.buffer, bytes.byteOffset, config.vocab);
    },
    async residual(column) {
      const stride = blocksOf(config.hidden) * BLOCK * 4;
      const bytes = await device.read(own('residual'), column * stride, config.hidden * 4);
      return new Float32Array(bytes.buffer, bytes.byteOffset, config.hidden);
    },
    async timedPass(position, timer, count = 1) {
      await grow(position + count);
      const pass: Pass = count === 1 ? { kind: 'decode', choice: 'greedy', position } : { kind: 'prompt' };
      const compiled = await programs.of(pass, count, position + count);
      const columns = Array.from({ length: count }, (_, i) => ({ token: 0, position: position + i, slot: 0 }));
      place(columns, [count - 1], false);
      const encoder = device.gpu.createCommandEncoder();
      const size = { columns: count, outputs: 1, keys: position + count };
      recordTimedPass(encoder, compiled, size, timer);
      queue.submit([encoder.finish()]);
      const times = await timer.read();
      const work = { size, keys: position + (count + 1) / 2 };
      return compiled.steps.map((step, i) => ({ ...(times[i] as StepTime), macs: macsOf(step, work) }));
    },
    async timedSubmissions(position, submits, passes) {
      await grow(position + 1);
      const compiled = await programs.of({ kind: 'decode', choice: 'greedy', position }, 1, position + 1);
      place([{ token: 0, position, slot: 0 }], [0], false);
      const times: number[] = [];
      for (let i = 0; i < submits; i++) {
        const startMs = performance.now();
        const encoder = device.gpu.createCommandEncoder();
        for (let pass = 0; pass < passes; pass++)
          recordPass(encoder, compiled, { columns: 1, outputs: 1, keys: position + 1 });
        queue.submit([encoder.finish()]);
        times.push(performance.now() - startMs);
        if (i % TICKETS === TICKETS - 1) await device.settle(); // as far ahead of the GPU as in use
      }
      return times;
    },
    async inspect(name) {
      const buffer = own(name);
      const bytes = await device.read(buffer, 0, buffer.size);
      return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    },
    close,
  };
}
