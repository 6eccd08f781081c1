/** Slots of a shared KV cache: which sequence's beginning each still holds, and which one a new sequence had best take. */

export interface Slot {
  readonly index: number;
  /** Ids whose keys and values are in the cache, or will be after what has been submitted. */
  history: readonly number[];
  /** A sequence is in it. */
  taken: boolean;
  /** Grows with every use. */
  lastUse: number;
}

export function createSlots(count: number): Slot[] {
  return Array.from({ length: count }, (_, index) => ({ index, history: [], taken: false, lastUse: 0 }));
}

/** Length of the beginning that both have. */
export function commonPrefix(a: readonly number[], b: readonly number[]): number {
  const most = Math.min(a.length, b.length);
  let length = 0;
  while (length < most && a[length] === b[length]) length++;
  return length;
}

/**
 * The free slot that a sequence takes; undefined when none is free. It is the one whose text the sequence goes on from, if
 * there is one, else the one that has been idle longest: a text of which only a small beginning is wanted may be asked for
 * again as a whole.
 */
export function chooseSlot(slots: readonly Slot[], ids: readonly number[]): Slot | undefined {
  const free = slots.filter(({ taken }) => !taken).sort((a, b) => a.lastUse - b.lastUse);
  let chosen = free[0];
  let longest = 0;
  for (const slot of free) {
    const held = commonPrefix(slot.history, ids);
    if (held <= longest || held * 2 < slot.history.length) continue;
    chosen = slot;
    longest = held;
  }
  return chosen;
}

/** The slot that holds the longest beginning of `ids`, taken or not, and how long that is. */
export function findPrefix(slots: readonly Slot[], ids: readonly number[]): { slot: Slot | undefined; length: number } {
  let best: { slot: Slot | undefined; length: number } = { slot: undefined, length: 0 };
  for (const slot of slots) {
    const length = commonPrefix(slot.history, ids);
    if (length > best.length) best = { slot, length };
  }
  return best;
}
