/** Requests that wait their turn, fair between clients: somebody who asks a hundred times does not bar the next one. */

export interface FairQueue<T> {
  readonly length: number;
  push(client: string, item: T): void;
  /**
   * Takes the next one: of the client with the fewest running requests by `running`, and of clients with equally many that
   * of the one whose request has waited longest.
   */
  shift(running: (client: string) => number): T | undefined;
  /** Takes an item out; whether it was there. */
  remove(item: T): boolean;
  /** Takes all out. */
  clear(): T[];
}

export function createFairQueue<T>(): FairQueue<T> {
  let waiting: { readonly client: string; readonly item: T }[] = [];
  return {
    get length() {
      return waiting.length;
    },
    push(client, item) {
      waiting.push({ client, item });
    },
    shift(running) {
      let next = waiting[0];
      for (const entry of waiting) if (next && running(entry.client) < running(next.client)) next = entry;
      if (!next) return undefined;
      waiting = waiting.filter((entry) => entry !== next);
      return next.item;
    },
    remove(item) {
      const before = waiting.length;
      waiting = waiting.filter((entry) => entry.item !== item);
      return waiting.length < before;
    },
    clear() {
      const all = waiting.map(({ item }) => item);
      waiting = [];
      return all;
    },
  };
}
