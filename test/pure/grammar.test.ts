/** Grammars: what GBNF says, and that masks allow exactly the tokens that the grammar can read, by a slow reader of its own. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { isAllowed } from '../../engine/edits.ts';
import {
  characters,
  checkGrammar,
  choice,
  complement,
  type Expression,
  type Grammar,
  intersect,
  type Range,
  repeat,
  rule,
  sequence,
  text,
} from '../../engine/grammar.ts';
import { compileAutomaton, utf8Ranges } from '../../engine/grammar-automaton.ts';
import { prepareGrammar } from '../../engine/grammar-constraint.ts';
import { parseGbnf } from '../../engine/grammar-gbnf.ts';
import { JSON_GRAMMAR } from '../../engine/grammar-json.ts';
import { createStates, DEAD } from '../../engine/grammar-states.ts';
import { buildTrie } from '../../engine/grammar-trie.ts';
import { createRandom, type Random } from '../kernel.ts';
import { jsonVocabulary, tokenizerOf } from '../words.ts';
import { expectError } from './expect-error.ts';

const test = suite('grammar');

/** What is still to be read: expressions, or a character of which some bytes are there. */
type Rest = readonly (
  | Expression
  | { readonly kind: 'begun'; readonly bytes: readonly number[]; readonly ranges: readonly Range[] }
)[];

/** Reads byte by byte, by the definitions: all ways to go on, each a list of what is left. */
function createReader({ root, rules }: Grammar) {
  const key = (rest: Rest) => JSON.stringify(rest, (_, value) => (value === Number.POSITIVE_INFINITY ? 'inf' : value));
  const expand = (all: readonly Rest[]): Rest[] => {
    const done = new Map<string, Rest>();
    const seen = new Set<string>();
    const open = [...all];
    for (let rest = open.pop(); rest; rest = open.pop()) {
      if (seen.has(key(rest))) continue;
      seen.add(key(rest));
      const [first, ...more] = rest;
      if (
        !first ||
        first.kind === 'begun' ||
        first.kind === 'characters' ||
        (first.kind === 'text' && first.text !== '')
      )
        done.set(key(rest), rest);
      else if (first.kind === 'text') open.push(more);
      else if (first.kind === 'sequence') open.push([...first.parts, ...more]);
      else if (first.kind === 'choice') for (const part of first.parts) open.push([part, ...more]);
      else if (first.kind === 'rule') open.push([rules.get(first.name)!, ...more]);
      else {
        if (first.least === 0) open.push(more);
        if (first.most > 0)
          open.push([first.part, { ...first, least: Math.max(0, first.least - 1), most: first.most - 1 }, ...more]);
      }
    }
    return [...done.values()];
  };
  const step = (all: readonly Rest[], byte: number): Rest[] => {
    const next: Rest[] = [];
    for (const [first, ...more] of all) {
      if (!first) continue;
      if (first.kind === 'text') {
        const bytes = Buffer.from(first.text);
        if (bytes[0] !== byte) continue;
        // the rest of a text may begin within a character
        next.push([...Array.from(bytes.subarray(1), (one) => begun([one], [[-1, -1]])), ...more]);
      } else if (first.kind === 'characters') next.push(...beginCharacter([byte], first.ranges, more));
      else if (first.kind === 'begun') {
        if (first.ranges[0]?.[0] === -1) {
          if (first.bytes[0] === byte) next.push(more);
        } else next.push(...beginCharacter([...first.bytes, byte], first.ranges, more));
      }
    }
    return expand(next);
  };
  return { start: expand([[rule(root)]]), step, ends: (all: readonly Rest[]) => all.some((rest) => rest.length === 0) };
}

const begun = (bytes: readonly number[], ranges: readonly Range[]) => ({ kind: 'begun' as const, bytes, ranges });

function beginCharacter(bytes: readonly number[], ranges: readonly Range[], more: Rest): Rest[] {
  let isOpen = false;
  for (const [first, last] of ranges)
    for (let code = first; code <= last; code++) {
      const encoded = Buffer.from(String.fromCodePoint(code));
      if (bytes.some((byte, i) => encoded[i] !== byte)) continue;
      if (encoded.length === bytes.length) return [more];
      isOpen = true;
    }
  return isOpen ? [[begun(bytes, ranges), ...more]] : [];
}

const LETTERS: readonly Range[] = [
  [0x61, 0x63],
  [0xe9, 0xea],
  [0x4e2d, 0x4e2e],
];

function randomExpression(random: Random, depth: number): Expression {
  const part = () => randomExpression(random, depth - 1);
  switch (random.below(depth > 0 ? 8 : 3)) {
    case 0:
      return text(['a', 'b', 'ab', '\u00e9', 'c\u4e2d', ''][random.below(6)]!);
    case 1:
      return characters(...LETTERS.slice(0, 1 + random.below(3)));
    case 2:
      return rule(`r${random.below(3)}`);
    case 3:
    case 4:
      return sequence(part(), part(), ...(random.below(2) ? [part()] : []));
    case 5:
      return choice(part(), part());
    case 6: {
      const least = random.below(3);
      return repeat(part(), least, random.below(2) ? Number.POSITIVE_INFINITY : least + random.below(3));
    }
    default: {
      const least = random.below(12);
      return repeat(characters(...LETTERS.slice(0, 1 + random.below(3))), least, least + random.below(14));
    }
  }
}

function randomGrammar(random: Random): Grammar | undefined {
  const rules = new Map([0, 1, 2].map((i) => [`r${i}`, randomExpression(random, 3)]));
  const grammar = { root: 'r0', rules };
  try {
    checkGrammar(grammar);
    return grammar;
  } catch {
    return undefined;
  }
}

/** Single bytes, whole characters, runs, and bytes that no character has. */
const TOKENS = [
  ...[
    'a',
    'b',
    'c',
    'ab',
    'ba',
    'aaa',
    'abc',
    'cab',
    'bbbbbb',
    'aaaaaaaaaaaa',
    '\u00e9',
    '\u00ea',
    '\u4e2d',
    '\u4e2e',
    'a\u00e9',
    '\u4e2da\u4e2e',
  ],
  ...[
    [0xc3],
    [0xa9],
    [0xaa],
    [0xe4],
    [0xb8],
    [0xad],
    [0xae],
    [0xe4, 0xb8],
    [0xb8, 0xad],
    [0x61, 0xc3],
    [0xa9, 0x62],
    [0xff],
  ].map((bytes) => Uint8Array.from(bytes)),
];

test('masks allow exactly what the grammar can read, in random grammars', () => {
  const tokenizer = tokenizerOf(TOKENS);
  const end = tokenizer.eos[0]!;
  const random = createRandom(77);
  let grammars = 0;
  let states = 0;
  while (grammars < 80) {
    const grammar = randomGrammar(random);
    if (!grammar) continue;
    grammars++;
    const prepared = prepareGrammar(grammar, tokenizer, tokenizer.vocabSize);
    for (let walk = 0; walk < 2; walk++) {
      const reader = createReader(grammar);
      const constraint = prepared.start();
      let rests = reader.start;
      for (let length = 0; length < 10 && rests.length < 24; length++) {
        const after = TOKENS.map((_, id) => {
          let next: Rest[] = rests;
          for (const byte of tokenizer.bytes(id)) next = reader.step(next, byte);
          return next;
        });
        const wanted = [...after.keys()].filter((id) => after[id]!.length > 0);
        if (reader.ends(rests)) wanted.push(end);
        const isOver = rests.every((rest) => rest.length === 0);
        assert.is(constraint.done, isOver, 'nothing may follow');
        if (wanted.length === 0) break; // a text for which there are no tokens
        const mask = constraint.mask();
        const got = Array.from({ length: tokenizer.vocabSize }, (_, id) => id).filter((id) => isAllowed(mask, id));
        assert.equal(got, wanted, `${JSON.stringify([...grammar.rules])} after ${length} tokens`);
        states++;
        for (const id of [0, 5, 20])
          if (!wanted.includes(id)) assert.throws(() => constraint.accept(id), /is not what the grammar allows/);
        const next = wanted[random.below(wanted.length)]!;
        constraint.accept(next);
        if (next === end) {
          assert.ok(constraint.done);
          break;
        }
        rests = after[next]!;
      }
    }
  }
  assert.ok(states > 500, `${states} states compared`);
});

test('tokens of plain text that are allowed all at once are those that the grammar reads byte by byte', () => {
  const random = createRandom(12);
  const pieces = Array.from({ length: 800 }, () => {
    const text = Buffer.from(
      Array.from(
        { length: 1 + random.below(4) },
        () => ['a', '\u00e9', '\u4e2d', '\u{1f600}', '"', 'x'][random.below(6)]!,
      ).join(''),
    );
    const from = random.below(3);
    return text.subarray(from, Math.max(from + 1, text.length - random.below(3))); // characters cut at both ends
  });
  const broken = Array.from({ length: 300 }, () =>
    Uint8Array.from(
      { length: 1 + random.below(5) },
      () => [0x61, 0xc3, 0xa9, 0xe4, 0xb8, 0xed, 0xa0, 0xf4, 0x90, 0xff][random.below(10)]!,
    ),
  );
  const tokens = [...jsonVocabulary(4000, random), ...pieces.filter(({ length }) => length > 0), ...broken];
  const tokenizer = tokenizerOf(tokens);
  let allowed = 0;
  for (const grammar of [
    JSON_GRAMMAR,
    parseGbnf('root ::= "<" [^"<]* ">" root?'),
    parseGbnf(String.raw`root ::= [a-z \u00e9-\u00ff]* "."`),
    parseGbnf(String.raw`root ::= [\u0080-\U0010FFFF]+ "a"`),
    parseGbnf(String.raw`root ::= ([a-zA-Z0-9 ] | [\u0080-\uFFFF])* "."`),
  ]) {
    const constraint = prepareGrammar(grammar, tokenizer, tokenizer.vocabSize).start();
    const states = createStates(compileAutomaton(grammar));
    let state = states.start;
    for (let step = 0; step < 40 && !constraint.done; step++) {
      const mask = constraint.mask();
      const after = tokens.map((bytes) =>
        bytes.reduce((at, byte) => (at === DEAD ? at : states.next(at, byte)), state),
      );
      const wrong = after.findIndex((next, id) => isAllowed(mask, id) !== (next !== DEAD));
      assert.is(wrong, -1, `${[...(tokens[wrong] ?? [])]} in state ${state}`);
      allowed += after.filter((next) => next !== DEAD).length;
      const wanted = [...after.keys()].filter((id) => after[id] !== DEAD);
      const id = wanted[random.below(wanted.length)]!;
      constraint.accept(id);
      state = after[id]!;
    }
  }
  assert.ok(allowed > 50_000, `${allowed} tokens`);
});

test('in a counted loop what is left of it is looked at as a whole, the same whatever has been read', () => {
  const states = createStates(compileAutomaton(parseGbnf('root ::= "<" [a-z]{20,300} ">"')));
  const after = (text: string) =>
    [...Buffer.from(text)].reduce((state, byte) => states.next(state, byte), states.start);
  const starts = new Set<number>();
  for (const done of [1, 7, 19, 20, 150]) {
    const state = after(`<${'a'.repeat(done)}`);
    const counted = states.counted(states.split(state)?.inner ?? state);
    assert.equal([counted?.least, counted?.most, counted?.done], [20, 300, done]);
    starts.add(counted!.start);
  }
  assert.is(starts.size, 1);
});

test('UTF-8 of ranges is what encoding each character gives', () => {
  const ranges: readonly (readonly Range[])[] = [
    [[0, 0x10ffff]],
    [
      [0x7e, 0x81],
      [0x7f0, 0x810],
    ],
    [[0xfff0, 0x10010]],
    [[0xd7f0, 0xe010]],
    [[0x900, 0x3456]],
  ];
  for (const wanted of ranges) {
    const sequences = utf8Ranges(wanted);
    const has = (bytes: Uint8Array) =>
      sequences.some(
        (one) => one.length === bytes.length && one.every(([low, high], i) => bytes[i]! >= low && bytes[i]! <= high),
      );
    const step = wanted[0]![1] > 0x20000 ? 37 : 1;
    for (const [first, last] of wanted)
      for (let code = Math.max(0, first - 20); code <= Math.min(last + 20, 0x10ffff); code += step) {
        if (code >= 0xd800 && code < 0xe000) continue;
        const inside = wanted.some(([from, to]) => code >= from && code <= to);
        assert.is(has(Buffer.from(String.fromCodePoint(code))), inside, code.toString(16));
      }
    assert.not.ok(has(Uint8Array.of(0xed, 0xa0, 0x80)), 'no surrogates');
    assert.not.ok(has(Uint8Array.of(0xc0, 0x80)), 'nothing longer than it must be');
  }
});

test('sets of ranges', () => {
  assert.equal(
    complement([
      [5, 7],
      [0, 2],
    ]),
    [
      [3, 4],
      [8, 0x10ffff],
    ],
  );
  assert.equal(complement([[0, 0x10ffff]]), []);
  assert.equal(
    intersect(
      [
        [1, 5],
        [8, 9],
      ],
      [[4, 8]],
    ),
    [
      [4, 5],
      [8, 8],
    ],
  );
});

test('the trie has every token where its bytes lead', () => {
  const random = createRandom(3);
  const tokens = jsonVocabulary(2000, random).map((bytes, id) => [bytes, id] as const);
  const trie = buildTrie([...tokens, [tokens[300]![0], 5000]]); // one twice
  const found = new Map<string, number[]>();
  const path: number[] = [];
  for (let node = 1; node < trie.nodes; node++) {
    path.length = trie.depths[node]! - 1;
    path.push(trie.bytes[node]!);
    const ids = [...trie.ids.subarray(trie.firsts[node]!, trie.firsts[node + 1]!)];
    if (ids.length > 0) found.set(path.join(), ids);
    assert.ok(trie.ends[node]! > node && trie.ends[node]! <= trie.nodes);
  }
  for (const [bytes, id] of tokens) assert.equal(found.get([...bytes].join()), id === 300 ? [300, 5000] : [id]);
  assert.is(found.size, tokens.length);
});

/** Whether GBNF reads a text to its end, and whether more may follow. */
function reads(source: string, what: string): 'no' | 'part' | 'whole' {
  const reader = createReader(parseGbnf(source));
  let rests = reader.start;
  for (const byte of Buffer.from(what)) rests = reader.step(rests, byte);
  return rests.length === 0 ? 'no' : reader.ends(rests) ? 'whole' : 'part';
}

test('GBNF: texts, sets, groups, repetitions, comments, rules over several lines', () => {
  const source = String.raw`
# a list of names
root ::= item ("," ws
  item)*   # at least one
item ::= [A-Z] [a-z]{2,4}
  | "\x41\u00e9\"" "!"? | [^a-zA-Z0-9\]\-\n] . | (("x" | "y"){2} | "z"+){1,}
ws::=" "*
`;
  for (const whole of ['Anna', 'Bob, Carl,Ada', 'A\u00e9"', 'A\u00e9"!', '?\u4e2d', 'xy', 'yyzzz,xx'])
    assert.is(reads(source, whole), 'whole', whole);
  for (const part of ['A', 'Bob,', 'x', '?']) assert.is(reads(source, part), 'part', part);
  for (const none of ['a', 'Annabel', ']a', '-a', 'xyx!', 'Bob;']) assert.is(reads(source, none), 'no', none);
  assert.is(reads('root ::= "a"{3}', 'aaa'), 'whole');
  assert.is(reads('root ::= "a"{3}', 'aaaa'), 'no');
  assert.is(reads('root ::= [a-]+ [\\]]', 'a-a]'), 'whole');
  assert.is(reads('root ::= | "x"', ''), 'whole');
});

const WRONG: readonly (readonly [source: string, message: RegExp])[] = [
  ['', /has no rule "root"/],
  ['root ::= other', /calls the rule "other" in "root"/],
  ['root ::= "a', /line 1, column 12: .* ends within quotes/],
  ['root ::= [z-a]', /column 10: the range runs backwards/],
  ['root ::= "a" )', /the line should end here, not go on with "\)"/],
  ['root ::= ("a"', /\) should be here, not the end/],
  ['root = "a"', /::= should be here, not "="/],
  ['root ::= "a"\nroot ::= "b"', /line 2, column 1: the rule root is there twice/],
  ['root ::= "a"{2,1}', /the most is below the least/],
  ['root ::= "a"{2', /} should be here/],
  ['root ::= "a"{200000}', /100000 times is the most/],
  ['root ::= "\\q"', /unknown escape \\q/],
  ['root ::= "\\u12"', /\\u needs 4 hexadecimal digits/],
  ['root ::= <think>', /tokens by name or number are not supported/],
  ['root ::= root "a" | "b"', /left recursive rule "root" \(root > root\)/],
  ['root ::= a\na ::= "x"? root "y" | "z"', /left recursive rule "root" \(root > a > root\)/],
  ['root ::= "a" root', /"root", which no text can ever end/],
  ['root ::= ("a"?){20}', /counts something that may be empty/],
  ['root ::= [^\\x00-\\U0010FFFF]', /the set has no characters/],
  [`root ::= ${'('.repeat(300)}"a"${')'.repeat(300)}`, /nested deeper than 200/],
];
for (const [source, message] of WRONG)
  test(`GBNF that is wrong: ${source.slice(0, 30).replace('\n', ' ')}`, () =>
    expectError(() => parseGbnf(source), 'bad-argument', message));

test('a vocabulary that has no way on is told, not left hanging', async () => {
  const tokenizer = tokenizerOf(['a', 'b']);
  const constraint = prepareGrammar(parseGbnf('root ::= "a" "c"'), tokenizer, 3).start();
  constraint.accept(0);
  await expectError(() => constraint.mask(), 'bad-argument', /this vocabulary has no tokens for/);
});

test('masks of a large vocabulary take a small part of a token', () => {
  const random = createRandom(1);
  const tokenizer = tokenizerOf(jsonVocabulary(128_000, random));
  const prepared = prepareGrammar(JSON_GRAMMAR, tokenizer, tokenizer.vocabSize);
  const times: number[] = [];
  for (let document = 0; document < 4; document++) {
    const constraint = prepared.start();
    for (let token = 0; token < 100 && !constraint.done; token++) {
      const start = performance.now();
      const mask = constraint.mask();
      times.push(performance.now() - start);
      let id = random.below(tokenizer.vocabSize);
      while (!isAllowed(mask, id)) id = (id + 1) % tokenizer.vocabSize;
      constraint.accept(id);
    }
  }
  times.sort((a, b) => a - b);
  // a 7B makes 500 tokens a second at best: 2 ms each. Machines that test are slow and busy, so only the order is asked for.
  const median = times[times.length >> 1]!;
  assert.ok(median < 0.5, `median ${median.toFixed(3)} ms of ${times.length}`);
});

test.run();
