/**
 * The device's side of one or several sequences over a model: KV cache, activations, compiled passes. It knows columns, slots
 * and positions; what is generated, and why, is the business of its callers.
 */
import { budgetBytes } from '../devices/budget.ts';
import type { StepTime, Timer } from '../devices/timing.ts';
import { readTopology, type Topology } from '../devices/topology.ts';
import { mapLate } from '../devices/wait.ts';
import { assert } from '../quant/errors.ts';
import { BLOCK, blocksOf } from '../quant/layout.ts';
import type { Edits } from './edits.ts';
import { compileSteps, type Program, recordPass, recordTimedPass, runsOfLayers } from './encode.ts';
import { checkSizes, checkSlots, fitContext } from './estimate.ts';
import { kvCapacity } from './kv-cache.ts';
import type { Model } from './model.ts';
import { createPieces, macsOf, pieceBudgetMs } from './pieces.ts';
import {
  type Choice,
  type ChoiceExtras,
  IN_FLIGHT,
  mostEdits,
  type PassChoice,
  planBatch,
  planChoice,
  planCopy,
  planDecode,
  planOutput,
  planPooled,
  planPrefill,
  planShift,
  READBACK_BYTES,
} from './plan.ts';
import { sessionBuffers } from './plan-buffers.ts';
import { notEnoughMemory } from './refusal.ts';
import { type CompleteSampling, chooseChoice } from './sampler.ts';
import { createSequenceCache, FIRST_POSITIONS } from './sequence-cache.ts';
import {
  CANDIDATES_BYTES,
  CAPACITY_AT,
  type Candidates,
  decodeCandidates,
  editsBytes,
  encodeEdits,
  encodeSampler,
  encodeState,
  type Place,
  type Report,
  RING,
  SAMPLER_BYTES,
} from './state.ts';
import type { PassSize, PlanOptions, Step } from './steps.ts';
import { columnsFor, type Tuning, widthOf } from './variants.ts';

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

/**
 * Which pass: over a prompt without logits, with logits and choice, or one that continues itself on the GPU from
 * `position` on. A choice may also be a pass by itself (`choice`), behind one with the choice `none`: what it depends on, such
 * as edits that the last token decides about, then reaches the GPU while that one is computed.
 */
export type Pass =
  | { readonly kind: 'prompt' }
  | ({ readonly kind: 'ending'; readonly choice: Choice } & ChoiceExtras)
  | ({ readonly kind: 'decode'; readonly choice: Choice; readonly position: number } & ChoiceExtras)
  | ({ readonly kind: 'choice'; readonly choice: PassChoice } & ChoiceExtras)
  | { readonly kind: 'output' }
  /** The next tokens of several sequences, to their logits. */
  | { readonly kind: 'batch' }
  /** A prompt whose states are added up. */
  | { readonly kind: 'pooled' };

export interface Runner {
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
   * so many `columns`. `late`: the choice is a pass of its own.
   */
  prepare(choice: Choice, columns: readonly number[], extras?: ChoiceExtras, late?: boolean): Promise<void>;
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
  /** The tokens that a pass or a burst leaves in a readback buffer, due in about so many milliseconds. */
  chosen(ticket: number, dueMs: number, tokens?: number): Promise<readonly number[]>;
  /** The same with all that was wanted. */
  outcome(ticket: number, dueMs: number): Promise<Outcome>;
  /** Sends what has been chosen in all slots to gathering buffer `ticket`, as it is after what has been submitted. */
  gather(ticket: number, extras: ChoiceExtras): void;
  /** What `gather` sent, due in about so many milliseconds; the ticket, below IN_FLIGHT, is free again then. */
  gathered(ticket: number, dueMs: number): Promise<Gathered>;
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

export interface Wanted {
  /** Below IN_FLIGHT; free again once `chosen` has resolved. */
  readonly ticket: number;
  readonly slot: number;
  readonly position: number;
  /** With what the choice `list` names. Default false. */
  readonly candidates?: boolean | undefined;
  /** With what a `reported` choice reports. Default false. */
  readonly report?: boolean | undefined;
}

/** What a pass leaves. */
export interface Outcome {
  /** The chosen token; of no meaning where the CPU chooses. */
  readonly id: number;
  readonly candidates: Candidates | undefined;
  readonly report: Report | undefined;
}

/** What passes over several sequences leave; of each slot the last RING tokens are there. */
export type Gathered = (slot: number, position: number) => Outcome;

function extrasKey({ edited, reported, listed }: ChoiceExtras): string {
  return `${edited ? 'edited ' : ''}${reported ? 'reported ' : ''}${listed ? 'listed' : ''}`;
}

/** Where the parts of an outcome lie in a readback buffer. */
const CANDIDATES_AT = 16;
const REPORT_AT = CANDIDATES_AT + CANDIDATES_BYTES;

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
  const readbacks: GPUBuffer[] = [];
  const gatherings: { readonly buffer: GPUBuffer; extras: ChoiceExtras }[] = [];
  // in a gathering buffer, behind the rings of all slots: their candidates, then their reports
  const listsAt = slots * RING * 4;
  const gatheredBytes = listsAt + 2 * slots * CANDIDATES_BYTES;
  const close = () => {
    const gathered = gatherings.flatMap((each) => (each ? [each.buffer] : []));
    for (const buffer of [...buffers.values(), ...readbacks, ...gathered]) device.free(buffer);
    return device.settle();
  };
  try {
    for (const { name, bytes, purpose } of sessionBuffers({ ...plan, capacity: cache.capacity }))
      buffers.set(name, device.buffer(name, bytes, purpose));
    for (let i = 0; i < IN_FLIGHT; i++) readbacks.push(device.buffer(`chosen token ${i}`, READBACK_BYTES, 'readback'));
    await cache.writeTurns();
  } catch (error) {
    await close().catch(() => undefined); // the first failure is the one to tell
    throw error;
  }

  function own(name: string): GPUBuffer {
    const buffer = buffers.get(name);
    assert(buffer, `the session has no buffer ${name}`);
    return buffer;
  }

  const tickets: Wanted[] = []; // by ticket, what its readback buffer was last asked for
  const programs = new Map<string, Promise<Program>>();
  const program = (key: string, steps: () => readonly Step[]) => {
    let compiled = programs.get(key);
    if (!compiled) {
      compiled = compileSteps(device, steps(), (name) => buffers.get(name) ?? model.buffer(name));
      programs.set(key, compiled);
    }
    return compiled;
  };
  const programFor = (pass: Pass, columns: number): Promise<Program> => {
    const width = widthOf(device.traits, columns, plan.preferences);
    if (pass.kind === 'prompt') return program(`prompt ${width}`, () => planPrefill(plan, width, undefined));
    if (pass.kind === 'output') return program('output', () => planOutput(plan));
    if (pass.kind === 'pooled') return program(`pooled ${width}`, () => planPooled(plan, width));
    if (pass.kind === 'batch') {
      const some = options.fastBatch ? width : columnsFor(device.traits, columns);
      return program(`batch ${some}`, () => planBatch(plan, some));
    }
    const { choice } = pass;
    const what = `${pass.kind} ${choice} ${extrasKey(pass)}`;
    if (pass.kind === 'choice') return program(what, () => planChoice(plan, choice, pass));
    if (pass.kind === 'ending') return program(`${what} ${width}`, () => planPrefill(plan, width, pass.choice, pass));
    return program(what, () => planDecode(plan, pass.choice, pass));
  };

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
  return {
    model,
    context,
    chunk,
    slots,
    reserve: grow,
    async prepare(choice, columns, extras = {}, late = false) {
      const end = late ? { choice: 'none' as const } : { choice, ...extras };
      const passes: readonly Pass[] = [{ kind: 'decode', ...end, position: 0 }];
      const last: readonly Pass[] = late ? [{ kind: 'choice', choice, ...extras }] : [];
      await Promise.all([
        ...columns.slice(0, -1).map((count) => programFor({ kind: 'prompt' }, count)),
        programFor({ kind: 'ending', ...end }, columns.at(-1) ?? 1),
        ...[...passes, ...last].map((pass) => programFor(pass, 1)),
      ]);
    },
    async prepareBatch() {
      const passes: readonly Pass[] = [
        { kind: 'prompt' },
        { kind: 'ending', choice: 'none' },
        { kind: 'batch' },
        { kind: 'choice', choice: 'each' },
      ];
      const prompts = passes.slice(0, 2).map((pass) => programFor(pass, chunk));
      await Promise.all([
        ...passes.map((pass) => programFor(pass, 1)),
        ...prompts,
        programFor({ kind: 'batch' }, slots),
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
      const compiled = await programFor(pass, size.columns);
      const isPrompt = pass.kind === 'prompt' || pass.kind === 'ending' || pass.kind === 'pooled';
      const finish: Finish = (encoder) => {
        if (!wanted) return;
        const from = (wanted.slot * RING + (wanted.position % RING)) * 4;
        const into = readback(wanted.ticket);
        encoder.copyBufferToBuffer(own('picked'), from, into, 0, 4);
        const copy = (name: string, at: number) =>
          encoder.copyBufferToBuffer(own(name), wanted.slot * CANDIDATES_BYTES, into, at, CANDIDATES_BYTES);
        if (wanted.candidates) copy('candidates', CANDIDATES_AT);
        if (wanted.report) copy('reports', REPORT_AT);
        tickets[wanted.ticket] = wanted;
      };
      const work = { size: { ...size, keys }, keys: keys - size.columns / 2 };
      const run = async (program: Program, finish?: Finish, onShare?: (share: number) => void) => {
        if (isPrompt && size.columns > 1) return pieces.run(program, { ...work, onPiece: onShare }, finish);
        const encoder = device.gpu.createCommandEncoder();
        recordPass(encoder, program, work.size);
        finish?.(encoder);
        queue.submit([encoder.finish()]);
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
    async submitBurst(pass, passes, { ticket, slot, position }) {
      assert(!model.stream, 'streamed layers are brought for one pass at a time');
      await grow(lastPosition + passes);
      const compiled = await programFor(pass, 1);
      const encoder = device.gpu.createCommandEncoder();
      for (let i = 0; i < passes; i++)
        recordPass(encoder, compiled, { columns: 1, outputs: 1, keys: lastPosition + i + 1 });
      lastPosition += passes;
      // the tokens lie in a ring: up to its end, then from its start
      const from = position % RING;
      const before = Math.min(passes, RING - from);
      const copy = (at: number, into: number, tokens: number) =>
        encoder.copyBufferToBuffer(own('picked'), (slot * RING + at) * 4, readback(ticket), into * 4, tokens * 4);
      copy(from, 0, before);
      if (before < passes) copy(0, before, passes - before);
      queue.submit([encoder.finish()]);
    },
    async chosen(ticket, dueMs, tokens = 1) {
      const bytes = await mapLate(device, readback(ticket), tokens * 4, dueMs);
      return Array.from(new Uint32Array(bytes.buffer, bytes.byteOffset, tokens));
    },
    async outcome(ticket, dueMs) {
      const bytes = await mapLate(device, readback(ticket), READBACK_BYTES, dueMs);
      const part = (at: number) => decodeCandidates(bytes.subarray(at, at + CANDIDATES_BYTES));
      return {
        id: new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true),
        candidates: tickets[ticket]?.candidates ? part(CANDIDATES_AT) : undefined,
        report: tickets[ticket]?.report ? part(REPORT_AT) : undefined,
      };
    },
    gather(ticket, { listed, reported }) {
      const encoder = device.gpu.createCommandEncoder();
      const into = gathering(ticket);
      const copy = (name: string, at: number, bytes: number) =>
        encoder.copyBufferToBuffer(own(name), 0, into, at, bytes);
      copy('picked', 0, slots * RING * 4);
      if (listed) copy('candidates', listsAt, slots * CANDIDATES_BYTES);
      if (reported) copy('reports', listsAt + slots * CANDIDATES_BYTES, slots * CANDIDATES_BYTES);
      queue.submit([encoder.finish()]);
      gatherings[ticket]!.extras = { listed, reported };
    },
    async gathered(ticket, dueMs) {
      const { listed, reported } = gatherings[ticket]?.extras ?? {};
      const bytes = await mapLate(
        device,
        gathering(ticket),
        listed || reported ? gatheredBytes : slots * RING * 4,
        dueMs,
      );
      const view = new DataView(bytes.buffer, bytes.byteOffset);
      const part = (at: number) => decodeCandidates(bytes.subarray(at, at + CANDIDATES_BYTES));
      return (slot, position) => ({
        id: view.getUint32((slot * RING + (position % RING)) * 4, true),
        candidates: listed ? part(listsAt + slot * CANDIDATES_BYTES) : undefined,
        report: reported ? part(listsAt + (slots + slot) * CANDIDATES_BYTES) : undefined,
      });
    },
    async copyPrefix(from, to, positions) {
      const compiled = await program('copy', () => planCopy(plan));
      const places = [
        { position: positions, slot: to },
        { position: 0, slot: from },
      ];
      queue.writeBuffer(own('state'), 0, encodeState(places, [], cache.capacity, false));
      const encoder = device.gpu.createCommandEncoder();
      recordPass(encoder, compiled, { columns: positions, outputs: 0 });
      queue.submit([encoder.finish()]);
    },
    async shift(slot, first, count, length) {
      const compiled = await program('shift', () => planShift(plan));
      const places = [first, count, length].map((position) => ({ position, slot }));
      queue.writeBuffer(own('state'), 0, encodeState(places, [], cache.capacity, false));
      const encoder = device.gpu.createCommandEncoder();
      recordPass(encoder, compiled, { columns: count, outputs: 0 });
      queue.submit([encoder.finish()]);
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
      const stride = Math.ceil(config.vocab / 32) * 32 * 4;
      const bytes = await device.read(own('logits'), output * stride, config.vocab * 4);
      return new Float32Array(bytes.buffer, bytes.byteOffset, config.vocab);
    },
    async residual(column) {
      const bytes = await device.read(
        own('residual'),
        column * Math.ceil(config.hidden / 32) * 32 * 4,
        config.hidden * 4,
      );
      return new Float32Array(bytes.buffer, bytes.byteOffset, config.hidden);
    },
    async timedPass(position, timer, count = 1) {
      await grow(position + count);
      const pass: Pass = count === 1 ? { kind: 'decode', choice: 'greedy', position } : { kind: 'prompt' };
      const compiled = await programFor(pass, count);
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
      const compiled = await programFor({ kind: 'decode', choice: 'greedy', position }, 1);
      place([{ token: 0, position, slot: 0 }], [0], false);
      const times: number[] = [];
      for (let i = 0; i < submits; i++) {
        const startMs = performance.now();
        const encoder = device.gpu.createCommandEncoder();
        for (let pass = 0; pass < passes; pass++)
          recordPass(encoder, compiled, { columns: 1, outputs: 1, keys: position + 1 });
        queue.submit([encoder.finish()]);
        times.push(performance.now() - startMs);
        if (i % IN_FLIGHT === IN_FLIGHT - 1) await device.settle(); // as far ahead of the GPU as in use
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

  function gathering(ticket: number): GPUBuffer {
    assert(ticket < IN_FLIGHT, `gathering buffer ${ticket} is one of ${IN_FLIGHT}`);
    gatherings[ticket] ??= { buffer: device.buffer(`chosen tokens ${ticket}`, gatheredBytes, 'readback'), extras: {} };
    return gatherings[ticket].buffer;
  }

  function readback(ticket: number): GPUBuffer {
    const buffer = readbacks[ticket];
    assert(buffer, `readback ${ticket} is one of ${IN_FLIGHT}`);
    return buffer;
  }
}
