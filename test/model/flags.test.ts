/** What flags do, seen from outside: those that no other test of the command line gives. */
import { mkdirSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { deviceTests, testAdapter } from '../device.ts';
import { temporaryFolder } from '../pure/temporary-folder.ts';
import { runCli } from '../run-cli.ts';
import { freePort, startServer, writeChatModel } from '../server-process.ts';
import { smallChatModel } from '../small-chat.ts';

const test = suite('flags and what they do');
const writeFolder = temporaryFolder(test);
const check = await deviceTests(test);

const ADAPTER = testAdapter === undefined ? [] : ['--adapter', testAdapter];

async function modelPath(): Promise<string> {
  return join(await writeFolder('small', new Map([['model.gguf', smallChatModel()]])), 'model.gguf');
}

/** What a command prints as JSON, after it has ended well. */
async function jsonOf(...args: string[]) {
  const { code, stdout, stderr } = await runCli([...args, '--json', ...ADAPTER]);
  assert.is(code, 0, stderr);
  return JSON.parse(stdout);
}

check('run --samples: texts with seeds that follow, each as it would be alone; --logprobs, --stop', async () => {
  const args = ['run', await modelPath(), 'hello', '-n', '12', '--ignore-eos'];
  const samples = await jsonOf(...args, '--samples', '2', '--seed', '5', '--logprobs', '2');
  assert.equal(
    samples.map(({ seed }: { seed: number }) => seed),
    [5, 6],
  );
  const alone = await jsonOf(...args, '--seed', '6');
  assert.equal(samples[1].ids, alone.ids);
  assert.not.equal(samples[0].ids, alone.ids);
  assert.not('logprobs' in alone);
  for (const { ids, logprobs } of samples) {
    assert.is(logprobs.length, ids.length);
    for (const [i, { id, logprob, top }] of logprobs.entries()) {
      assert.is(id, ids[i]);
      assert.ok(top.length === 2 && top[0].logprob >= top[1].logprob && top[0].logprob >= logprob && logprob < 0);
    }
  }
  const [, letter = ''] = /^.+?([\x20-\x7e])/s.exec(alone.text) ?? [];
  assert.ok(letter, alone.text);
  const stopped = await jsonOf(...args, '--seed', '6', '--stop', letter);
  assert.is(stopped.text, alone.text.slice(0, alone.text.indexOf(letter)));
  assert.is(stopped.finish, 'stop');
  const useless = await runCli([...args, '--logprobs', '1', ...ADAPTER]);
  assert.is(useless.code, 2);
  assert.match(useless.stderr, /--logprobs is told with --json only/);
});

check(
  'run --when-full: the end of the context ends the text, or the older half is left out, which is told',
  async () => {
    const args = ['run', await modelPath(), 'hi', '--ctx', '24', '-n', '40', '--ignore-eos', ...ADAPTER];
    const stop = await runCli([...args, '--when-full', 'stop']);
    assert.match(stop.stderr, /^the context of 24 positions is full: ask for more by --ctx/m);
    const shift = await runCli([...args, '--when-full', 'shift']);
    assert.is(shift.code, 0, shift.stderr);
    assert.match(shift.stderr, /^the context of 24 positions was full: \d\d older tokens were left out on the way$/m);
    assert.match(shift.stderr, /^prefill: [\d.]+ tok\/s, decode: [\d.]+ tok\/s \(\d+ \+ 40 tokens;/m);
  },
);

check('estimate --memory: with less of it layers are brought for every token; --no-stream refuses that', async () => {
  const tight = ['estimate', '--shape', 'tinyllama-1.1b', '--ctx', '1024', '--memory', '400MiB'];
  const { residentLayers, fits } = await jsonOf(...tight);
  assert.ok(fits && residentLayers > 0 && residentLayers < 22, `${residentLayers}`);
  assert.is((await jsonOf(...tight, '--no-stream')).fits, false);
});

check('bench: repetitions, streams, grammars, profiles', async () => {
  const args = ['bench', await modelPath()];
  const small = ['-p', '3', '-n', '2', '-d', '1', '-r', '1'];
  const { results, profiles, submission } = await jsonOf(...args, ...small, '--profile');
  assert.equal(
    results.map(({ name }: { name: string }) => name),
    ['pp3@d1', 'tg2@d1'],
  );
  assert.ok(profiles.decode.some(({ name }: { name: string }) => name === 'logits'));
  assert.ok(submission.quickestMs > 0 && submission.quickestMs <= submission.medianMs);
  const streams = await jsonOf(...args, '-n', '2', '--repetitions', '3', '--streams', '2', '--fast-batch');
  const [{ name, tokensPerSecond }] = streams.results;
  assert.equal([streams.results.length, name, tokensPerSecond.length], [1, 'tg2x2', 3]);
  const grammar = await jsonOf(...args, '-n', '2', '-r', '1', '--grammar', 'json');
  assert.ok(grammar.later.median > 0 && grammar.results.length === 2);
  const wrong = await runCli([...args, '--streams', '1,x', ...ADAPTER]);
  assert.is(wrong.code, 2);
});

check('serve: every flag, of one server', async () => {
  const folder = await writeFolder('served', new Map([['short.jinja', 'o{{ messages[0].content }}']]));
  mkdirSync(join(folder, 'models'), { recursive: true });
  const models = ['alpha', 'beta'].map((name) => writeChatModel(join(folder, 'models'), name));
  const server = await startServer([
    ...models,
    ...['--host', '127.0.0.2', '--parallel', '1', '--queue', '0', '--fast-batch', '--quiet', '--drain-seconds', '0'],
    ...['--max-loaded', '2', '--keep-alive', '5m', '--template', join(folder, 'short.jinja')],
    ...['--api-key', 'one,two', '--allow-host', 'box.lan', '--allow-origin', 'https://chat.example'],
  ]);
  const { url, port, child, exit, log } = server;
  try {
    const key = { authorization: 'Bearer two', 'content-type': 'application/json' };
    const ask = (model: string, more: object = {}) => {
      const messages = [{ role: 'user', content: 'hello' }];
      const body = JSON.stringify({ model, messages, max_tokens: 2, ...more });
      return fetch(`${url}/v1/chat/completions`, { method: 'POST', headers: key, body });
    };
    assert.match(url, '127.0.0.2', '--host');
    assert.is(await fetch(`http://127.0.0.1:${port}/health`).catch(() => 'nobody'), 'nobody');
    assert.is((await fetch(`${url}/v1/models`)).status, 401, '--api-key');
    const asHost = (host: string) =>
      new Promise((resolve, reject) => {
        const asked = request(`${url}/v1/models`, { headers: { ...key, host } }, (response) => {
          response.resume();
          resolve(response.statusCode);
        });
        asked.on('error', reject).end();
      });
    assert.equal([await asHost('box.lan'), await asHost('other.lan')], [200, 403], '--allow-host');
    const paged = await fetch(`${url}/v1/models`, { headers: { ...key, origin: 'https://chat.example' } });
    assert.is(paged.headers.get('access-control-allow-origin'), 'https://chat.example', '--allow-origin');

    for (const name of ['alpha', 'beta']) {
      const { usage } = (await (await ask(name)).json()) as { usage: { prompt_tokens: number } };
      assert.is(usage.prompt_tokens, 2, '--template: o and hello');
    }
    const loaded = (await (await fetch(`${url}/api/ps`, { headers: key })).json()) as {
      models: { expires_at: string }[];
    };
    assert.is(loaded.models.length, 2, '--max-loaded');
    for (const { expires_at } of loaded.models) {
      const seconds = (Date.parse(expires_at) - Date.now()) / 1000;
      assert.ok(seconds > 200 && seconds <= 300, `--keep-alive: ${seconds}`);
    }

    const endless = { stream: true, max_tokens: 450, logit_bias: { 269: -100 } };
    const long = await ask('alpha', endless);
    const reader = long.body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = (await reader.read()).value ?? '';
    assert.is((await ask('alpha')).status, 429, '--parallel and --queue');
    child.kill('SIGTERM');
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      text += value;
    }
    assert.match(text, /"error"/, '--drain-seconds');
    assert.equal(await exit, { code: 0, signal: null });
    assert.not.match(log(), /POST/, '--quiet');
  } finally {
    child.kill('SIGKILL');
  }
});

check('desktop --port, --window none, --keep-alive', async () => {
  const folder = await writeFolder('desktop', new Map());
  const env = { XDG_RUNTIME_DIR: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder };
  const wrong = await runCli(['desktop', '--keep-alive', 'soon'], { env });
  assert.is(wrong.code, 2);
  assert.match(wrong.stderr, /--keep-alive is "soon": it must be seconds, or a time such as 5m/);
  const free = await freePort();
  const args = ['desktop', '--window', 'none', '--port', `${free}`, '--keep-alive', '90s', ...ADAPTER];
  const { code, stdout } = await runCli(args, { env, onOutput: (child) => child.kill('SIGTERM') });
  assert.is(code, 0);
  assert.match(stdout, new RegExp(`^http://127\\.0\\.0\\.1:${free}/#ticket=`));
});

test.run();
