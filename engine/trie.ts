/** A set of texts in which those that begin at a place of another text are found unit by unit (UTF-16). */

export interface Trie {
  /** The node that `unit` leads to, -1 if none; the root is node 0. */
  next(node: number, unit: number): number;
  /** What was given for the text that ends at the node; -1 where none does. */
  valueOf(node: number): number;
}

/** @param entries texts, none of them empty, and their values, >= 0 */
export function createTrie(entries: Iterable<readonly [text: string, value: number]>): Trie {
  const values: number[] = [-1];
  let slots = 1024; // a power of two; a hash table with open addressing: [slot][node, unit, child], node -1 if empty
  let edges = new Int32Array(3 * slots).fill(-1);

  function findSlot(node: number, unit: number): number {
    let hash = Math.imul(node, 0x9e3779b1) ^ Math.imul(unit, 0x85ebca6b);
    hash ^= hash >>> 15;
    for (let slot = hash & (slots - 1); ; slot = (slot + 1) & (slots - 1)) {
      const at = 3 * slot;
      if (edges[at] === -1 || (edges[at] === node && edges[at + 1] === unit)) return at;
    }
  }

  function grow(): void {
    const old = edges;
    slots *= 2;
    edges = new Int32Array(3 * slots).fill(-1);
    for (let at = 0; at < old.length; at += 3)
      if (old[at] !== -1) edges.set(old.subarray(at, at + 3), findSlot(old[at]!, old[at + 1]!));
  }

  for (const [text, value] of entries) {
    let node = 0;
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      let at = findSlot(node, unit);
      if (edges[at] === -1) {
        if (2 * values.length > slots) {
          grow();
          at = findSlot(node, unit);
        }
        edges.set([node, unit, values.length], at);
        values.push(-1);
      }
      node = edges[at + 2]!;
    }
    values[node] = value;
  }
  return {
    next: (node, unit) => edges[findSlot(node, unit) + 2]!,
    valueOf: (node) => values[node]!,
  };
}
