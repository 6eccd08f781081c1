/** Penalties and biases against their definitions, written out over the whole text for each token; and the edits they become. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { applyEdits, beforeEdits, type Edits, FORBIDDEN } from '../../engine/edits.ts';
import { createPenalties, type Penalties, type TokenFacts } from '../../engine/penalties.ts';
import { createSteering } from '../../engine/steering.ts';
import { createRandom } from '../kernel.ts';
import { expectError } from './expect-error.ts';

const test = suite('penalties');

const VOCAB = 40;
const CONTROL = 3;
const COLON = 7;
const TOKENS: TokenFacts = {
  vocab: VOCAB,
  isControl: (id) => id === CONTROL,
  text: (id) => (id === COLON ? 'so:' : `w${id}`),
};

/** Every definition word by word. */
function wantedLogits(
  logits: Float32Array,
  p: Penalties,
  prompt: readonly number[],
  text: readonly number[],
): number[] {
  const all = [...prompt, ...text];
  const from = Math.max(0, all.length - (p.penaltyTokens ?? all.length));
  const seen = all.slice(from);
  const made = all.slice(Math.max(from, prompt.length));
  return Array.from(logits, (logit, id) => {
    let value = logit;
    const times = id === CONTROL ? 0 : made.filter((one) => one === id).length;
    if (id !== CONTROL && seen.includes(id)) {
      const { repetitionPenalty: r = 1 } = p;
      value = value > 0 ? value / r : value * r;
    }
    if (times > 0) value -= (p.presencePenalty ?? 0) + (p.frequencyPenalty ?? 0) * times;
    value += p.logitBias?.get(id) ?? 0;
    return Math.max(value - dryPenalty(p, all, id), FORBIDDEN);
  });
}

function dryPenalty(p: Penalties, all: readonly number[], id: number): number {
  const { dryMultiplier = 0, dryBase = 1.75, dryAllowedLength = 2, dryBreakers = [':'] } = p;
  const breaks = (token: number) => token === CONTROL || dryBreakers.some((text) => TOKENS.text(token).includes(text));
  if (dryMultiplier === 0 || breaks(id)) return 0;
  let longest = 0;
  for (let end = 0; end + 1 < all.length; end++) {
    if (all[end + 1] !== id) continue;
    let length = 0;
    while (length <= end && all[end - length] === all[all.length - 1 - length] && !breaks(all[end - length]!)) length++;
    longest = Math.max(longest, length);
  }
  return longest < dryAllowedLength ? 0 : dryMultiplier * dryBase ** (longest - dryAllowedLength);
}

const CASES: readonly Penalties[] = [
  { repetitionPenalty: 1.3 },
  { repetitionPenalty: 0.7, penaltyTokens: 5 },
  { presencePenalty: 0.8 },
  { frequencyPenalty: 0.5, penaltyTokens: 9 },
  { repetitionPenalty: 1.1, presencePenalty: -0.4, frequencyPenalty: 0.3, logitBias: new Map([[5, 2.5]]) },
  { dryMultiplier: 0.8 },
  { dryMultiplier: 0.5, dryBase: 1.2, dryAllowedLength: 1, repetitionPenalty: 1.2, penaltyTokens: 12 },
  {
    logitBias: new Map([
      [1, Number.NEGATIVE_INFINITY],
      [30, -3],
      [2, 4],
    ]),
  },
  { logitBias: new Map([[4, 1]]), penaltyTokens: 0, repetitionPenalty: 2 },
];

for (const [i, penalties] of CASES.entries()) {
  test(`as defined: ${JSON.stringify(Object.keys(penalties))} (${i})`, () => {
    const random = createRandom(40 + i);
    for (let round = 0; round < 12; round++) {
      // few tokens, so that there are repetitions
      const token = () => [CONTROL, COLON, 1, 2, 4, 5, 4, 5][random.below(8)]!;
      const prompt = Array.from({ length: 1 + random.below(30) }, token);
      const state = createPenalties(penalties, prompt, TOKENS)!;
      const text: number[] = [];
      for (let step = 0; step < 25; step++) {
        const logits = Float32Array.from({ length: VOCAB }, () => 3 * random.normal());
        const wanted = wantedLogits(logits, penalties, prompt, text);
        const got = logits.slice();
        const edits = state.edits();
        applyEdits(got, edits);
        for (const [id, value] of wanted.entries())
          assert.ok(
            Math.abs(got[id]! - value) <= 1e-5 * Math.max(1, Math.abs(value)),
            `token ${id}: ${got[id]}, ${value}`,
          );
        checkForm(edits);
        for (const id of [1, 5, 17])
          if (got[id]! > FORBIDDEN / 2) assert.ok(Math.abs(beforeEdits(edits, id, got[id]!) - logits[id]!) < 1e-4);
        const next = token();
        state.accept(next);
        text.push(next);
      }
    }
  });
}

/** Ids ascend, and nothing is listed that changes nothing. */
function checkForm({ ids, divisors, biases }: Edits): void {
  for (let i = 0; i < ids.length; i++) {
    if (i > 0) assert.ok(ids[i]! > ids[i - 1]!, 'ascending');
    assert.ok(divisors[i] !== 1 || biases[i] !== 0, 'an edit that edits');
  }
}

test('many different tokens', () => {
  const facts = { ...TOKENS, vocab: 5000, isControl: () => false };
  const state = createPenalties({ presencePenalty: 1 }, [0], facts)!;
  const random = createRandom(1);
  const ids = new Set(Array.from({ length: 3000 }, () => random.below(5000)));
  for (const id of ids) state.accept(id);
  assert.equal(
    [...state.edits().ids],
    [...ids].sort((a, b) => a - b),
  );
});

test('what does not depend on the text is known as such', () => {
  const changes = (penalties: Penalties) => createSteering(penalties, undefined, [1], TOKENS).changes;
  assert.is(changes({}), 'never');
  assert.is(changes({ repetitionPenalty: 1, dryMultiplier: 0, logitBias: new Map() }), 'never');
  assert.is(changes({ logitBias: new Map([[1, 1]]) }), 'once');
  assert.is(changes({ presencePenalty: 0.1 }), 'always');
  const constraint = { mask: () => Uint32Array.of(2, 0), accept() {}, done: false };
  const steering = createSteering({ logitBias: new Map([[1, 1]]) }, constraint, [1], TOKENS);
  assert.is(steering.changes, 'always');
  assert.equal([...steering.edits().mask!], [2, 0]);
});

test('a mask forbids, whatever a bias says', () => {
  const logits = new Float32Array(VOCAB).fill(1);
  const mask = Uint32Array.of(1 << 5, 1);
  applyEdits(logits, { ids: Uint32Array.of(6), divisors: Float32Array.of(1), biases: Float32Array.of(100), mask });
  assert.equal(
    [...logits.keys()].filter((id) => logits[id]! > FORBIDDEN),
    [5, 32],
  );
});

const REFUSED: readonly [Penalties, RegExp][] = [
  [{ repetitionPenalty: 0 }, /^repetitionPenalty is 0: it must be between/],
  [{ presencePenalty: Number.NaN }, /^presencePenalty is NaN/],
  [{ frequencyPenalty: 1000 }, /^frequencyPenalty is 1000/],
  [{ penaltyTokens: -1 }, /^penaltyTokens is -1/],
  [{ penaltyTokens: 1.5 }, /^penaltyTokens is 1.5/],
  [{ dryMultiplier: -1 }, /^dryMultiplier is -1/],
  [{ dryBase: 0.5 }, /^dryBase is 0.5/],
  [{ dryAllowedLength: 0 }, /^dryAllowedLength is 0/],
  [{ dryBreakers: [''] }, /^dryBreakers has an empty text/],
  [{ logitBias: new Map([[40, 1]]) }, /names token 40: ids go from 0 to 39/],
  [{ logitBias: new Map([[1, Number.NaN]]) }, /of token 1 is NaN/],
  [{ logitBias: new Map([[1, Number.POSITIVE_INFINITY]]) }, /of token 1 is Infinity/],
  [{ logitBias: new Map(Array.from({ length: 1025 }, (_, id) => [id, 1])) }, /has 1025 tokens: at most 1024/],
];

for (const [penalties, message] of REFUSED)
  test(`refused: ${message.source.slice(0, 40)}`, () =>
    expectError(() => createPenalties(penalties, [1], TOKENS), 'bad-argument', message));

test.run();
