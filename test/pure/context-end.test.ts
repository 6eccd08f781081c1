/** What is left out of a text that has become too long. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { chooseDropped, type Dropped, type WhenFull } from '../../engine/context-end.ts';

const test = suite('end of the context');

const CASES: readonly (readonly [
  what: string,
  whenFull: WhenFull,
  keep: number | undefined,
  turns: readonly number[],
  length: number,
  room: number,
  wanted: Dropped | undefined,
])[] = [
  ['the oldest turn is enough', 'drop', undefined, [10, 40, 70], 100, 25, { first: 10, count: 30 }],
  ['two must go', 'drop', undefined, [10, 20, 70], 100, 25, { first: 10, count: 60 }],
  [
    'all but the last, though there is less room then',
    'drop',
    undefined,
    [10, 20, 30],
    105,
    90,
    { first: 10, count: 20 },
  ],
  ['a kept beginning reaches into the turns', 'drop', 20, [10, 40, 70], 100, 25, { first: 20, count: 50 }],
  ['the last turn alone is too long', 'drop', undefined, [10, 12], 120, 10, undefined],
  ['there is but one turn', 'drop', undefined, [10], 100, 10, undefined],
  ['half goes', 'shift', undefined, [], 100, 25, { first: 1, count: 49 }],
  ['half of what is not kept', 'shift', 40, [], 100, 25, { first: 40, count: 30 }],
  ['a system message stays', 'shift', undefined, [20, 50], 100, 25, { first: 20, count: 40 }],
  ['more than half of a prompt far too long', 'shift', undefined, [], 300, 25, { first: 1, count: 225 }],
  ['all is kept', 'shift', 100, [], 100, 25, undefined],
  ['what is kept leaves no room', 'shift', 90, [], 100, 25, undefined],
];
for (const [what, whenFull, keep, turns, length, room, wanted] of CASES) {
  test(`${whenFull}: ${what}`, () => {
    const dropped = chooseDropped({ whenFull, keep }, turns, length, 100, room);
    assert.equal(dropped, wanted);
    if (dropped) assert.ok(length - dropped.count < 100);
  });
}

test.run();
