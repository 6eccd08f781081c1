/** Kernels compiled for the Steam Deck must not become worse; and the comparison must notice if they do. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { compareFigures, compileDeck, hasDeckCompiler, readFigures } from '../deck.ts';

const test = suite('deck');

test('the comparison notices spills, more instructions, more registers, fewer waves, and kernels that come or go', () => {
  const before = { a: { valuPerWeight: 0.8, vgprs: 48, waves: 10, spills: 0 } };
  const worse = (change: object) => compareFigures({ a: { ...before.a, ...change } }, before);
  assert.equal(worse({}), []);
  assert.equal(worse({ valuPerWeight: 0.7, vgprs: 56 }), []);
  assert.match(worse({ spills: 1 }).join(), 'spills');
  assert.match(worse({ valuPerWeight: 0.81 }).join(), 'instructions');
  assert.match(worse({ vgprs: 57 }).join(), 'registers');
  assert.match(worse({ waves: 9 }).join(), 'waves');
  assert.match(compareFigures({ ...before, b: before.a }, before).join(), 'b is not in');
  assert.match(compareFigures({}, before).join(), 'a is no longer');
});

const compiled = hasDeckCompiler() ? test : test.skip;
if (!hasDeckCompiler()) console.log('deck.test.ts: 2 tests skipped, no compiler for the Deck');

compiled('no kernel of Llama-2-7B decode is worse on Van Gogh than the checked-in figures', async () => {
  assert.equal(compareFigures(await compileDeck(), readFigures()), []);
});

compiled('on NAVI31 nothing spills', async () => {
  for (const [label, { spills }] of Object.entries(await compileDeck('NAVI31'))) assert.is(spills, 0, label);
});

test.run();
