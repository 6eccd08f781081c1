/** A vocabulary's tokens by their bytes, so that a grammar can try all of them together. */
import { classesBelow } from './grammar-classes.ts';
import type { Tokenizer } from './tokenizer.ts';

/** The nodes in depth-first order; node 0 is the root. */
export interface TokenTrie {
  readonly nodes: number;
  /** [node] the byte that leads to it. */
  readonly bytes: Uint8Array;
  /** [node] bytes from the root. */
  readonly depths: Uint16Array;
  /** [node] the first node that is not below it. */
  readonly ends: Uint32Array;
  /** [node] where its tokens begin in `ids`; they end where those of the next node begin. */
  readonly firsts: Uint32Array;
  /** [node] classes of the bytes below it. */
  readonly below: Int32Array;
  /** Token ids by node: several tokens may have the same bytes. */
  readonly ids: Uint32Array;
  readonly longest: number;
}

const tries = new WeakMap<Tokenizer, TokenTrie>();

/** The trie of a tokenizer's tokens, made once. Control tokens and tokens without bytes are not in it. */
export function trieOf(tokenizer: Tokenizer): TokenTrie {
  let trie = tries.get(tokenizer);
  if (!trie) {
    const tokens: [bytes: Uint8Array, id: number][] = [];
    for (let id = 0; id < tokenizer.vocabSize; id++) {
      if (tokenizer.isSpecial(id)) continue;
      const bytes = tokenizer.bytes(id);
      if (bytes.length > 0) tokens.push([bytes, id]);
    }
    trie = buildTrie(tokens);
    tries.set(tokenizer, trie);
  }
  return trie;
}

export function buildTrie(tokens: readonly (readonly [bytes: Uint8Array, id: number])[]): TokenTrie {
  // strings of one character a byte sort in the bytes' order, and quickly
  const keys = tokens.map(([bytes]) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1'));
  const sorted = Uint32Array.from(keys.keys()).sort((a, b) => {
    const [x, y] = [keys[a] as string, keys[b] as string];
    return x < y ? -1 : x > y ? 1 : a - b;
  });
  const most = 1 + tokens.reduce((sum, [bytes]) => sum + bytes.length, 0);
  const bytes = new Uint8Array(most);
  const depths = new Uint16Array(most);
  const ends = new Uint32Array(most);
  const firsts = new Uint32Array(most + 1);
  let nodes = 1;
  const path = [0]; // nodes from the root to the last one
  let longest = 0;
  let before: Uint8Array = new Uint8Array(0);
  for (const [i, number] of sorted.entries()) {
    const [token] = tokens[number]!;
    let common = 0;
    while (common < before.length && token[common] === before[common]) common++;
    while (path.length > common + 1) ends[path.pop() as number] = nodes;
    for (let depth = common; depth < token.length; depth++) {
      path.push(nodes);
      bytes[nodes] = token[depth] as number;
      depths[nodes] = depth + 1;
      firsts[nodes] = i;
      nodes++;
    }
    longest = Math.max(longest, token.length);
    before = token;
  }
  for (const node of path) ends[node] = nodes;
  firsts[nodes] = sorted.length;
  return {
    nodes,
    bytes: bytes.slice(0, nodes),
    depths: depths.slice(0, nodes),
    ends: ends.slice(0, nodes),
    firsts: firsts.slice(0, nodes + 1),
    below: classesBelow(bytes.subarray(0, nodes), depths, longest),
    ids: sorted.map((number) => tokens[number]![1]),
    longest,
  };
}
