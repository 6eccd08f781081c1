/** A grammar as a network of nodes over bytes: what one rule reads, and where it calls others. */
import { FirstlightError } from '../quant/errors.ts';
import { type Expression, type Grammar, isCounted, type Range } from './grammar.ts';

/** Larger ones would take seconds and hundreds of MiB. */
const MOST_NODES = 1_000_000;

export interface Node {
  /** Followed without reading; in no circle that reads nothing. */
  readonly free: number[];
  /** Byte ranges: [first, last, target] one after another. */
  readonly bytes: number[];
  /** The first node of the rule that is called, and where to go on after it; -1: nothing is left to do, so nothing is remembered. */
  call: readonly [start: number, back: number] | undefined;
  /** Calls a part so and so often, from `start` on, before it goes on to `exit`. */
  loop: Loop | undefined;
  /** The rule ends here. */
  end: boolean;
}

export interface Loop {
  readonly start: number;
  readonly least: number;
  readonly most: number;
  readonly exit: number;
}

export interface Automaton {
  readonly nodes: readonly Node[];
  /** Of the root rule. */
  readonly start: number;
}

/** @param grammar checked by checkGrammar */
export function compileAutomaton(grammar: Grammar): Automaton {
  const nodes: Node[] = [];
  const add = (): number => {
    if (nodes.length >= MOST_NODES)
      throw new FirstlightError(
        'bad-argument',
        `the grammar needs more than ${MOST_NODES} states: ask for fewer repetitions or a smaller schema`,
      );
    nodes.push({ free: [], bytes: [], call: undefined, loop: undefined, end: false });
    return nodes.length - 1;
  };
  const node = (index: number) => nodes[index] as Node;
  const starts = new Map<string, number>();
  for (const name of grammar.rules.keys()) starts.set(name, add());

  /** Adds what reads `expression` between two nodes. */
  const build = (expression: Expression, from: number, to: number): void => {
    switch (expression.kind) {
      case 'text': {
        let at = from;
        for (const byte of Buffer.from(expression.text)) {
          const next = add();
          node(at).bytes.push(byte, byte, next);
          at = next;
        }
        node(at).free.push(to);
        return;
      }
      case 'characters':
        buildCharacters(expression.ranges, from, to);
        return;
      case 'sequence': {
        let at = from;
        for (const [i, part] of expression.parts.entries()) {
          const next = i + 1 < expression.parts.length ? add() : to;
          build(part, at, next);
          at = next;
        }
        if (expression.parts.length === 0) node(from).free.push(to);
        return;
      }
      case 'choice':
        for (const part of expression.parts) build(part, from, to);
        return;
      case 'repeat': {
        const { part, least, most } = expression;
        if (isCounted(expression)) {
          const loop = add();
          const end = add();
          node(from).free.push(loop);
          node(loop).loop = { start: add(), least, most, exit: to };
          node(end).end = true;
          build(part, nodes.length - 1, end);
          return;
        }
        let at = from;
        for (let i = 0; i < least; i++) {
          const next = add();
          build(part, at, next);
          at = next;
        }
        if (most === Number.POSITIVE_INFINITY) {
          const loop = add();
          node(at).free.push(loop);
          build(part, loop, loop);
          node(loop).free.push(to);
          return;
        }
        for (let i = least; i < most; i++) {
          const next = add();
          node(at).free.push(to);
          build(part, at, next);
          at = next;
        }
        node(at).free.push(to);
        return;
      }
      case 'rule': {
        const caller = add();
        node(from).free.push(caller);
        node(caller).call = [starts.get(expression.name) as number, to];
        return;
      }
    }
  };

  const buildCharacters = (ranges: readonly Range[], from: number, to: number) => {
    // nodes that only continuation bytes lead to `to` from, by how many of them
    const tails = [to];
    const tail = (length: number): number => {
      for (let i = tails.length; i <= length; i++) {
        const index = add();
        node(index).bytes.push(0x80, 0xbf, tails[i - 1] as number);
        tails.push(index);
      }
      return tails[length] as number;
    };
    for (const bytes of utf8Ranges(ranges)) {
      let at = from;
      for (const [i, [first, last]] of bytes.entries()) {
        const rest = bytes.slice(i + 1);
        const open = rest.every(([low, high]) => low === 0x80 && high === 0xbf);
        const next = open ? tail(rest.length) : add();
        node(at).bytes.push(first, last, next);
        if (open) break;
        at = next;
      }
    }
  };

  for (const [name, expression] of grammar.rules) {
    const end = add();
    node(end).end = true;
    build(expression, starts.get(name) as number, end);
  }
  dropLastReturns(nodes);
  return { nodes, start: starts.get(grammar.root) as number };
}

/** A call behind which its rule only ends need not be come back to: else rules that end by calling themselves pile up. */
function dropLastReturns(nodes: readonly Node[]): void {
  const onlyEnds = (index: number, seen = new Set<number>()): boolean => {
    const { free, bytes, call, loop, end } = nodes[index] as Node;
    if (bytes.length > 0 || call || loop || seen.has(index)) return false;
    seen.add(index);
    return end || (free.length === 1 && onlyEnds(free[0] as number, seen));
  };
  for (const node of nodes) if (node.call && onlyEnds(node.call[1])) node.call = [node.call[0], -1];
}

const SURROGATES: Range = [0xd800, 0xdfff];
/** Last code points of one, two, three and four bytes. */
const LENGTHS = [0x7f, 0x7ff, 0xffff, 0x10ffff];

/** The UTF-8 of code point ranges, as sequences of byte ranges; surrogates have none. */
export function utf8Ranges(ranges: readonly Range[]): Range[][] {
  const result: Range[][] = [];
  const split = (first: number, last: number): void => {
    if (first > last) return;
    if (first <= SURROGATES[1] && last >= SURROGATES[0]) {
      split(first, SURROGATES[0] - 1);
      split(SURROGATES[1] + 1, last);
      return;
    }
    for (const end of LENGTHS) {
      if (first <= end && last > end) {
        split(first, end);
        split(end + 1, last);
        return;
      }
    }
    // of one length: whole blocks of 64, 64^2, ... so that the bytes vary independently
    const count = LENGTHS.findIndex((end) => last <= end) + 1;
    for (let tail = 1; tail < count; tail++) {
      const block = 64 ** tail;
      if (Math.floor(first / block) === Math.floor(last / block)) continue;
      if (first % block !== 0) {
        const end = first - (first % block) + block - 1;
        split(first, end);
        split(end + 1, last);
        return;
      }
      if (last % block !== block - 1) {
        const start = last - (last % block);
        split(first, start - 1);
        split(start, last);
        return;
      }
    }
    const [low, high] = [encode(first, count), encode(last, count)];
    result.push(low.map((byte, i): Range => [byte, high[i] as number]));
  };
  for (const [first, last] of ranges) split(first, last);
  return result;
}

function encode(code: number, count: number): number[] {
  if (count === 1) return [code];
  const bytes: number[] = [];
  let rest = code;
  for (let i = 1; i < count; i++) {
    bytes.unshift(0x80 | (rest & 63));
    rest >>= 6;
  }
  return [((0xf00 >> count) & 0xff) | rest, ...bytes];
}
