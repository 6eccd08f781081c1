/**
 * What a grammar may be in the middle of, made deterministic as far as texts lead: a state is a set of places, each a node of
 * the automaton and a stack of the nodes to come back to. States, stacks and transitions are made once and have numbers, so
 * that following a byte is a look into a table.
 */
import type { Automaton, Loop } from './grammar-automaton.ts';

/** No text goes on like this. */
export const DEAD = -1;
const UNKNOWN = 0;
/** The stack with nothing to come back to: the text's end, or, in a part looked at by itself, whatever is around it. */
const BOTTOM = 0;

/** In place of a loop's count: however often. */
const ANY = -1;

/** Sorted pairs of node and stack. */
type Places = readonly number[];

/** A state in a loop that counts, and the same with the count left open, so that one serves for all counts. */
export interface Counted {
  /** Number of the loop's node. */
  readonly loop: number;
  readonly least: number;
  readonly most: number;
  /** How often the loop has been through. */
  readonly done: number;
  /** The state itself, without a count. */
  readonly start: number;
  /** The state between one time and the next, without a count. */
  readonly between: number;
}

/** Between two times through a loop, within one, behind the loop; unclear when it may be in several of these. */
export type Stage = 'between' | 'within' | 'behind' | 'unclear';

export interface States {
  /** Of the root rule. */
  readonly start: number;
  /** The state after one byte more, or DEAD. */
  next(state: number, byte: number): number;
  /** The text, or the part, may end here. */
  ends(state: number): boolean;
  /** It cannot go on. */
  isOver(state: number): boolean;
  /**
   * The state cut off from what all of its stacks have in common, and the state in which the text goes on once that part
   * ends. Undefined when they have nothing in common.
   */
  split(state: number): { readonly inner: number; readonly outer: number } | undefined;
  /** Undefined for a state that is not just in the midst of one counted loop. */
  counted(state: number): Counted | undefined;
  /** Where a state is that came of `counted.start`. */
  stageOf(state: number, counted: Counted): Stage;
  /** How many there are so far. */
  readonly count: number;
}

/** The count behind one more time. Without a most, only whether the least is reached matters. */
function countOn(count: number, { least, most }: Loop): number {
  if (count === ANY) return ANY;
  return most === Number.POSITIVE_INFINITY ? Math.min(count + 1, least) : count + 1;
}

export function createStates({ nodes, start }: Automaton): States {
  // Stacks by number: the node on top with its count, and the stack below.
  const tops = [-1];
  const counts = [0];
  const below = [-1];
  const depths = [0];
  const stackNumbers = new Map<string, number>();
  const push = (top: number, count: number, stack: number): number => {
    const key = `${stack} ${top} ${count}`;
    let number = stackNumbers.get(key);
    if (number === undefined) {
      number = tops.length;
      tops.push(top);
      counts.push(count);
      below.push(stack);
      depths.push((depths[stack] as number) + 1);
      stackNumbers.set(key, number);
    }
    return number;
  };

  const places: Places[] = [[]]; // by state; 0 is none
  const ending: boolean[] = [false];
  const splits: (ReturnType<States['split']> | null)[] = [null];
  const stateNumbers = new Map<string, number>();
  let table = new Int32Array(256 * 64); // [state][byte]
  const intern = (found: Places, ends: boolean): number => {
    if (found.length === 0 && !ends) return DEAD;
    const key = `${ends ? 'e' : ''}${found.join()}`;
    let state = stateNumbers.get(key);
    if (state === undefined) {
      state = places.length;
      places.push(found);
      ending.push(ends);
      splits.push(null);
      stateNumbers.set(key, state);
      if (state * 256 >= table.length) {
        const wider = new Int32Array(table.length * 2);
        wider.set(table);
        table = wider;
      }
    }
    return state;
  };

  /** The state of all places that can be reached from these without reading; a count says how often a loop has been through. */
  const close = (from: Iterable<readonly [node: number, stack: number, count: number]>): number => {
    const seen = new Set<string>();
    const found: [number, number][] = [];
    let ends = false;
    const open = [...from];
    for (let at = open.pop(); at; at = open.pop()) {
      const [index, stack, count] = at;
      const { free, bytes, call, loop, end } = nodes[index]!;
      const key = `${index} ${stack} ${loop ? count : 0}`;
      if (seen.has(key)) continue;
      seen.add(key);
      if (bytes.length > 0) found.push([index, stack]);
      for (const target of free) open.push([target, stack, 0]);
      if (call) open.push([call[0], call[1] < 0 ? stack : push(call[1], 0, stack), 0]);
      if (loop) {
        if (count === ANY || count >= loop.least) open.push([loop.exit, stack, 0]);
        if (count < loop.most) open.push([loop.start, push(index, countOn(count, loop), stack), 0]);
      }
      if (end && stack === BOTTOM) ends = true;
      else if (end) open.push([tops[stack] as number, below[stack] as number, counts[stack] as number]);
    }
    found.sort(([a, x], [b, y]) => a - b || x - y);
    return intern(found.flat(), ends);
  };

  /** Follows a byte, and all those around it that no range tells apart from it. */
  const follow = (state: number, byte: number): void => {
    const targets: [number, number, number][] = [];
    let [low, high] = [0, 255];
    const from = places[state] as Places;
    for (let i = 0; i < from.length; i += 2) {
      const { bytes } = nodes[from[i] as number]!;
      for (let b = 0; b < bytes.length; b += 3) {
        const [first, last] = [bytes[b] as number, bytes[b + 1] as number];
        if (byte < first) high = Math.min(high, first - 1);
        else if (byte > last) low = Math.max(low, last + 1);
        else {
          targets.push([bytes[b + 2] as number, from[i + 1] as number, 0]);
          low = Math.max(low, first);
          high = Math.min(high, last);
        }
      }
    }
    const next = targets.length === 0 ? DEAD : close(targets);
    table.fill(next, state * 256 + low, state * 256 + high + 1); // the table may be another one by now
  };

  /** The deepest stack that all of these rest on. */
  const commonStack = (from: Places): number => {
    let common = from[1] as number;
    for (let i = 3; i < from.length; i += 2) {
      let other = from[i] as number;
      while (common !== other) {
        if ((depths[common] as number) >= (depths[other] as number)) common = below[common] as number;
        else other = below[other] as number;
      }
    }
    return common;
  };

  /** The part of a stack above `base`, resting on nothing. */
  const cut = (stack: number, base: number): number =>
    stack === base ? BOTTOM : push(tops[stack] as number, counts[stack] as number, cut(below[stack] as number, base));

  /** The state in which it goes on where a stack says. */
  const resume = (stack: number): number =>
    close([[tops[stack] as number, below[stack] as number, counts[stack] as number]]);

  /** A state cut off from the stack that all of its places rest on. */
  const cutOff = (from: Places, base: number): number => {
    const inner: [number, number][] = [];
    for (let i = 0; i < from.length; i += 2) inner.push([from[i] as number, cut(from[i + 1] as number, base)]);
    inner.sort(([a, x], [b, y]) => a - b || x - y);
    return intern(inner.flat(), false);
  };

  const divide = (state: number): ReturnType<States['split']> => {
    const from = places[state] as Places;
    if (ending[state] || from.length === 0) return undefined;
    const base = commonStack(from);
    if (base === BOTTOM) return undefined;
    const inner = cutOff(from, base);
    const loop = nodes[tops[base] as number]?.loop;
    // between two times through a counted loop its inside is not one time, a character, but all that are left
    if (loop && loop.most !== Number.POSITIVE_INFINITY && inner === close([[loop.start, BOTTOM, 0]])) {
      const around = below[base] as number;
      return around === BOTTOM ? undefined : { inner: cutOff(from, around), outer: resume(around) };
    }
    return { inner, outer: resume(base) };
  };

  /** The stack at which a loop of this node is, looking from the top; undefined when it is in none. */
  const findLoop = (stack: number, loop: number, count: number): number | undefined => {
    for (let at = stack; at !== BOTTOM; at = below[at] as number)
      if (tops[at] === loop && counts[at] === count) return at;
    return undefined;
  };
  /** The topmost loop on a stack whose count is known. */
  const topLoop = (stack: number): number | undefined => {
    for (let at = stack; at !== BOTTOM; at = below[at] as number)
      if (nodes[tops[at] as number]?.loop && counts[at] !== ANY) return at;
    return undefined;
  };
  const withoutCount = (stack: number, loop: number): number =>
    stack === loop
      ? push(tops[loop] as number, ANY, below[loop] as number)
      : push(tops[stack] as number, counts[stack] as number, withoutCount(below[stack] as number, loop));

  const findCounted = (state: number): Counted | undefined => {
    const from = places[state] as Places;
    let at: number | undefined; // the loop's stack
    const inside: [number, number][] = [];
    const outside: number[] = [];
    for (let i = 0; i < from.length; i += 2) {
      const [index, stack] = [from[i] as number, from[i + 1] as number];
      const found = topLoop(stack);
      if (found === undefined) outside.push(index, stack);
      else if (at !== undefined && at !== found) return undefined;
      else {
        at = found;
        inside.push([index, withoutCount(stack, found)]);
      }
    }
    if (at === undefined || topLoop(below[at] as number) !== undefined) return undefined;
    const loop = tops[at] as number;
    const { least, most } = nodes[loop]!.loop as Loop;
    if (most === Number.POSITIVE_INFINITY) return undefined;
    inside.sort(([a, x], [b, y]) => a - b || x - y);
    const between = close([[loop, below[at] as number, ANY]]);
    const done = (counts[at] as number) - 1;
    const [entry, exit]: [number[], number[]] = [[], []];
    const ofBetween = places[between] as Places;
    for (let i = 0; i < ofBetween.length; i += 2) {
      const [index, stack] = [ofBetween[i] as number, ofBetween[i + 1] as number];
      (findLoop(stack, loop, ANY) === undefined ? exit : entry).push(index, stack);
    }
    const isBetween = entry.join() === inside.flat().join();
    const wanted = isBetween && done >= least ? exit : [];
    if (outside.join() !== wanted.join() || ending[state] !== (isBetween && done >= least && ending[between]))
      return undefined;
    return { loop, least, most, done, start: isBetween ? between : intern(inside.flat(), false), between };
  };

  return {
    start: close([[start, BOTTOM, 0]]),
    next(state, byte) {
      if (table[state * 256 + byte] === UNKNOWN) follow(state, byte);
      return table[state * 256 + byte] as number;
    },
    ends: (state) => ending[state] as boolean,
    isOver: (state) => (places[state] as Places).length === 0,
    split(state) {
      if (splits[state] === null) splits[state] = divide(state);
      return splits[state] as ReturnType<States['split']>;
    },
    counted: findCounted,
    stageOf(state, { loop, between }) {
      if (state === between) return 'between';
      const from = places[state] as Places;
      let inside = 0;
      for (let i = 1; i < from.length; i += 2) if (findLoop(from[i] as number, loop, ANY) !== undefined) inside++;
      if (inside === 0) return 'behind';
      return 2 * inside === from.length && !ending[state] ? 'within' : 'unclear';
    },
    get count() {
      return places.length;
    },
  };
}
