/** What is opened anew after a fault, and when that is given up. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createKeeper } from '../../engine/keeper.ts';
import { FirstlightError } from '../../quant/errors.ts';
import { expectError } from './expect-error.ts';

const test = suite('keeper');

const lost = (what = 'lost') => new FirstlightError('device-lost', what);

/** A keeper of 'first', 'second', ...; `failures` are thrown by as many attempts to open. */
function keep(...failures: unknown[]) {
  const told: string[] = [];
  const closed: string[] = [];
  const asked: number[] = [];
  const names = ['first', 'second', 'third', 'fourth'];
  const keeper = createKeeper(
    async (faults) => {
      asked.push(faults);
      const failure = failures.shift();
      if (failure) throw failure;
      const value = names.shift()!;
      return { value, close: () => void closed.push(value) };
    },
    (line) => told.push(line),
  );
  return { keeper, told, closed, asked };
}

test('all callers get the same value, which is opened once', async () => {
  const { keeper, asked } = keep();
  assert.equal(await Promise.all([keeper.get(), keeper.get()]), ['first', 'first']);
  assert.is(await keeper.get(), 'first');
  assert.equal(asked, [0]);
});

test('after a fault it is closed and another one opened, which is told once however many saw it', async () => {
  const { keeper, told, closed, asked } = keep();
  await keeper.get();
  keeper.recover('first', lost());
  keeper.recover('first', lost());
  assert.equal(closed, ['first']);
  assert.is(await keeper.get(), 'second');
  assert.equal(asked, [0, 1]);
  assert.equal(told, ['lost. The device is opened again, and work goes on where it was']);
});

test('the second fault in a row is thrown, one after useful work is not', async () => {
  const { keeper, closed } = keep();
  await keeper.get();
  keeper.recover('first', lost('once'));
  keeper.worked();
  keeper.recover(await keeper.get(), new FirstlightError('not-enough-memory', 'full'));
  const third = await keeper.get();
  await expectError(
    () => keeper.recover(third, new FirstlightError('device-timeout', 'hung')),
    'device-timeout',
    /^full; then again: hung$/,
  );
  assert.equal(closed, ['first', 'second', 'third']);
  assert.is(await keeper.get(), 'fourth', 'whoever asks again gets another try');
});

test('what is no fault is thrown, and the value stays', async () => {
  const { keeper, closed, told } = keep();
  await keeper.get();
  await expectError(() => keeper.recover('first', new FirstlightError('bad-argument', 'no')), 'bad-argument', /no/);
  assert.throws(() => keeper.recover('first', new Error('bug')), 'bug');
  assert.equal([...closed, ...told], []);
  assert.is(await keeper.get(), 'first');
});

test('a device that is lost while opening is tried once more, memory that is not there is not', async () => {
  const once = keep(lost());
  assert.equal(await Promise.all([once.keeper.get(), once.keeper.get()]), ['first', 'first']);
  assert.equal(once.asked, [0, 1]);
  const twice = keep(lost('a'), lost('b'));
  await expectError(() => twice.keeper.get(), 'device-lost', /^a; then again: b$/);
  const full = keep(new FirstlightError('not-enough-memory', 'full'));
  await expectError(() => full.keeper.get(), 'not-enough-memory', /^full$/);
  assert.equal(full.asked, [0]);
});

test('closing closes what is there, also what is only being opened', async () => {
  const { keeper, closed } = keep();
  const opening = keeper.get();
  await keeper.close();
  assert.equal(closed, ['first']);
  await expectError(() => opening, 'bad-argument', /closed/);
  await expectError(() => keeper.get(), 'bad-argument', /closed/);
});

test.run();
