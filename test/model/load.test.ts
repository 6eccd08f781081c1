/**
 * The server under load: many streams at once, clients that leave, that read slowly, that send too much. Every answer that comes to
 * its end is the one that its prompt gets alone, and nothing is left behind. FIRSTLIGHT_TEST_LONG=1: 32 clients for a minute.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { LONG, testDevice } from '../device.ts';
import { createRandom } from '../kernel.ts';
import { startServing } from '../serving.ts';

const test = suite('load');
const there = await testDevice();
const check = there ? test : test.skip;

const CLIENTS = LONG ? 32 : 8;
const RUN_MS = LONG ? 60_000 : 4000;
/** Memory after the run beside that after its first part; a leak of a few KiB a request would be far above. */
const MOST_GROWTH = LONG ? 1.05 : 1.1;

setFlagsFromString('--expose-gc');
const collect: () => void = runInNewContext('gc');

interface Question {
  readonly content: string;
  readonly max_tokens: number;
}

const QUESTIONS: readonly Question[] = [
  'hello',
  'world',
  'hello world',
  'who or what',
  '123',
  'hell or he',
  'a rather longer question that takes more than one pass to be read',
  'a rather longer question that takes more than one pass to be read, and then goes on in another way',
].map((content, i) => ({ content, max_tokens: 6 + 7 * i }));

/** One for all: each waiting client would keep its own, and their tens of MiB would hide what the server keeps. */
const TOO_LARGE = Buffer.alloc(8_500_000, 'x');

const KINDS = ['whole', 'streamed', 'left', 'large', 'slow', 'streamed', 'left'] as const;

check('clients of all kinds', async () => {
  const { url, host, stop } = await startServing({ parallel: LONG ? 16 : 4 });
  try {
    const ask = (question: Question, stream: boolean, signal?: AbortSignal) =>
      fetch(`${url}/v1/chat/completions`, {
        method: 'POST',
        body: JSON.stringify({
          model: 'alpha',
          messages: [{ role: 'user', content: question.content }],
          max_tokens: question.max_tokens,
          temperature: 0,
          stream,
        }),
        signal,
      });
    const whole = async (question: Question): Promise<string> => {
      const response = await ask(question, false);
      assert.is(response.status, 200);
      const { choices } = (await response.json()) as { choices: { message: { content: string } }[] };
      return choices[0]?.message.content ?? '';
    };
    const alone = new Map<Question, string>();
    for (const question of QUESTIONS) alone.set(question, await whole(question));

    const counts = { whole: 0, streamed: 0, slow: 0, left: 0, large: 0 };
    const client = async (seed: number, untilMs: number) => {
      const random = createRandom(seed);
      for (let turn = 0; performance.now() < untilMs; turn++) {
        const question = QUESTIONS[random.below(QUESTIONS.length)] as Question;
        const kind = KINDS[(seed + turn) % KINDS.length] as keyof typeof counts;
        if (kind === 'whole') assert.is(await whole(question), alone.get(question));
        else if (kind === 'large') {
          // the server may hang up before all of it is sent
          const status = await fetch(`${url}/v1/completions`, { method: 'POST', body: TOO_LARGE }).then(
            (response) => response.status,
            () => 413,
          );
          assert.is(status, 413);
          await sleep(100);
        } else {
          const leave = new AbortController();
          const response = await ask(question, true, leave.signal);
          assert.is(response.status, 200);
          const stays = kind === 'left' ? random.below(4) : Number.POSITIVE_INFINITY;
          let text = '';
          let chunks = 0;
          try {
            for await (const bytes of response.body as unknown as AsyncIterable<Uint8Array>) {
              text += Buffer.from(bytes).toString();
              if (kind === 'slow') await sleep(20);
              if (++chunks > stays) leave.abort();
            }
            const events = text.split('\n\n').filter((event) => event.startsWith('data: {'));
            const content = events.map((event) => JSON.parse(event.slice(6)).choices[0].delta.content ?? '').join('');
            assert.is(content, alone.get(question));
            assert.match(text, /\[DONE\]\n\n$/);
          } catch (error) {
            if (!leave.signal.aborted) throw error;
          }
        }
        counts[kind]++;
      }
    };
    const run = (ms: number, seed: number) =>
      Promise.all(Array.from({ length: CLIENTS }, (_, i) => client(seed + i, performance.now() + ms)));
    const measure = async () => {
      for (
        let i = 0;
        host.resident().some(({ leases, batch }) => leases > 0 || batch.status.running + batch.status.queued > 0);
        i++
      ) {
        assert.ok(i < 500, 'no request is stuck');
        await sleep(20);
      }
      // objects of sockets and of Dawn end in finalizers, which run after a turn and let go of others
      for (let i = 0; i < 3; i++) {
        await sleep(100);
        collect();
      }
      return {
        rss: process.memoryUsage.rss(),
        device: Object.values(host.memory()).reduce((sum, bytes) => sum + bytes, 0),
      };
    };

    await run(RUN_MS / 3, 100);
    const before = await measure();
    await run((2 * RUN_MS) / 3, 200);
    const after = await measure();
    const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
    console.log(
      `${JSON.stringify(counts)}; RSS ${mib(before.rss)}, then ${mib(after.rss)}; device ${mib(after.device)}`,
    );
    assert.is(after.device, before.device, 'bytes on the device');
    assert.ok(after.rss < before.rss * MOST_GROWTH, `${mib(before.rss)}, then ${mib(after.rss)}`);
    for (const [kind, count] of Object.entries(counts)) assert.ok(count > 0, `some were ${kind}`);
    for (const [question, text] of alone) assert.is(await whole(question), text);
  } finally {
    await stop();
  }
});

test.run();
