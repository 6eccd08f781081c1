/** One conversation with a model: its KV cache, its position, and the loop that makes tokens. */
import { budgetBytes } from '../devices/budget.ts';
import type { StepTime, Timer } from '../devices/timing.ts';
import { readTopology } from '../devices/topology.ts';
import { mapLate } from '../devices/wait.ts';
import { assert, FirstlightError } from '../quant/errors.ts';
import { compileSteps, type Program, recordPass, recordTimedPass } from './encode.ts';
import { checkSizes, fitContext } from './estimate.ts';
import type { Model } from './model.ts';
import { createPace } from './pace.ts';
import {
  type Choice,
  chooseSplits,
  IN_FLIGHT,
  type PlanOptions,
  planDecode,
  planOutput,
  planPrefill,
  READBACK_BYTES,
  RING,
  STATE_BYTES,
  type Step,
  sessionBuffers,
} from './plan.ts';
import { notEnoughMemory } from './refusal.ts';
import { ropeTable } from './rope.ts';
import { type CompleteSampling, chooseChoice, completeSampling, type Sampling, sampleOnCpu } from './sampler.ts';
import { SPLIT_FROM_KEYS, type Tuning } from './variants.ts';

export interface SessionOptions {
  /** Positions of the KV cache. Default: what the load was planned with. */
  readonly context?: number | undefined;
  /** Prompt tokens per pass. Default 32. */
  readonly chunk?: number | undefined;
  /** Measured kernel variants, from tune(). Default none. */
  readonly tuning?: Tuning | undefined;
}

export interface GenerateOptions extends Sampling {
  /** Most tokens to make. Default: until the context is full. */
  readonly maxTokens?: number | undefined;
  /** Ids after which to stop; the id itself is still yielded. Default none. */
  readonly stopIds?: ReadonlySet<number> | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called after each pass over the prompt. */
  readonly onPrefill?: ((done: number, total: number) => void) | undefined;
}

/** Times and counts of the last generate(). */
export interface Stats {
  readonly promptTokens: number;
  /** Prompt tokens that were still in the cache from before. */
  readonly reusedTokens: number;
  readonly prefillMs: number;
  readonly tokens: number;
  /** From the first token to the last. */
  readonly decodeMs: number;
}

export interface Session {
  readonly model: Model;
  /** Positions that the KV cache holds. */
  readonly context: number;
  /** Ids whose keys and values are in the cache. */
  readonly history: readonly number[];
  readonly stats: Stats;
  /**
   * Continues `ids`, the whole text so far: what the cache already holds of it is not computed again. Yields ids as they
   * are made; between yields the GPU works ahead. Throws `bad-argument` for ids outside the vocabulary, `context-full` when
   * the prompt leaves no room, `device-lost`, `device-timeout`, or the signal's reason.
   */
  generate(ids: readonly number[], options?: GenerateOptions): AsyncGenerator<number, void, void>;
  /** Logits after each of the ids, [ids.length][vocab], computed from an empty cache, `chunk` ids in a pass. */
  logits(ids: readonly number[], options?: { readonly signal?: AbortSignal | undefined }): AsyncGenerator<Float32Array>;
  /** Forgets everything after `position`. */
  rewind(position: number): void;
  /** Runs one decode pass behind the history with every step timed; the history stays as it is. */
  timedPass(timer: Timer): Promise<StepTime[]>;
  /** Contents of one of the plan's buffers as f32, for tests and for comparing with the CPU reference. */
  inspect(buffer: string): Promise<Float32Array>;
  /** Gives the memory back. A generation that is under way comes to its next id; asked for more, it throws `bad-argument`. */
  close(): Promise<void>;
}

/**
 * Refuses a session that does not fit beside what the machine holds by now. The margin that the load kept may have gone to
 * others meanwhile, so only a session beyond its plan must leave one too.
 */
async function checkMemory(model: Model, plan: PlanOptions): Promise<void> {
  const { marginBytes, overcommit = false, root } = model.memoryOptions;
  const { traits } = model.device;
  const topology = await readTopology(root);
  const budget = budgetBytes(topology, traits, plan.context <= model.plan.context ? 0 : marginBytes);
  const fit = fitContext(plan, budget, plan.context, false);
  if (fit.fits === false && (!overcommit || plan.context > fit.bindableContext))
    throw notEnoughMemory(model.path, fit, traits, topology, model.weights);
}

/** Allocates a KV cache and compiles the kernels. Throws `not-enough-memory`, `bad-argument`. */
export async function createSession(model: Model, options: SessionOptions = {}): Promise<Session> {
  const { device, config } = model;
  const context = options.context ?? model.plan.context;
  const chunk = Math.min(options.chunk ?? model.plan.chunk, context);
  checkSizes(context, chunk, config, model.path);

  const plan: PlanOptions = {
    config,
    weights: model.weights,
    traits: device.traits,
    preferences: { ...model.preferences, tuning: options.tuning },
    kv: model.kv,
    context,
    chunk,
  };
  await checkMemory(model, plan);
  const buffers = new Map<string, GPUBuffer>();
  const readbacks: GPUBuffer[] = [];
  const turns = new Set<Promise<unknown>>(); // of generators, on their way to the next yield
  let closed = false;
  let release: Promise<void> | undefined;
  const close = () => {
    closed = true;
    release ??= Promise.allSettled(turns).then(() => {
      for (const buffer of [...buffers.values(), ...readbacks]) device.free(buffer);
      return device.settle();
    });
    return release;
  };
  try {
    for (const { name, bytes, purpose } of sessionBuffers(plan)) buffers.set(name, device.buffer(name, bytes, purpose));
    for (let i = 0; i < IN_FLIGHT; i++) readbacks.push(device.buffer(`chosen token ${i}`, READBACK_BYTES, 'readback'));
    await device.upload(own('rope'), 0, ropeTable(config, context));
  } catch (error) {
    await close().catch(() => undefined); // the first failure is the one to tell
    throw error;
  }

  function own(name: string): GPUBuffer {
    const buffer = buffers.get(name);
    assert(buffer, `the session has no buffer ${name}`);
    return buffer;
  }

  const programs = new Map<string, Promise<Program>>();
  const program = (key: string, steps: () => readonly Step[]) => {
    let compiled = programs.get(key);
    if (!compiled) {
      compiled = compileSteps(device, steps(), (name) => buffers.get(name) ?? model.buffer(name));
      programs.set(key, compiled);
    }
    return compiled;
  };
  const splits = chooseSplits(plan);
  const decodeProgram = (choice: Choice, parts = 1) =>
    program(`decode ${choice} ${parts}`, () => planDecode(plan, choice, parts));
  const prefillProgram = (choice: Choice | undefined) => program(`prefill ${choice}`, () => planPrefill(plan, choice));

  let history: number[] = [];
  let busy = false;
  let stats: Stats = { promptTokens: 0, reusedTokens: 0, prefillMs: 0, tokens: 0, decodeMs: 0 };

  const queue = device.gpu.queue;
  const writeState = (position: number, columns: number, last: number, sampling?: CompleteSampling) => {
    const words = new Uint32Array(STATE_BYTES / 4);
    const floats = new Float32Array(words.buffer);
    words.set([position, columns, last, context]);
    if (sampling) {
      words.set([sampling.seed, sampling.topK], 4);
      floats.set([sampling.temperature, sampling.topP, sampling.minP], 6);
    }
    queue.writeBuffer(own('state'), 0, words);
  };
  const submit = (compiled: Program, columns: number, readback?: { buffer: GPUBuffer; position: number }) => {
    const encoder = device.gpu.createCommandEncoder();
    recordPass(encoder, compiled, columns);
    if (readback) encoder.copyBufferToBuffer(own('picked'), (readback.position % RING) * 4, readback.buffer, 0, 4);
    queue.submit([encoder.finish()]);
  };

  const checkOpen = () => {
    if (closed) throw new FirstlightError('bad-argument', 'the session is closed: create another one');
  };
  const checkIdle = () => {
    checkOpen();
    if (busy)
      throw new FirstlightError(
        'bad-argument',
        'the session is already generating: wait, abort it, or use another session',
      );
  };
  const checkIds = (ids: readonly number[]) => {
    if (ids.length === 0)
      throw new FirstlightError(
        'bad-argument',
        'the prompt is empty: give at least one token, such as the begin token',
      );
    const wrong = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= config.vocab);
    if (wrong !== undefined)
      throw new FirstlightError(
        'bad-argument',
        `token id ${wrong} is outside the vocabulary of ${model.path}: ids go from 0 to ${config.vocab - 1}`,
      );
  };

  /** Runs the prompt from `start`; the last pass makes logits and, if asked, chooses. */
  async function prefill(
    ids: readonly number[],
    start: number,
    choice: Choice,
    options: GenerateOptions,
    sampling: CompleteSampling,
  ) {
    const body = await prefillProgram(undefined);
    const ending = await prefillProgram(choice);
    for (let position = start; position < ids.length; ) {
      checkOpen();
      options.signal?.throwIfAborted();
      const columns = Math.min(chunk, ids.length - position);
      const last = position + columns === ids.length;
      queue.writeBuffer(own('tokens'), 0, Uint32Array.from(ids.slice(position, position + columns)));
      writeState(position, columns, columns - 1, sampling);
      const readback = readbacks[0];
      assert(readback, 'there is a readback buffer');
      const wanted = last && choice !== 'none' ? { buffer: readback, position: position + columns } : undefined;
      submit(last ? ending : body, columns, wanted);
      position += columns;
      if (!last) await device.settle(); // one pass at a time: short submits, and an abort is heard between them
      history = ids.slice(0, position);
      options.onPrefill?.(position - start, ids.length - start);
    }
  }

  const readLogits = async () => {
    const bytes = await device.read(own('logits'), 0, config.vocab * 4);
    return new Float32Array(bytes.buffer, bytes.byteOffset, config.vocab);
  };

  async function* generate(ids: readonly number[], options: GenerateOptions = {}): AsyncGenerator<number, void, void> {
    checkIdle();
    checkIds(ids);
    if (ids.length >= context)
      throw new FirstlightError(
        'context-full',
        `the prompt has ${ids.length} tokens and the context ${context} positions: shorten the prompt` +
          (context < config.context ? ` or ask for a larger context (up to ${config.context})` : ''),
      );
    const sampling = completeSampling(options);
    const choice = chooseChoice(sampling);
    const maxTokens = Math.min(options.maxTokens ?? Number.POSITIVE_INFINITY, context - ids.length);
    if (maxTokens <= 0) return;
    busy = true;
    try {
      const [short, long] = await Promise.all([
        decodeProgram(choice),
        decodeProgram(choice, splits),
        prefillProgram(undefined), // compiled here too, so that the clock does not count it
        prefillProgram(choice),
      ]);
      /** The pass whose token stands at `position`. */
      const decodeAt = (position: number) => (position < SPLIT_FROM_KEYS ? short : long);
      // the last id is always computed again: its logits are wanted
      let reused = 0;
      while (reused < ids.length - 1 && history[reused] === ids[reused]) reused++;
      history = history.slice(0, reused);
      const startMs = performance.now();
      await prefill(ids, reused, choice, options, sampling);

      let firstMs = 0;
      let tokens = 0;
      const pace = createPace();
      const arrived = (id: number): boolean => {
        const nowMs = performance.now();
        if (tokens === 0) firstMs = nowMs;
        pace.arrived(nowMs);
        tokens++;
        stats = {
          promptTokens: ids.length,
          reusedTokens: reused,
          prefillMs: firstMs - startMs,
          tokens,
          decodeMs: nowMs - firstMs,
        };
        return tokens >= maxTokens || (options.stopIds?.has(id) ?? false);
      };

      if (choice === 'none') {
        for (let position = ids.length; ; position++) {
          const id = sampleOnCpu(await readLogits(), sampling, position);
          const done = arrived(id);
          yield id;
          if (done) return;
          options.signal?.throwIfAborted();
          queue.writeBuffer(own('tokens'), 0, Uint32Array.of(id));
          writeState(position, 1, 0, sampling);
          submit(decodeAt(position), 1);
          history.push(id);
        }
      }

      // Tokens are fed back on the GPU; submits run ahead of what has been read.
      let ahead = 0; // passes submitted after the prompt
      let previous: number | undefined;
      for (let read = 0; ; read++) {
        while (ahead < read + IN_FLIGHT - 1 && ahead + 1 < maxTokens) {
          ahead++;
          const buffer = readbacks[ahead % IN_FLIGHT];
          assert(buffer, 'the ring has a buffer for every token in flight');
          const position = ids.length + ahead;
          submit(decodeAt(position - 1), 1, { buffer, position });
        }
        const buffer = readbacks[read % IN_FLIGHT];
        assert(buffer, 'the ring has a buffer for every token in flight');
        const bytes = await mapLate(device, buffer, 4, pace.dueMs(performance.now()));
        const id = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
        if (previous !== undefined) history.push(previous); // it has been fed to the pass that made this one
        previous = id;
        const done = arrived(id);
        yield id;
        if (done) return;
        options.signal?.throwIfAborted();
      }
    } finally {
      busy = false;
    }
  }
  async function* logits(ids: readonly number[], { signal }: { readonly signal?: AbortSignal | undefined } = {}) {
    checkIdle();
    checkIds(ids);
    if (ids.length > context)
      throw new FirstlightError(
        'context-full',
        `${ids.length} ids do not fit the context of ${context} positions: give fewer or ask for a larger context`,
      );
    busy = true;
    try {
      history = [];
      const body = await prefillProgram(undefined);
      const output = await program('output', () => planOutput(plan));
      for (let position = 0; position < ids.length; ) {
        signal?.throwIfAborted();
        const columns = Math.min(chunk, ids.length - position);
        queue.writeBuffer(own('tokens'), 0, Uint32Array.from(ids.slice(position, position + columns)));
        writeState(position, columns, 0);
        submit(body, columns);
        for (let last = 0; last < columns; last++) {
          writeState(position, columns, last);
          submit(output, columns);
          yield await readLogits();
        }
        position += columns;
        history = ids.slice(0, position);
      }
    } finally {
      busy = false;
    }
  }

  /** Lets close() wait for the turn that a generator is in; there is none after it. */
  async function* untilClosed<T>(stream: AsyncGenerator<T, void, void>): AsyncGenerator<T, void, void> {
    try {
      for (;;) {
        checkOpen();
        const turn = stream.next();
        turns.add(turn);
        const result = await turn.finally(() => turns.delete(turn));
        if (result.done) return;
        yield result.value;
      }
    } finally {
      await stream.return();
    }
  }

  return {
    model,
    context,
    get history() {
      return history;
    },
    get stats() {
      return stats;
    },
    generate: (ids, options) => untilClosed(generate(ids, options)),
    logits: (ids, options) => untilClosed(logits(ids, options)),
    rewind(position) {
      history = history.slice(0, position);
    },
    async timedPass(timer) {
      checkIdle();
      const position = Math.min(history.length, context - 1);
      const decode = await decodeProgram('greedy', position < SPLIT_FROM_KEYS ? 1 : splits);
      queue.writeBuffer(own('tokens'), 0, Uint32Array.of(0));
      writeState(position, 1, 0);
      const encoder = device.gpu.createCommandEncoder();
      recordTimedPass(encoder, decode, 1, timer);
      queue.submit([encoder.finish()]);
      return timer.read();
    },
    async inspect(name) {
      const buffer = buffers.get(name);
      assert(buffer, `the session has no buffer ${name}`);
      const bytes = await device.read(buffer, 0, buffer.size);
      return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    },
    close,
  };
}
