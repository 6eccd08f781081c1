/** One conversation with a model: its KV cache, its position, and the loop that makes tokens. */
import type { Timer } from '../devices/timing.ts';
import { FirstlightError } from '../quant/errors.ts';
import { chooseMethod, type Method } from './decoding.ts';
import { kvRowsBytes } from './kv-cache.ts';
import type { Logprobs } from './logprobs.ts';
import type { Model } from './model.ts';
import { createPace } from './pace.ts';
import type { Penalties, TokenFacts } from './penalties.ts';
import { passSizes } from './pieces.ts';
import { ropeContext } from './rope.ts';
import { createRunner, type RunnerOptions, type TimedStep } from './runner.ts';
import { completeSampling, type Sampling } from './sampler.ts';
import { checkSnapshot, openSnapshot, writeSnapshot } from './snapshot.ts';
import { MOST_CANDIDATES } from './state.ts';
import { type Constraint, createSteering } from './steering.ts';

/** Options of createSession(). */
export type SessionOptions = Omit<RunnerOptions, 'slots'>;

/** Options of Session.generate(). */
export interface GenerateOptions extends Sampling, Penalties {
  /** Most tokens to make. Default: until the context is full. */
  readonly maxTokens?: number | undefined;
  /** Ids after which to stop; the id itself is still yielded. Default none. */
  readonly stopIds?: ReadonlySet<number> | undefined;
  /** Which tokens may come, e.g. by a grammar. Used up by one generation. Default all. */
  readonly constraint?: Constraint | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called as the prompt is read, each time that a part of it is on its way to the GPU. */
  readonly onPrefill?: ((done: number, total: number) => void) | undefined;
}

/** Options of Session.tokens(). */
export interface TokenOptions extends GenerateOptions {
  /** Reports the log probability of each token and of so many alternatives, at most 64. Default none. */
  readonly logprobs?: number | undefined;
  /** How many of the ids are the prompt; the others were made from it before, which penalties want to know. Default all. */
  readonly promptTokens?: number | undefined;
}

/** A token as it is made. */
export interface GeneratedToken {
  readonly id: number;
  readonly logprobs: Logprobs | undefined;
  /**
   * Set with the last token: `stop` after a stop id or at the end of a constraint, `length` after maxTokens, `context` when
   * the context is full.
   */
  readonly finish: 'stop' | 'length' | 'context' | undefined;
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

export interface LogitsOptions {
  /** The first position whose logits are wanted. Default 0. */
  readonly from?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** One sequence over a model, with a KV cache of its own: made by createSession(). */
export interface Session extends AsyncDisposable {
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
  /** The same with what else is known of each token. */
  tokens(ids: readonly number[], options?: TokenOptions): AsyncGenerator<GeneratedToken, void, void>;
  /** Logits after each of the ids, [ids.length][vocab], computed from an empty cache, `chunk` ids in a pass. */
  logits(ids: readonly number[], options?: LogitsOptions): AsyncGenerator<Float32Array>;
  /** Forgets everything after `position`. */
  rewind(position: number): void;
  /**
   * Drops `count` ids of the history, from `first` on, without computing anything anew: what follows moves up. It was computed
   * with what is dropped before it, so the text goes on as if it remembered a little, not as if the ids had never been.
   */
  shift(first: number, count: number): Promise<void>;
  /**
   * Writes the history, with its keys and values, to a file. Throws `bad-argument` where no file may be written.
   */
  save(path: string): Promise<void>;
  /**
   * Takes the history from a file in place of its own: what is in it is not computed again. Throws `bad-argument` for the
   * session of another model or with another form of cache, `bad-file` for a damaged file, `context-full` for a text that is too long.
   */
  restore(path: string): Promise<void>;
  /**
   * Runs one pass behind the history with every step timed, of decode or over so many columns of a prompt; the history stays
   * as it is.
   */
  timedPass(timer: Timer, columns?: number): Promise<TimedStep[]>;
  /** Milliseconds of CPU time to record and submit `passes` decode passes at once, of each of so many submits. */
  timedSubmissions(submits: number, passes: number): Promise<number[]>;
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

/** Throws `bad-argument` for a number of alternatives that cannot be reported. */
export function checkLogprobs(logprobs: number | undefined): void {
  if (logprobs === undefined || (Number.isInteger(logprobs) && logprobs >= 0 && logprobs <= MOST_CANDIDATES)) return;
  throw new FirstlightError(
    'bad-argument',
    `logprobs is ${logprobs}: it must be a whole number from 0 to ${MOST_CANDIDATES}`,
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
  const pace = createPace();
  let stats: Stats = { promptTokens: 0, reusedTokens: 0, prefillMs: 0, tokens: 0, decodeMs: 0 };

  const checkOpen = () => {
    if (closed) throw new FirstlightError('bad-argument', 'the session is closed: create another one');
    model.checkOpen();
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
  async function prefill(ids: readonly number[], start: number, ending: Method['ending'], options: GenerateOptions) {
    const total = ids.length - start;
    let position = start;
    for (const columns of passSizes(total, chunk)) {
      checkOpen();
      options.signal?.throwIfAborted();
      const last = position + columns === ids.length;
      runner.place(columnsOf(ids.slice(position, position + columns), position), [columns - 1], true);
      const chooses = last && ending.choice !== 'none';
      const wanted = chooses
        ? { ticket: 0, slot: 0, position: position + columns, report: ending.reported }
        : undefined;
      const before = position - start;
      const onPiece = (share: number) => {
        checkOpen();
        options.signal?.throwIfAborted();
        options.onPrefill?.(before + Math.floor(share * columns), total);
      };
      await runner.submit(last ? ending : { kind: 'prompt' }, { columns, outputs: 1 }, wanted, onPiece);
      if (last && model.selfTest.pending && !ending.edited)
        model.selfTest.check(await runner.residual(columns - 1), await runner.logits(0));
      position += columns;
      history = ids.slice(0, position);
      options.onPrefill?.(position - start, total);
    }
  }

  async function* tokens(
    ids: readonly number[],
    options: TokenOptions = {},
  ): AsyncGenerator<GeneratedToken, void, void> {
    checkIdle();
    checkPrompt(model, ids, context, context - 1);
    const { logprobs, signal, stopIds, constraint } = options;
    checkLogprobs(logprobs);
    const sampling = completeSampling(options);
    const steering = createSteering(options, constraint, ids, tokenFacts(model));
    const room = context - ids.length;
    const maxTokens = Math.min(options.maxTokens ?? Number.POSITIVE_INFINITY, room);
    if (maxTokens <= 0) return;
    busy = true;
    try {
      const method = chooseMethod({ runner, sampling, steering, pace, logprobs });
      // the last id is always computed again: its logits are wanted
      let reused = 0;
      while (reused < ids.length - 1 && history[reused] === ids[reused]) reused++;
      history = history.slice(0, reused);
      await method.prepare(passSizes(ids.length - reused, chunk), ids.length); // before the clock starts
      const startMs = performance.now();
      await runner.reserve(ids.length + 1); // at once, not by chunks
      await prefill(ids, reused, method.ending, options);

      let firstMs = 0;
      let count = 0;
      let previous: number | undefined;
      for await (const { id, logprobs: found } of method.tokens(ids.length, maxTokens)) {
        const nowMs = performance.now();
        if (count === 0) firstMs = nowMs;
        count++;
        stats = {
          promptTokens: ids.length,
          reusedTokens: reused,
          prefillMs: firstMs - startMs,
          tokens: count,
          decodeMs: nowMs - firstMs,
        };
        if (previous !== undefined) history.push(previous); // it has been fed to the pass that made this one
        previous = id;
        const stopped = stopIds?.has(id) || constraint?.done;
        const finish = stopped ? 'stop' : count < maxTokens ? undefined : count < room ? 'length' : 'context';
        yield { id, logprobs: found, finish };
        if (finish) return;
        signal?.throwIfAborted();
      }
    } catch (error) {
      // a cache that could not grow is empty
      if (error instanceof FirstlightError && error.code === 'not-enough-memory') history = [];
      throw error;
    } finally {
      busy = false;
    }
  }

  async function* generate(ids: readonly number[], options?: GenerateOptions): AsyncGenerator<number, void, void> {
    for await (const { id } of tokens(ids, options)) yield id;
  }

  async function* logits(ids: readonly number[], { from = 0, signal }: LogitsOptions = {}) {
    checkIdle();
    checkPrompt(model, ids, context, context);
    busy = true;
    try {
      history = [];
      await runner.reserve(ids.length);
      for (let position = 0; position < ids.length; ) {
        signal?.throwIfAborted();
        const columns = columnsOf(ids.slice(position, position + chunk), position);
        runner.place(columns, [0], false);
        await runner.submit({ kind: 'prompt' }, { columns: columns.length, outputs: 0 });
        for (let output = Math.max(0, from - position); output < columns.length; output++) {
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
    tokens: (ids, options) => untilClosed(tokens(ids, options)),
    logits: (ids, options) => untilClosed(logits(ids, options)),
    rewind(position) {
      history = history.slice(0, position);
    },
    async shift(first, count) {
      checkIdle();
      const inside = [first, count].every((value) => Number.isInteger(value) && value >= 0);
      if (!inside || first + count > history.length)
        throw new FirstlightError(
          'bad-argument',
          `${count} ids cannot be dropped from ${first} on: the history has ${history.length}`,
        );
      if (count === 0) return;
      busy = true;
      try {
        await runner.shift(0, first, count, history.length);
        history = [...history.slice(0, first), ...history.slice(first + count)];
      } finally {
        busy = false;
      }
    },
    async save(path) {
      checkIdle();
      busy = true;
      try {
        const { fingerprint, path: name, kv, config } = model;
        const bytes = kvRowsBytes(config, kv, history.length);
        const header = { fingerprint, model: name, kv, ropeContext: ropeContext(config, context), ids: history, bytes };
        await writeSnapshot(path, header, runner.readRows(0, history.length));
      } finally {
        busy = false;
      }
    },
    async restore(path) {
      checkIdle();
      busy = true;
      try {
        const snapshot = await openSnapshot(path);
        try {
          const { ids } = snapshot.header;
          checkSnapshot(model, context, snapshot.header, path);
          history = []; // it is overwritten
          await runner.writeRows(0, ids.length, snapshot.read);
          await snapshot.verify();
          history = [...ids];
        } finally {
          await snapshot.close();
        }
      } finally {
        busy = false;
      }
    },
    timedPass(timer, columns = 1) {
      checkIdle();
      return runner.timedPass(Math.min(history.length, context - columns), timer, columns);
    },
    timedSubmissions(submits, passes) {
      checkIdle();
      return runner.timedSubmissions(Math.min(history.length, context - 1), submits, passes);
    },
    inspect: runner.inspect,
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** What penalties want to know of a model's tokens. */
export function tokenFacts({ config, tokenizer }: Model): TokenFacts {
  return {
    vocab: config.vocab,
    isControl: (id) => tokenizer?.isSpecial(id) ?? false,
    text: (id) => tokenizer?.decode([id], { continued: true }) ?? '',
  };
}
