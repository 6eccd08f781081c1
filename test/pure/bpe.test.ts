/** Merging with a heap against the definition, followed word by word. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createMergeTable, mergeSymbols } from '../../engine/bpe.ts';
import { seededRandom } from '../random.ts';

/** Looks at all neighbours before each join. */
function mergeByDefinition(merges: Int32Array, ranks: Int32Array, symbols: readonly number[]): number[] {
  const current = [...symbols];
  for (;;) {
    let best = -1;
    let bestRank = Number.POSITIVE_INFINITY;
    let joined = 0;
    for (let at = 0; at + 1 < current.length; at++) {
      for (let index = 0; index < ranks.length; index++) {
        const fits = merges[3 * index] === current[at] && merges[3 * index + 1] === current[at + 1];
        if (!fits || ranks[index]! >= bestRank) continue;
        best = at;
        bestRank = ranks[index]!;
        joined = merges[3 * index + 2]!;
      }
    }
    if (best < 0) return current;
    current.splice(best, 2, joined);
  }
}

test('random tables and texts', () => {
  const uniform = seededRandom(7);
  const random = (limit: number) => Math.floor(uniform() * limit);
  let joins = 0;
  for (let round = 0; round < 1500; round++) {
    // Few symbols and ranks make many ties, and pairs that are there twice.
    const symbols = 2 + random(4);
    const count = 1 + random(12);
    const ties = random(2) === 0;
    const merges = Int32Array.from({ length: 3 * count }, (_, index) =>
      index % 3 === 2 ? symbols + Math.floor(index / 3) : random(symbols + Math.floor(index / 3)),
    );
    const ranks = Int32Array.from({ length: count }, (_, index) => (ties ? random(4) : index));
    const text = Array.from({ length: random(40) }, () => random(symbols));
    const merged = mergeSymbols(createMergeTable(merges, ranks), text);
    assert.equal(
      merged,
      mergeByDefinition(merges, ranks, text),
      JSON.stringify({ merges: [...merges], ranks: [...ranks], text }),
    );
    joins += text.length - merged.length;
  }
  assert.ok(joins > 5000, `${joins} joins`);
});

test('small cases', () => {
  const table = createMergeTable(Int32Array.from([0, 1, 2, 1, 0, 3, 2, 2, 4, 1, 1, 5]), Int32Array.from([0, 1, 2, -1]));
  assert.equal(mergeSymbols(table, [0, 1, 0, 1]), [4]);
  assert.equal(mergeSymbols(table, [1, 0, 0]), [3, 0]);
  assert.equal(mergeSymbols(table, [1, 1]), [1, 1], 'a pair of rank -1');
  assert.equal(mergeSymbols(table, []), []);
  assert.equal(mergeSymbols(createMergeTable(new Int32Array(0), new Int32Array(0)), [0, 1]), [0, 1]);
});

test('a table of many pairs finds each', () => {
  const count = 200_000;
  const merges = new Int32Array(3 * count);
  for (let index = 0; index < count; index++)
    merges.set([index % 500, Math.floor(index / 500), 500 + index], 3 * index);
  const table = createMergeTable(
    merges,
    Int32Array.from({ length: count }, (_, index) => index),
  );
  for (let index = 0; index < count; index += 997) {
    assert.equal(mergeSymbols(table, [index % 500, Math.floor(index / 500)]), [500 + index]);
  }
});

test.run();
