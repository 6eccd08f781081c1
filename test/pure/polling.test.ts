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
  pacePolling();
  const early: number[] = [];
  for (const _ of [1, 2, 3]) {
    const times = await pollFor(150);
    const pollsIn = (fromMs: number, toMs: number) => times.filter((ms) => ms >= fromMs && ms < toMs).length;
    early.push(pollsIn(0, 1));
    const brief = pollsIn(10, 50);
    assert.ok(brief >= 1 && brief <= 40 / 0.1, `${brief} polls in 40 ms with brief rests`);
    const late = pollsIn(60, 150);
    assert.ok(late >= 1 && late <= 91, `${late} polls in 90 ms by timers`);
  }
  // a busy machine may stop one of them
  assert.ok(Math.max(...early) > 50, `${early} polls in the first millisecond`);
});

test('it is the setImmediate that it was for everybody else', async () => {
  pacePolling();
  const paced = globalThis.setImmediate;
  pacePolling();
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
