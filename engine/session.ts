/** One conversation with a model: its KV cache, its position, and the loop that makes tokens. */
import type { StepTime, Timer } from '../devices/timing.ts';
import { FirstlightError } from '../quant/errors.ts';
import type { Model } from './model.ts';
import { createPace } from './pace.ts';
import { type Choice, IN_FLIGHT } from './plan.ts';
import { createRunner, type RunnerOptions } from './runner.ts';
import { chooseChoice, completeSampling, type Sampling, sampleOnCpu } from './sampler.ts';

export type SessionOptions = Omit<RunnerOptions, 'slots'>;

const ONE_TOKEN = { columns: 1, outputs: 1 };

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

/** Throws `bad-argument` for no ids or ids outside the vocabulary, `context-full` for more than `most`. */
export function checkPrompt(
  { config, path }: Pick<Model, 'config' | 'path'>,
  ids: readonly number[],
  context: number,
  most: number,
): void {
  if (ids.length === 0)
    throw new FirstlightError('bad-argument', 'the prompt is empty: give at least one token, such as the begin token');
  const wrong = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= config.vocab);
  if (wrong !== undefined)
    throw new FirstlightError(
      'bad-argument',
      `token id ${wrong} is outside the vocabulary of ${path}: ids go from 0 to ${config.vocab - 1}`,
    );
  if (ids.length > most)
    throw new FirstlightError(
      'context-full',
      `the prompt has ${ids.length} tokens and the context ${context} positions: shorten the prompt` +
        (context < config.context ? ` or ask for a larger context (up to ${config.context})` : ''),
    );
}

/** A session with a KV cache of its own. Throws `not-enough-memory`, `bad-argument`. */
export async function createSession(model: Model, options: SessionOptions = {}): Promise<Session> {
  const runner = await createRunner(model, options);
  const { context, chunk } = runner;
  const turns = new Set<Promise<unknown>>(); // of generators, on their way to the next yield
  let closed = false;
  let release: Promise<void> | undefined;
  const close = () => {
    closed = true;
    release ??= Promise.allSettled(turns).then(runner.close);
    return release;
  };

  let history: number[] = [];
  let busy = false;
  let stats: Stats = { promptTokens: 0, reusedTokens: 0, prefillMs: 0, tokens: 0, decodeMs: 0 };

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
  const columnsOf = (ids: readonly number[], first: number) =>
    ids.map((token, i) => ({ token, position: first + i, slot: 0 }));

  /** Runs the prompt from `start`; the last pass makes logits and, if asked, chooses. */
  async function prefill(ids: readonly number[], start: number, choice: Choice, options: GenerateOptions) {
    for (let position = start; position < ids.length; ) {
      checkOpen();
      options.signal?.throwIfAborted();
      const columns = Math.min(chunk, ids.length - position);
      const last = position + columns === ids.length;
      runner.place(columnsOf(ids.slice(position, position + columns), position), [columns - 1], true);
      const wanted = last && choice !== 'none' ? { ticket: 0, slot: 0, position: position + columns } : undefined;
      await runner.submit(last ? { kind: 'ending', choice } : { kind: 'prompt' }, { columns, outputs: 1 }, wanted);
      position += columns;
      if (!last) await model.device.settle(); // one pass at a time: short submits, and an abort is heard between them
      history = ids.slice(0, position);
      options.onPrefill?.(position - start, ids.length - start);
    }
  }

  async function* generate(ids: readonly number[], options: GenerateOptions = {}): AsyncGenerator<number, void, void> {
    checkIdle();
    checkPrompt(model, ids, context, context - 1);
    const sampling = completeSampling(options);
    const choice = chooseChoice(sampling);
    const maxTokens = Math.min(options.maxTokens ?? Number.POSITIVE_INFINITY, context - ids.length);
    if (maxTokens <= 0) return;
    busy = true;
    try {
      await runner.prepare(choice); // before the clock starts
      runner.setSampler(0, sampling);
      // the last id is always computed again: its logits are wanted
      let reused = 0;
      while (reused < ids.length - 1 && history[reused] === ids[reused]) reused++;
      history = history.slice(0, reused);
      const startMs = performance.now();
      await prefill(ids, reused, choice, options);

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
          const id = sampleOnCpu(await runner.logits(0), sampling, position);
          const done = arrived(id);
          yield id;
          if (done) return;
          options.signal?.throwIfAborted();
          runner.place(columnsOf([id], position), [0], false);
          await runner.submit({ kind: 'decode', choice, position }, ONE_TOKEN);
          history.push(id);
        }
      }

      // Tokens are fed back on the GPU; submits run ahead of what has been read.
      let ahead = 0; // passes submitted after the prompt
      let previous: number | undefined;
      for (let read = 0; ; read++) {
        while (ahead < read + IN_FLIGHT - 1 && ahead + 1 < maxTokens) {
          ahead++;
          const position = ids.length + ahead; // of the token that the pass chooses
          const wanted = { ticket: ahead % IN_FLIGHT, slot: 0, position };
          await runner.submit({ kind: 'decode', choice, position: position - 1 }, ONE_TOKEN, wanted);
        }
        const id = await runner.chosen(read % IN_FLIGHT, pace.dueMs(performance.now()));
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
    checkPrompt(model, ids, context, context);
    busy = true;
    try {
      history = [];
      for (let position = 0; position < ids.length; ) {
        signal?.throwIfAborted();
        const columns = columnsOf(ids.slice(position, position + chunk), position);
        runner.place(columns, [0], false);
        await runner.submit({ kind: 'prompt' }, { columns: columns.length, outputs: 0 });
        for (let output = 0; output < columns.length; output++) {
          runner.place(columns, [output], false);
          await runner.submit({ kind: 'output' }, { columns: columns.length, outputs: 1 });
          yield await runner.logits(0);
        }
        position += columns.length;
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
    timedPass(timer) {
      checkIdle();
      return runner.timedPass(Math.min(history.length, context - 1), timer);
    },
    inspect: runner.inspect,
    close,
  };
}
