/** Answers that are sent while they are made: one piece after another, no faster than the client reads. */

export interface StreamOptions {
  /** What is sent when nothing else has been for ten seconds, so that a client that has gone is noticed. */
  readonly heartbeat?: string | undefined;
  /** Ends the work when the client goes away or does not read for too long. */
  readonly abort: AbortController;
  /** A client that reads nothing for so long is taken for dead. Default a minute. */
  readonly stallMs?: number | undefined;
}

const HEARTBEAT_MS = 10_000;
const STALL_MS = 60_000;

/** A response body of the pieces, which are asked for one at a time. */
export function streamBody(pieces: AsyncGenerator<string, void, void>, options: StreamOptions): ReadableStream {
  const { heartbeat, abort, stallMs = STALL_MS } = options;
  const encoder = new TextEncoder();
  const beatMs = Math.min(HEARTBEAT_MS, stallMs);
  let beat: NodeJS.Timeout | undefined; // one for all pieces: there may be thousands a second
  let quiet = false; // nothing has come since the last beat
  let unreadMs = 0;
  return new ReadableStream({
    start(controller) {
      beat = setInterval(() => {
        if ((controller.desiredSize ?? 0) > 0) {
          if (quiet && heartbeat !== undefined) controller.enqueue(encoder.encode(heartbeat));
          quiet = true;
          return;
        }
        unreadMs += beatMs;
        if (unreadMs < stallMs) return;
        clearInterval(beat);
        const reason = new Error('the client does not read');
        abort.abort(reason);
        controller.error(reason);
        void pieces.return(); // nobody else will
      }, beatMs).unref();
    },
    async pull(controller) {
      unreadMs = 0;
      const result = await pieces.next();
      quiet = false;
      if (!result.done) return controller.enqueue(encoder.encode(result.value));
      clearInterval(beat);
      controller.close();
    },
    async cancel(reason) {
      clearInterval(beat);
      abort.abort(reason);
      await pieces.return();
    },
  });
}

/** An event for each value, and the end that OpenAI's clients wait for; a failure on the way is an event too. */
export async function* eventStream(
  values: AsyncIterable<object>,
  describe: (error: unknown) => object,
): AsyncGenerator<string, void, void> {
  try {
    for await (const value of values) yield `data: ${JSON.stringify(value)}\n\n`;
  } catch (error) {
    yield `data: ${JSON.stringify(describe(error))}\n\n`;
    return;
  }
  yield 'data: [DONE]\n\n';
}

/** A line of JSON for each value, as Ollama's clients read it. */
export async function* lineStream(
  values: AsyncIterable<object>,
  describe: (error: unknown) => object,
): AsyncGenerator<string, void, void> {
  try {
    for await (const value of values) yield `${JSON.stringify(value)}\n`;
  } catch (error) {
    yield `${JSON.stringify(describe(error))}\n`;
  }
}

/** What several generators make, in the order in which it comes. All end when one fails or the result is left. */
export function merge<T>(sources: readonly AsyncGenerator<T, void, void>[]): AsyncGenerator<T, void, void> {
  const [only] = sources;
  return only && sources.length === 1 ? only : mergeSeveral(sources);
}

async function* mergeSeveral<T>(sources: readonly AsyncGenerator<T, void, void>[]): AsyncGenerator<T, void, void> {
  const next = (source: AsyncGenerator<T, void, void>) => source.next().then((result) => ({ source, result }));
  const pending = new Map(sources.map((source) => [source, next(source)]));
  try {
    while (pending.size > 0) {
      const { source, result } = await Promise.race(pending.values());
      if (result.done) pending.delete(source);
      else {
        pending.set(source, next(source));
        yield result.value;
      }
    }
  } finally {
    for (const promise of pending.values()) promise.catch(() => {});
    await Promise.allSettled(sources.map((source) => source.return()));
  }
}

/** The latest of values that come from callbacks, as a generator; those that nobody waited for are left out. */
export interface Latest<T> {
  set(value: T): void;
  end(): void;
  readonly values: AsyncGenerator<T, void, void>;
}

export function createLatest<T>(): Latest<T> {
  let value: T | undefined;
  let ended = false;
  let wake = () => {};
  async function* values(): AsyncGenerator<T, void, void> {
    for (;;) {
      if (value === undefined && !ended)
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      const latest = value;
      value = undefined;
      if (latest !== undefined) yield latest;
      else if (ended) return;
    }
  }
  return {
    set(latest) {
      value = latest;
      wake();
    },
    end() {
      ended = true;
      wake();
    },
    values: values(),
  };
}

/** So long a failure is waited for that can still be told by the status. */
const EARLY_MS = 500;

/** The same values once the first is there, or is long in coming. Throws what the first one throws by then. */
export async function startEarly<T>(values: AsyncGenerator<T, void, void>): Promise<AsyncIterable<T>> {
  let first: Promise<IteratorResult<T, void>> | undefined = values.next();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, EARLY_MS);
  });
  await Promise.race([first, late]).finally(() => clearTimeout(timer));
  first.catch(() => {}); // told by what follows
  // no generator around the generator: every piece of every answer would go through it
  const iterator: AsyncIterator<T, void> = {
    next() {
      const next = first ?? values.next();
      first = undefined;
      return next;
    },
    return: () => values.return(),
  };
  return { [Symbol.asyncIterator]: () => iterator };
}
