/**
 * Byte pair encoding: of all neighbouring symbols that may join, the pair of lowest rank joins first, the leftmost of
 * equals; again and again until no pair is left. Symbols are numbers; piece-encoder.ts knows what they stand for.
 */

/** Symbols from which on a heap is faster. */
const SHORT = 32;

/** Pairs that may join: a hash table with open addressing, since a vocabulary has up to a million of them. */
export interface MergeTable {
  readonly mask: number; // slots - 1, slots being a power of two
  readonly pairs: Int32Array; // [slot][left, right, joined, rank], left -1 in an empty slot
}

/**
 * @param merges [index][left, right, joined] symbols, all >= 0
 * @param ranks [index]; -1 leaves a pair out, and of a pair that is there twice the lower rank holds
 */
export function createMergeTable(merges: Int32Array, ranks: Int32Array): MergeTable {
  let slots = 16;
  while (slots < 2 * ranks.length) slots *= 2;
  const pairs = new Int32Array(slots * 4).fill(-1);
  const table = { mask: slots - 1, pairs };
  ranks.forEach((rank, index) => {
    const left = merges[3 * index]!;
    const right = merges[3 * index + 1]!;
    const slot = findSlot(table, left, right);
    if (rank < 0 || (pairs[slot] !== -1 && pairs[slot + 3]! <= rank)) return;
    pairs[slot] = left;
    pairs[slot + 1] = right;
    pairs[slot + 2] = merges[3 * index + 2]!;
    pairs[slot + 3] = rank;
  });
  return table;
}

/** Index into `pairs` of the pair's slot, or of the empty slot where it would be. */
function findSlot({ mask, pairs }: MergeTable, left: number, right: number): number {
  let hash = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
  hash ^= hash >>> 15;
  for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
    const at = slot * 4;
    if (pairs[at] === -1 || (pairs[at] === left && pairs[at + 1] === right)) return at;
  }
}

/**
 * Joins symbols (>= 0) as far as the table goes; O(n log n).
 * @param onCandidate told of each pair that comes to stand side by side and may join, in that order
 */
export function mergeSymbols(
  table: MergeTable,
  symbols: readonly number[],
  onCandidate?: (left: number, right: number, joined: number) => void,
): number[] {
  const count = symbols.length;
  if (count < 2) return [...symbols];
  if (count <= SHORT && onCandidate === undefined) return mergeFew(table, symbols);
  const current = Int32Array.from(symbols);
  const next = new Int32Array(count); // linked list of the symbols that are left; joined-away ones have next -1
  const previous = new Int32Array(count);
  // Candidates as rank * 2^32 + position of the left symbol: their order is the order of joining. A pair enters when it
  // becomes neighbours, which is count - 1 times at first and at most twice for each join.
  const heap = new Float64Array(3 * count);
  let size = 0;

  function push(left: number, right: number): void {
    if (left < 0 || right >= count) return;
    const slot = findSlot(table, current[left]!, current[right]!);
    if (table.pairs[slot] === -1) return;
    onCandidate?.(current[left]!, current[right]!, table.pairs[slot + 2]!);
    const key = table.pairs[slot + 3]! * 2 ** 32 + left;
    let at = size++;
    for (let parent = (at - 1) >> 1; at > 0 && heap[parent]! > key; parent = (at - 1) >> 1) {
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = key;
  }

  function pop(): number {
    const top = heap[0]!;
    const key = heap[--size]!;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= size) break;
      if (child + 1 < size && heap[child + 1]! < heap[child]!) child++;
      if (heap[child]! >= key) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = key;
    return top;
  }

  for (let at = 0; at < count; at++) {
    next[at] = at + 1;
    previous[at] = at - 1;
    push(at, at + 1);
  }
  while (size > 0) {
    const key = pop();
    const rank = Math.floor(key / 2 ** 32);
    const left = key - rank * 2 ** 32;
    const right = next[left]!;
    if (right === -1 || right >= count) continue; // joined away since, or the last symbol now
    const slot = findSlot(table, current[left]!, current[right]!);
    if (table.pairs[slot] === -1 || table.pairs[slot + 3] !== rank) continue; // a neighbour changed since
    const after = next[right]!;
    current[left] = table.pairs[slot + 2]!;
    next[left] = after;
    next[right] = -1;
    if (after < count) previous[after] = left;
    push(previous[left]!, left);
    push(left, after);
  }
  const joined: number[] = [];
  for (let at = 0; at < count; at = next[at]!) joined.push(current[at]!);
  return joined;
}

/** The same for words: looking at all neighbours again costs less than a heap there. */
function mergeFew(table: MergeTable, symbols: readonly number[]): number[] {
  const { pairs } = table;
  const current = [...symbols];
  const slotOf = (left: number) => findSlot(table, current[left]!, current[left + 1]!);
  const slots: number[] = []; // of each symbol with the one behind it
  for (let at = 0; at + 1 < current.length; at++) slots.push(slotOf(at));
  for (;;) {
    let best = -1;
    let bestRank = Number.POSITIVE_INFINITY;
    for (let at = 0; at < slots.length; at++) {
      const rank = pairs[slots[at]! + 3]!;
      if (rank < 0 || rank >= bestRank) continue;
      best = at;
      bestRank = rank;
    }
    if (best < 0) return current;
    current[best] = pairs[slots[best]! + 2]!;
    current.splice(best + 1, 1);
    slots.splice(best, 1);
    if (best > 0) slots[best - 1] = slotOf(best - 1);
    if (best < slots.length) slots[best] = slotOf(best);
  }
}
