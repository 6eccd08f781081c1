/** Dawn's polling: often at first, then once in a while; and nobody else's turns. */
import { promisify } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { pacePolling } from '../../devices/polling.ts';

const test = suite('polling');

/** Polls as Dawn does, by a native function without a name, for so long; answers when each poll was. */
function pollFor(ms: number): Promise<number[]> {
  const startMs = performance.now();
  const times: number[] = [];
  return new Promise((resolve) => {
    const poll = new Proxy(() => {
      times.push(performance.now() - startMs);
      if (performance.now() - startMs < ms) globalThis.setImmediate(poll);
      else resolve(times);
    }, {});
    Object.defineProperty(poll, 'name', { value: '' });
    globalThis.setImmediate(poll);
  });
}

test('what is pending for long is asked for less often, and the next thing often again', async () => {
  // of a CPU driver sooner; of a GPU from then on, whatever else is opened
  for (const [software, busyMs] of [
    [true, 5],
    [false, 50],
    [true, 50],
  ] as const) {
    pacePolling(software);
    const early: number[] = [];
    for (const _ of [1, 2, 3]) {
      const times = await pollFor(150);
      const late = times.filter((ms) => ms > busyMs + 10 && ms < 150).length;
      assert.ok(late >= 1 && late <= 141 - busyMs, `${late} polls after ${busyMs + 10} ms`);
      early.push(times.filter((ms) => ms < busyMs).length);
    }
    // a busy machine may stop one of them
    assert.ok(Math.max(...early) > 141, `${early} polls in the first ${busyMs} ms`);
  }
});

test('it is the setImmediate that it was for everybody else', async () => {
  pacePolling(true);
  const paced = globalThis.setImmediate;
  pacePolling(true);
  assert.is(globalThis.setImmediate, paced, 'it is changed once');
  assert.is(paced.name, 'setImmediate');
  assert.is(await promisify(setImmediate)('passed on'), 'passed on');
  const said: unknown[] = [];
  setImmediate((...args: unknown[]) => said.push(...args), 1, 'two');
  clearImmediate(setImmediate(() => said.push('cleared')));
  const anonymous: unknown[] = [() => said.push('anonymous')];
  setImmediate(anonymous[0] as () => void);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(said, [1, 'two', 'anonymous']);
  assert.throws(() => setImmediate(undefined as unknown as () => void), /callback/);
});

test.run();
