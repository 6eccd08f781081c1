/** Downloads of models that the app has started. */
import { pull } from '../../loaders/hub/pull.ts';

export interface PullStatus {
  readonly name: string;
  readonly state: 'running' | 'done' | 'failed';
  readonly doneBytes: number;
  readonly totalBytes: number | undefined;
  /** What is wrong, or what is being done about it. */
  readonly message: string | undefined;
}

export interface Pulls {
  list(): readonly PullStatus[];
  start(name: string): void;
  /** Ends a download, or forgets what is said of one that has ended. */
  stop(name: string): void;
  close(): void;
}

export function createPulls(pullModel: typeof pull = pull): Pulls {
  const statuses = new Map<string, PullStatus>();
  const running = new Map<string, AbortController>();
  const set = (name: string, change: Partial<PullStatus>) => {
    const before = statuses.get(name);
    if (before) statuses.set(name, { ...before, ...change });
  };
  return {
    list: () => [...statuses.values()],
    start(name) {
      if (running.has(name)) return;
      const abort = new AbortController();
      running.set(name, abort);
      statuses.set(name, { name, state: 'running', doneBytes: 0, totalBytes: undefined, message: undefined });
      pullModel(name, {
        signal: abort.signal,
        onBytes: (doneBytes, totalBytes) => set(name, { doneBytes, totalBytes, message: undefined }),
        onRetry: (message) => set(name, { message: `${message}: trying again` }),
      })
        .then(
          ({ bytes }) => set(name, { state: 'done', doneBytes: bytes, totalBytes: bytes, message: undefined }),
          (error: unknown) =>
            set(name, { state: 'failed', message: error instanceof Error ? error.message : String(error) }),
        )
        .finally(() => running.delete(name));
    },
    stop(name) {
      running.get(name)?.abort(new Error('stopped'));
      statuses.delete(name);
    },
    close() {
      for (const abort of running.values()) abort.abort(new Error('the app ends'));
    },
  };
}
