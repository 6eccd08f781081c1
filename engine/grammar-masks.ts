/**
 * Which tokens a grammar allows in a state, as a bit mask. A token is allowed only if the grammar can read all of its bytes.
 *
 * What makes this quick: most states differ only in what surrounds them. Inside a JSON string nearly all tokens are allowed
 * whatever the string belongs to, so they are found once for the inside alone, together with the places in the trie of tokens
 * where the inside ends; only the few tokens that go on behind such a place are tried for each surrounding. Where the inside
 * counts, as a string of at most 40 characters does, it is looked at without the count, and how often each token goes through
 * the loop is remembered.
 */
import { FirstlightError } from '../quant/errors.ts';
import { classesKept } from './grammar-classes.ts';
import { type Counted, DEAD, type Stage, type States } from './grammar-states.ts';
import type { TokenTrie } from './grammar-trie.ts';

/** Masks that are kept; of 128 k tokens each has 16 KiB. */
const MOST_MASKS = 1024;

/** Nodes below one from which on it is asked whether all of them do. */
const WORTH_A_LOOK = 64;

/** What a part of a grammar does by itself. */
interface Inside {
  /** Tokens that it can read, be it to its end. */
  readonly mask: Uint32Array;
  /** Nodes of the trie at which it may end while tokens go on. */
  readonly exits: readonly number[];
}

/** The same for a loop, however often it has been through before. */
interface Counting {
  /** Tokens that stay in the loop, by how often they need to go through it, and all of them as a mask. */
  readonly staying: readonly (readonly number[])[];
  readonly mask: Uint32Array;
  /** Tokens and exits behind the loop, and how often they have been through. */
  readonly behind: readonly (readonly [id: number, times: number])[];
  readonly exits: readonly (readonly [node: number, times: number])[];
}

/** The mask of a state, [ceil(vocab / 32)]; it must not be changed. Throws `bad-argument` where no token would do. */
export function createMasks(
  states: States,
  trie: TokenTrie,
  eos: readonly number[],
  vocab: number,
): (state: number) => Uint32Array {
  const words = Math.ceil(vocab / 32);
  const masks = new Map<number, Uint32Array>();
  const insides = new Map<number, Inside>();
  const countings = new Map<number, Counting | undefined>();
  // along the path to the node that is looked at, by depth
  const stateAt = new Int32Array(trie.longest + 1);
  const timesAt = new Uint16Array(trie.longest + 1);

  const kept: (number | undefined)[] = []; // by state
  const keptAt = (state: number): number => {
    kept[state] ??= classesKept(states, state);
    return kept[state];
  };

  /** Tries the tokens below a node from a state on; tells of nodes at which the part ends while tokens go on. */
  const walk = (from: number, state: number, mask: Uint32Array, onExit?: (node: number) => void): void => {
    const { bytes, depths, ends, firsts, ids, below } = trie;
    const last = ends[from] as number;
    stateAt[depths[from] as number] = state;
    for (let node = from + 1; node < last; ) {
      const depth = depths[node] as number;
      const next = states.next(stateAt[depth - 1] as number, bytes[node] as number);
      if (next === DEAD) {
        node = ends[node] as number;
        continue;
      }
      const end = ends[node] as number;
      const exits = onExit !== undefined && node + 1 < end && states.ends(next);
      // all tokens below at once, where none of their bytes leads away
      const isPlain = end - node > WORTH_A_LOOK && !exits && ((below[node] as number) & ~keptAt(next)) === 0;
      const beyond = isPlain ? end : node + 1;
      for (let i = firsts[node] as number; i < (firsts[beyond] as number); i++) allow(mask, ids[i] as number);
      if (exits) onExit(node);
      stateAt[depth] = next;
      node = beyond;
    }
  };

  /** Undefined when it cannot be told how often a text has been through the loop. */
  const count = (counted: Counted): Counting | undefined => {
    const { bytes, depths, ends, firsts, ids } = trie;
    const staying: number[][] = [];
    const mask = new Uint32Array(words);
    const behind: [number, number][] = [];
    const exits: [number, number][] = [];
    const stages: (Stage | undefined)[] = []; // by state
    const stageOf = (state: number): Stage => {
      let stage = stages[state];
      if (stage === undefined) {
        stage = states.stageOf(state, counted);
        stages[state] = stage;
      }
      return stage;
    };
    stateAt[0] = counted.start;
    timesAt[0] = 0;
    for (let node = 1; node < trie.nodes; ) {
      const depth = depths[node] as number;
      const before = stateAt[depth - 1] as number;
      const next = states.next(before, bytes[node] as number);
      if (next === DEAD) {
        node = ends[node] as number;
        continue;
      }
      const stage = stageOf(next);
      if (stage === 'unclear' || (stage !== 'behind' && stageOf(before) === 'behind')) return undefined;
      const times = (timesAt[depth - 1] as number) + (stage === 'between' ? 1 : 0);
      stateAt[depth] = next;
      timesAt[depth] = times;
      for (let i = firsts[node] as number; i < (firsts[node + 1] as number); i++) {
        const id = ids[i] as number;
        if (stage === 'behind') {
          behind.push([id, times]);
          continue;
        }
        const needed = times + (stage === 'within' ? 1 : 0);
        while (staying.length <= needed) staying.push([]);
        staying[needed]!.push(id);
        allow(mask, id);
      }
      if (node + 1 < (ends[node] as number) && states.ends(next)) exits.push([node, times]);
      node++;
    }
    return { staying, mask, behind, exits };
  };

  const countingOf = (counted: Counted): Counting | undefined => {
    if (!countings.has(counted.start)) remember(countings, counted.start, count(counted));
    return countings.get(counted.start);
  };

  const insideOfLoop = ({ staying, mask, behind, exits }: Counting, { least, most, done }: Counted): Inside => {
    const room = most - done;
    const fits = ([, times]: readonly [number, number]) => times <= room && done + times >= least;
    // few tokens go through the loop very often, so it is mostly quicker to take these out
    const [within, beyond] = [staying.slice(0, room + 1), staying.slice(room + 1)];
    const takeOut = sizeOf(beyond) < sizeOf(within);
    const inside = takeOut ? mask.slice() : new Uint32Array(words);
    for (const list of takeOut ? beyond : within) for (const id of list) flip(inside, id);
    for (const one of behind) if (fits(one)) allow(inside, one[0]);
    return { mask: inside, exits: exits.filter(fits).map(([node]) => node) };
  };

  const insideOf = (state: number): Inside => {
    const known = insides.get(state);
    if (known) return known;
    const counted = states.counted(state);
    const counting = counted && countingOf(counted);
    if (counted && counting) return insideOfLoop(counting, counted);
    const exits: number[] = [];
    const mask = new Uint32Array(words);
    walk(0, state, mask, (node) => exits.push(node));
    const inside = { mask, exits };
    remember(insides, state, inside);
    return inside;
  };

  const makeMask = (state: number): Uint32Array => {
    const parts = states.split(state);
    const { mask, exits } = insideOf(parts?.inner ?? state);
    const whole = mask.slice();
    if (parts) for (const node of exits) walk(node, parts.outer, whole);
    if (states.ends(state)) for (const id of eos) allow(whole, id);
    if (whole.every((word) => word === 0))
      throw new FirstlightError(
        'bad-argument',
        'the grammar asks for a text that this vocabulary has no tokens for: allow other characters',
      );
    return whole;
  };

  return (state) => {
    let mask = masks.get(state);
    if (!mask) {
      mask = makeMask(state);
      remember(masks, state, mask);
    }
    return mask;
  };
}

function sizeOf(lists: readonly (readonly number[])[]): number {
  return lists.reduce((sum, list) => sum + list.length, 0);
}

function allow(mask: Uint32Array, id: number): void {
  mask[id >>> 5] = (mask[id >>> 5] as number) | (1 << (id & 31));
}

function flip(mask: Uint32Array, id: number): void {
  mask[id >>> 5] = (mask[id >>> 5] as number) ^ (1 << (id & 31));
}

/** Keeps a value, and forgets the oldest when there are too many. */
function remember<T>(values: Map<number, T>, key: number, value: T): void {
  if (values.size >= MOST_MASKS) values.delete(values.keys().next().value as number);
  values.set(key, value);
}
