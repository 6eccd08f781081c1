/** Which slot a sequence takes, whose beginning it copies, and who is next in the queue. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createFairQueue } from '../../engine/fair-queue.ts';
import { chooseSlot, commonPrefix, createSlots, findPrefix, type Slot } from '../../engine/slots.ts';

const test = suite('slots');

function slotsWith(...states: readonly Partial<Slot>[]): Slot[] {
  return createSlots(states.length).map((slot, i) => ({ ...slot, ...states[i] }));
}

test('common beginnings', () => {
  assert.is(commonPrefix([], [1]), 0);
  assert.is(commonPrefix([1, 2, 3], [1, 2, 4, 5]), 2);
  assert.is(commonPrefix([1, 2], [1, 2, 4]), 2);
});

const seats: readonly (readonly [title: string, slots: Slot[], ids: number[], wanted: number | undefined])[] = [
  ['none is free', slotsWith({ taken: true }), [1], undefined],
  ['all are empty: the first', slotsWith({}, {}), [1], 0],
  ['the text goes on', slotsWith({ lastUse: 1 }, { history: [1, 2, 3], lastUse: 2 }), [1, 2, 3, 4], 1],
  ['of two texts the one with more in common', slotsWith({ history: [1, 2] }, { history: [1, 2, 3] }), [1, 2, 3, 4], 1],
  [
    'only a small beginning is wanted: the text stays, the oldest goes',
    slotsWith({ history: [1, 2, 3, 4, 5, 6, 7], lastUse: 2 }, { history: [9, 9], lastUse: 1 }),
    [1, 2, 8],
    1,
  ],
  [
    'the text goes on but its slot is taken',
    slotsWith({ lastUse: 5 }, { history: [1, 2], taken: true }, { lastUse: 4 }),
    [1, 2, 3],
    2,
  ],
  ['there is only one', slotsWith({ history: [1, 2, 3, 4, 5, 6, 7] }), [1, 2], 0],
];
for (const [title, slots, ids, wanted] of seats) {
  test(`the slot to take: ${title}`, () => assert.is(chooseSlot(slots, ids)?.index, wanted));
}

test('the longest beginning is found in slots that are taken too', () => {
  const slots = slotsWith({ history: [1, 2] }, { history: [1, 2, 3, 9], taken: true }, { history: [5] });
  const { slot, length } = findPrefix(slots, [1, 2, 3, 4]);
  assert.equal([slot?.index, length], [1, 3]);
  assert.equal(findPrefix(slots, [7]), { slot: undefined, length: 0 });
});

test('the queue is fair between clients and in order within one', () => {
  const queue = createFairQueue<string>();
  for (const item of ['a1', 'a2', 'a3', 'b1', 'c1']) queue.push(item[0]!, item);
  const running = new Map<string, number>();
  const order: string[] = [];
  while (queue.length > 0) {
    const item = queue.shift((client) => running.get(client) ?? 0)!;
    running.set(item[0]!, (running.get(item[0]!) ?? 0) + 1);
    order.push(item);
  }
  assert.equal(order, ['a1', 'b1', 'c1', 'a2', 'a3']);
  assert.is(
    queue.shift(() => 0),
    undefined,
  );
});

test('what is taken out of the queue is not served', () => {
  const queue = createFairQueue<string>();
  queue.push('a', 'a1');
  queue.push('a', 'a2');
  assert.ok(queue.remove('a1'));
  assert.not(queue.remove('a1'));
  assert.is(
    queue.shift(() => 0),
    'a2',
  );
  queue.push('a', 'a3');
  assert.equal(queue.clear(), ['a3']);
  assert.is(queue.length, 0);
});

test.run();
