/** Two servers behind HAProxy, by the configuration that comes with firstlight: affinity, a server that dies, one that is drained. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { testDevice } from '../device.ts';
import { freePort, type ServerProcess, startServer, writeChatModel } from '../server-process.ts';

const test = suite('haproxy');

const isThere = () => spawnSync('haproxy', ['-v'], { env: { PATH: `${process.env.PATH}:/usr/sbin` } }).status === 0;
if (!isThere() && process.getuid?.() === 0)
  spawnSync('apt-get', ['install', '-y', '-qq', 'haproxy'], { stdio: 'ignore', timeout: 60_000 });
const ready = isThere() && (await testDevice()) !== undefined;
if (!ready) console.log('HAProxy is not there: 1 test is skipped');
const check = ready ? test : test.skip;

const folder = mkdtempSync(join(tmpdir(), 'firstlight-haproxy-'));
const servers: ServerProcess[] = [];
let proxy: ChildProcess | undefined;

test.after(() => {
  proxy?.kill('SIGKILL');
  for (const { child } of servers) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

/** The documented configuration with other addresses. */
function configure(port: number): string {
  const text = readFileSync(new URL('../../bin/serve/haproxy.cfg', import.meta.url), 'utf8');
  const ports = [port, ...servers.map((server) => server.port)];
  return text
    .split('\n')
    .map((line) => (line.endsWith('# address') ? line.replace(/127\.0\.0\.1:\d+/, `127.0.0.1:${ports.shift()}`) : line))
    .join('\n')
    .replace('inter 2s', 'inter 200ms');
}

const ask = (url: string, content: string, more: object = {}) =>
  fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    body: JSON.stringify({ messages: [{ role: 'user', content }], temperature: 0, max_tokens: 24, ...more }),
  });

async function textOf(response: Response): Promise<string> {
  const body = await response.text();
  assert.is(response.status, 200, body);
  return JSON.parse(body).choices[0].message.content;
}

async function answersOf(server: ServerProcess): Promise<number> {
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  return Number(/requests_total\{route="\/v1\/chat\/completions",status="200"\} (\d+)/.exec(metrics)?.[1] ?? 0);
}

check('requests that begin alike go together; a server that dies takes no answer with it', async () => {
  const model = writeChatModel(folder);
  servers.push(
    ...(await Promise.all([startServer([model, '--parallel', '2']), startServer([model, '--parallel', '2'])])),
  );
  const [one, two] = servers as [ServerProcess, ServerProcess];
  const port = await freePort();
  writeFileSync(join(folder, 'haproxy.cfg'), configure(port));
  const PATH = `${process.env.PATH}:/usr/sbin`;
  proxy = spawn('haproxy', ['-db', '-f', join(folder, 'haproxy.cfg')], { env: { PATH }, stdio: 'ignore' });
  const url = `http://127.0.0.1:${port}`;
  for (let i = 0; (await fetch(`${url}/health`).catch(() => undefined))?.status !== 200; i++) {
    assert.ok(i < 100, 'the proxy answers');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }

  const questions = ['hello', 'world', 'hello world', 'or', 'he', '123', 'who', 'hell'];
  const wanted = new Map<string, string>();
  for (const question of questions) wanted.set(question, await textOf(await ask(one.url, question)));

  // affinity: one after another, so that no server is busier than the other
  for (const question of questions) {
    const before = await answersOf(one);
    for (let i = 0; i < 3; i++) assert.is(await textOf(await ask(url, question)), wanted.get(question));
    const onOne = (await answersOf(one)) - before;
    assert.ok(onOne === 0 || onOne === 3, `${onOne} of 3 went to the first server`);
  }
  assert.ok((await answersOf(one)) > questions.length && (await answersOf(two)) > 0, 'both have work');

  // under load one dies; answers that are not streamed have not begun to be sent
  const all = Promise.all(
    Array.from({ length: 24 }, async (_, i) => {
      const question = questions[i % questions.length] as string;
      return (await textOf(await ask(url, question))) === wanted.get(question);
    }),
  );
  await new Promise((resolve) => setTimeout(resolve, 150));
  two.child.kill('SIGKILL');
  assert.equal(await all, new Array(24).fill(true));
  assert.is((await two.exit).signal, 'SIGKILL');

  // the other one is told to end in the middle of an answer: it finishes it, refuses more, and ends
  const stream = await ask(url, 'hello', { stream: true, max_tokens: 400 }); // long, so that it is not over before it is asked about
  const reader = stream.body!.getReader();
  await reader.read();
  one.child.kill('SIGTERM');
  for (let i = 0; (await fetch(`${one.url}/health`)).status !== 503; i++) assert.ok(i < 100, 'the server is draining');
  const refused = await ask(one.url, 'hello');
  assert.equal([refused.status, refused.headers.get('retry-after')], [503, '5']);
  let text = '';
  for (let part = await reader.read(); !part.done; part = await reader.read())
    text += Buffer.from(part.value).toString();
  assert.match(text, /data: \[DONE\]\n\n$/);
  assert.equal(await one.exit, { code: 0, signal: null });
});

test.run();
