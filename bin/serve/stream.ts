/** Answers that are sent while they are made: one piece after another, no faster than the client reads. */

export interface StreamOptions {
  /** What is sent when nothing else has been for a while, so that a client that has gone is noticed. */
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
  let stalled: NodeJS.Timeout | undefined;
  let waiting: Promise<IteratorResult<string, void>> | undefined;
  return new ReadableStream({
    async pull(controller) {
      clearTimeout(stalled);
      waiting ??= pieces.next();
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<'late'>((resolve) => {
        timer = setTimeout(resolve, HEARTBEAT_MS, 'late');
      });
      const result = await Promise.race(heartbeat === undefined ? [waiting] : [waiting, late]);
      clearTimeout(timer);
      if (result === 'late') controller.enqueue(encoder.encode(heartbeat));
      else {
        waiting = undefined;
        if (result.done) return controller.close();
        controller.enqueue(encoder.encode(result.value));
      }
      stalled = setTimeout(() => {
        const reason = new Error('the client does not read');
        abort.abort(reason);
        controller.error(reason);
        void pieces.return(); // nobody else will
      }, stallMs);
      stalled.unref();
    },
    async cancel(reason) {
      clearTimeout(stalled);
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
export async function* merge<T>(sources: readonly AsyncGenerator<T, void, void>[]): AsyncGenerator<T, void, void> {
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

/** The same generator once its first piece is there, or is long in coming. Throws what the first piece throws by then. */
export async function startEarly<T>(values: AsyncGenerator<T, void, void>): Promise<AsyncGenerator<T, void, void>> {
  const first = values.next();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, EARLY_MS);
  });
  await Promise.race([first, late]).finally(() => clearTimeout(timer));
  first.catch(() => {}); // told by the generator below
  return (async function* () {
    try {
      const { done, value } = await first;
      if (done) return;
      yield value as T;
      yield* values;
    } finally {
      await values.return();
    }
  })();
}
