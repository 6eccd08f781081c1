/** What becomes of an answer whose reader is slow, leaves, or is dead. */
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { streamBody } from '../../bin/serve/stream.ts';

const test = suite('stream');

/** Pieces without an end, and whether they were ended. */
function source() {
  let ended = false;
  let made = 0;
  async function* pieces(): AsyncGenerator<string, void, void> {
    try {
      for (;;) yield String(made++);
    } finally {
      ended = true;
    }
  }
  return {
    pieces: pieces(),
    get ended() {
      return ended;
    },
    get made() {
      return made;
    },
  };
}

test('nobody reads: the work is aborted, and what it holds is given back', async () => {
  const from = source();
  const abort = new AbortController();
  const reader = streamBody(from.pieces, { abort, stallMs: 20 }).getReader();
  await reader.read();
  await sleep(100);
  assert.ok(abort.signal.aborted && from.ended);
  assert.ok(from.made < 4, `${from.made} pieces: no more than are read`);
  let failure: unknown;
  await reader.read().catch((error: unknown) => {
    failure = error;
  });
  assert.match(String(failure), /does not read/);
});

test('somebody reads slowly: nothing is lost', async () => {
  const abort = new AbortController();
  const reader = streamBody(source().pieces, { abort, stallMs: 200 }).getReader();
  const seen: string[] = [];
  for (let i = 0; i < 5; i++) {
    seen.push(Buffer.from((await reader.read()).value).toString());
    await sleep(10);
  }
  assert.equal(seen, ['0', '1', '2', '3', '4']);
  assert.not(abort.signal.aborted);
  await reader.cancel();
  assert.ok(abort.signal.aborted);
});

test.run();
