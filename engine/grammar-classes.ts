/**
 * Bytes in classes that grammars mostly tell apart, as bits, so that all tokens below a node of the trie are allowed at once
 * where none of their bytes leads a grammar elsewhere: in a string, most of the vocabulary.
 */
import { LAST_CODE_POINT } from './grammar.ts';
import { utf8Ranges } from './grammar-automaton.ts';
import type { States } from './grammar-states.ts';

/** ASCII; what is in none of these is in the last class. */
const SIGNS: readonly string[] = [
  ...['abcdef', 'ghijklmnopqrstuvwxyz', 'ABCDEF', 'GHIJKLMNOPQRSTUVWXYZ', '0123456789', ' ', '\n', '\t\r'],
  ...['"', "'", '`', '\\', '/', ',', ':', ';', '{', '}', '[', ']', '(', ')', '<', '>', '=', '-', '_', '.', '+'],
  '!#$%&*?@^|~',
];
/** Bytes of other characters, each at its place in one. */
const CHARACTERS = 1 << SIGNS.length;
const OTHERS = 1 << (SIGNS.length + 1);
/** [byte] its class, for a byte by itself. */
const CLASSES = Int32Array.from({ length: 256 }, (_, byte) => {
  const found = SIGNS.findIndex((signs) => signs.includes(String.fromCharCode(byte)));
  return found < 0 ? OTHERS : 1 << found;
});
/** Byte ranges of all characters beyond ASCII. */
const SEQUENCES = utf8Ranges([[0x80, LAST_CODE_POINT]]);

/** Classes of the bytes below each node of a trie in depth-first order. */
export function classesBelow(bytes: Uint8Array, depths: Uint16Array, longest: number): Int32Array {
  const classes = new Int32Array(bytes.length);
  // by depth, along the path: ways in which a character that has begun may go on
  const begun: (typeof SEQUENCES)[] = [[]];
  for (let node = 1; node < bytes.length; node++) {
    const depth = depths[node] as number;
    const byte = bytes[node] as number;
    const open = begun[depth - 1] as typeof SEQUENCES;
    const ways =
      byte < 0x80
        ? []
        : (open.length > 0 ? open : SEQUENCES).filter(([range]) => range && byte >= range[0] && byte <= range[1]);
    begun[depth] = ways.map(([, ...rest]) => rest).filter((rest) => rest.length > 0);
    classes[node] = ways.length > 0 ? CHARACTERS : open.length > 0 ? OTHERS : (CLASSES[byte] as number);
  }
  const below = new Int32Array(bytes.length);
  const found = new Int32Array(longest + 2); // by depth, of the nodes below the one that comes next
  for (let node = bytes.length - 1; node > 0; node--) {
    const depth = depths[node] as number;
    below[node] = found[depth + 1] as number;
    found[depth + 1] = 0;
    found[depth] = (found[depth] as number) | (below[node] as number) | (classes[node] as number);
  }
  return below;
}

/** Classes of which no byte, and no whole character, leads away from a state. */
export function classesKept(states: States, state: number): number {
  let kept = -1;
  for (let byte = 0; byte < 256; byte++) if (states.next(state, byte) !== state) kept &= ~(CLASSES[byte] as number);
  return SEQUENCES.every((ranges) => comesBack(states, state, ranges)) ? kept : kept & ~CHARACTERS;
}

/** Whether all characters of a sequence of byte ranges lead from a state back to it. */
function comesBack(states: States, state: number, ranges: (typeof SEQUENCES)[number]): boolean {
  let at = state;
  for (const [first, last] of ranges) {
    const next = states.next(at, first);
    for (let byte = first; byte <= last; byte++) if (states.next(at, byte) !== next) return false;
    if (next < 0) return false;
    at = next;
  }
  return at === state;
}
