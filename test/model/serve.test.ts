/** The server where things go wrong: bad requests, lost GPUs, the end of the process. */
import { request } from 'node:http';
import { connect } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { answer } from '../../bin/serve/answer.ts';
import type { Lease } from '../../bin/serve/host.ts';
import { createMeter } from '../../bin/serve/metrics.ts';
import { openDevice } from '../../devices/open.ts';
import type { Device } from '../../devices/types.ts';
import { FirstlightError } from '../../quant/errors.ts';
import { testDevice } from '../device.ts';
import { createRandom } from '../kernel.ts';
import { type Serving, type ServingOptions, startServing, testModels } from '../serving.ts';

const test = suite('server');
const there = await testDevice();

function check(name: string, options: ServingOptions, work: (serving: Serving) => Promise<void>): void {
  const run = there ? test : test.skip;
  run(name, async () => {
    const serving = await startServing(options);
    try {
      await work(serving);
    } finally {
      await serving.stop();
    }
  });
}

const CHAT = { model: 'alpha', messages: [{ role: 'user', content: 'hello world' }], temperature: 0, max_tokens: 30 };

const post = (url: string, body: unknown, headers: Record<string, string> = {}) =>
  fetch(`${url}/v1/chat/completions`, { method: 'POST', body: JSON.stringify(body), headers });

async function contentOf(response: Response): Promise<string> {
  assert.is(response.status, 200);
  const { choices } = (await response.json()) as { choices: { message: { content: string } }[] };
  return choices[0]?.message.content ?? '';
}

/** The text of a stream; `onText` is called with what there is so far. */
async function streamedText(response: Response, onText: (text: string) => void = () => {}): Promise<string> {
  assert.is(response.status, 200);
  let text = '';
  let rest = '';
  for await (const bytes of response.body as unknown as AsyncIterable<Uint8Array>) {
    rest += Buffer.from(bytes).toString();
    for (let end = rest.indexOf('\n\n'); end >= 0; end = rest.indexOf('\n\n')) {
      const event = rest.slice(0, end);
      rest = rest.slice(end + 2);
      if (!event.startsWith('data: {')) continue;
      const { choices, error } = JSON.parse(event.slice(6));
      if (error) throw new Error(error.message);
      text += choices[0]?.delta.content ?? '';
      onText(text);
    }
  }
  return text;
}

check('health, metrics that count, and clients that go away', {}, async ({ url, host, log }) => {
  const before = await fetch(`${url}/health`);
  assert.is(before.status, 503, 'nothing is loaded yet');
  assert.is(before.headers.get('retry-after'), '5');
  // drivers that compile when a kernel first runs should have done so before /health waits for a token
  const other = await host.lease('beta');
  await other.batch.probe();
  other.release();
  (await host.lease('alpha')).release();
  const after = await fetch(`${url}/health`);
  assert.equal([after.status, await after.json()], [200, { status: 'ok' }]);
  await contentOf(await post(url, CHAT));
  assert.is((await post(url, { ...CHAT, model: 'nobody' })).status, 404);
  const metrics = await (await fetch(`${url}/metrics`)).text();
  for (const line of [
    'firstlight_requests_total{route="/v1/chat/completions",status="200"} 1',
    'firstlight_requests_total{route="/v1/chat/completions",status="404"} 1',
    'firstlight_generated_tokens_total 30',
    'firstlight_requests_running 0',
    'firstlight_slots 4',
    'firstlight_models_loaded{model="alpha"} 1',
    'firstlight_device_losses_total 0',
    'firstlight_time_to_first_token_seconds_count 1',
  ])
    assert.ok(metrics.includes(`${line}\n`), line);
  assert.match(metrics, /firstlight_memory_bytes\{purpose="weights"\} [1-9]/);
  // what Prometheus takes: comments, and names with labels and a number
  for (const line of metrics.trimEnd().split('\n'))
    assert.match(line, /^(# (HELP|TYPE) \w+ .+|firstlight_\w+(\{\w+="[^"]*"(,\w+="[^"]*")*\})? [-+.\deE]+)$/);
  // no fault of the server's
  const leave = new AbortController();
  const sent = fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    body: JSON.stringify({ ...CHAT, max_tokens: 400 }),
    signal: leave.signal,
  }).catch(() => undefined);
  for (let i = 0; !host.resident().some(({ batch }) => batch.status.running > 0); i++) {
    assert.ok(i < 1500, 'the answer has begun');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  leave.abort();
  await sent;
  for (let i = 0; !log.some((line) => / 499 /.test(line)); i++) {
    assert.ok(i < 500, log.join('\n'));
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.not(
    log.some((line) => line.includes('\n')),
    'no stack',
  );
});

check(
  'a GPU that is lost in the middle of an answer: the answer goes on as if nothing had happened',
  {},
  async (serving) => {
    const { url, host, devices } = serving;
    const wanted = await contentOf(await post(url, { ...CHAT, max_tokens: 60 }));
    let lost = false;
    const interrupt = (text: string) => {
      if (text.length < 10 || lost) return;
      lost = true;
      devices.at(-1)?.close();
    };
    const answers = await Promise.all([
      streamedText(await post(url, { ...CHAT, max_tokens: 60, stream: true }), interrupt),
      post(url, { ...CHAT, max_tokens: 60 }).then(contentOf),
    ]);
    assert.equal(answers, [wanted, wanted]);
    assert.is(host.deviceLosses, 1);
    assert.is(devices.length, 2);
    assert.is((await fetch(`${url}/health`)).status, 200);
    assert.match(await (await fetch(`${url}/metrics`)).text(), /firstlight_device_losses_total 1\n/);
  },
);

check('a GPU that is lost before an answer begins: it begins on the next one', {}, async ({ host, devices }) => {
  const signal = new AbortController().signal;
  const meter = createMeter();
  const written = async (lease: Lease) => {
    let text = '';
    for await (const part of answer({ host, meter }, lease, [1, 2, 3], { temperature: 0, maxTokens: 20, signal }).parts)
      text += part.text;
    return text;
  };
  const wanted = await written(await host.lease('alpha'));
  const lease = await host.lease('alpha');
  devices.at(-1)?.close();
  while (host.deviceLosses < 1) await new Promise((resolve) => setTimeout(resolve, 1));
  assert.is(await written(lease), wanted);
  assert.is(devices.length, 2);
});

check('a GPU that cannot be had back is told, and not tried for ever', {}, async ({ url, host, devices }) => {
  (await host.lease('alpha')).release();
  devices[0]?.close();
  for (let i = 0; devices.length < 2; i++) {
    assert.ok(i < 500, 'the device is opened again');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  devices[1]?.close();
  let health: { status: string; reason?: string } = { status: '' };
  for (let i = 0; i < 200 && health.status !== 'failed'; i++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    health = (await (await fetch(`${url}/health`)).json()) as typeof health;
  }
  assert.is(health.status, 'failed');
  assert.match(health.reason ?? '', /lost 2 times in a row/);
  const refused = await post(url, CHAT);
  assert.equal([refused.status, refused.headers.get('retry-after')], [503, '5']);
  assert.is(devices.length, 2, 'it is left alone');
});

let openings = 0;
let flaky: Device | undefined;
check(
  'a GPU that needs a while to come back',
  {
    recoverMs: 50,
    async openDevice(options) {
      if (openings++ === 1) throw new FirstlightError('no-adapter', 'the driver is being reset');
      flaky = await openDevice(options);
      return flaky;
    },
  },
  async ({ url, host }) => {
    (await host.lease('alpha')).release();
    flaky?.close();
    const seen = new Set<string>();
    for (let i = 0; !(seen.has('recovering') && host.status.status === 'ok'); i++) {
      assert.ok(i < 1500, [...seen].join(', '));
      seen.add(host.status.status);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assert.is(openings, 3);
    assert.is((await fetch(`${url}/health`)).status, 200);
    assert.equal(
      host.resident().map(({ name }) => name),
      ['alpha'],
    );
    assert.is(host.deviceLosses, 1);
  },
);

let openBeta = () => {};
const betaMayOpen = new Promise<void>((resolve) => {
  openBeta = resolve;
});
const slowBeta = testModels().map((model) =>
  model.name === 'beta' ? { ...model, open: () => betaMayOpen.then(model.open) } : model,
);

check(
  'a loaded model answers while another one is being loaded',
  { maxLoaded: 2, models: async () => slowBeta },
  async ({ url, host }) => {
    (await host.lease('alpha')).release();
    const other = host.lease('beta').then((lease) => lease.release());
    await contentOf(await post(url, { ...CHAT, max_tokens: 1 }));
    openBeta();
    await other;
    assert.is(host.resident().length, 2);
  },
);

check('the end: running answers come to theirs, new ones are refused', {}, async ({ url, host, devices }) => {
  const wanted = await contentOf(await post(url, CHAT));
  let drained: Promise<void> | undefined;
  const answer = streamedText(await post(url, { ...CHAT, stream: true }), () => {
    drained ??= host.drain();
  });
  while (!drained) await new Promise((resolve) => setTimeout(resolve, 1));
  const refused = await post(url, CHAT);
  assert.equal([refused.status, refused.headers.get('retry-after')], [503, '5']);
  assert.is(((await refused.json()) as { error: { code: string } }).error.code, 'shutting_down');
  devices.at(-1)?.close(); // nor does a lost GPU end them
  const health = await fetch(`${url}/health`);
  assert.equal([health.status, ((await health.json()) as { status: string }).status], [503, 'draining']);
  assert.is(await answer, wanted);
  await drained;
});

check('a queue that is full', { queue: 1, parallel: 1 }, async ({ url }) => {
  const all = await Promise.all(Array.from({ length: 6 }, () => post(url, CHAT)));
  const statuses = all.map(({ status }) => status).sort();
  assert.is(statuses.filter((status) => status === 200).length, 2);
  assert.is(statuses.filter((status) => status === 429).length, 4);
});

check('names, pages and keys', { keys: ['secret'], origins: ['https://chat.example'] }, async ({ url }) => {
  const key = { authorization: 'Bearer secret' };
  assert.is((await fetch(`${url}/v1/models`)).status, 401);
  assert.is((await fetch(`${url}/v1/models`, { headers: key })).status, 200);
  assert.is((await post(url, CHAT, { ...key, origin: 'https://evil.example' })).status, 403);
  assert.is((await post(url, { ...CHAT, max_tokens: 1 }, key)).status, 200);
  const rebound = await new Promise((resolve, reject) => {
    const asked = request(`${url}/v1/models`, { headers: { ...key, host: 'evil.example' } }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    asked.on('error', reject).end();
  });
  assert.is(rebound, 403);
  // a page that may use it
  const origin = 'https://chat.example';
  const asked = 'authorization,content-type,x-stainless-lang';
  const preflight = await fetch(`${url}/v1/chat/completions`, {
    method: 'OPTIONS',
    headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': asked },
  });
  const allowed = ['origin', 'methods', 'headers'].map((what) => preflight.headers.get(`access-control-allow-${what}`));
  assert.equal([preflight.status, ...allowed], [204, origin, 'GET, POST', asked]);
  const refused = await post(url, { ...CHAT, temperature: -1 }, { ...key, origin });
  assert.equal(
    [refused.status, refused.headers.get('access-control-allow-origin')],
    [400, origin],
    'errors can be read',
  );
});

check('five hundred malformed requests: each is refused, and the server goes on', {}, async ({ url, host }) => {
  const wanted = await contentOf(await post(url, CHAT));
  const random = createRandom(11);
  const values: unknown[] = [null, true, -1, 1e300, 0.5, '', 'x', '\u0000', [], [[]], {}, { a: { b: [1] } }, ['a', 1]];
  const any = () => values[random.below(values.length)];
  const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
  const raw = [
    '',
    '{',
    'null',
    '[]',
    '"x"',
    '{"messages":',
    deep,
    `{"messages":${deep}}`,
    '\ufeff{}',
    '{"__proto__":{"x":1}}',
  ];
  const paths = [
    '/v1/chat/completions',
    '/v1/completions',
    '/v1/embeddings',
    '/v1/tokenize',
    '/v1/detokenize',
    '/api/chat',
    '/api/generate',
    '/api/embed',
    '/api/show',
  ];
  const fields = [
    'model',
    'messages',
    'prompt',
    'input',
    'content',
    'tokens',
    'temperature',
    'top_p',
    'max_tokens',
    'n',
    'stop',
    'logit_bias',
    'seed',
    'tools',
    'options',
    'format',
    'stream',
    'response_format',
    'tool_choice',
    'keep_alive',
  ];
  const sent: Promise<void>[] = [];
  for (let i = 0; i < 500; i++) {
    const path = paths[i % paths.length] as string;
    const body =
      i % 5 === 0
        ? (raw[random.below(raw.length)] as string)
        : JSON.stringify(
            Object.fromEntries([
              ['model', i % 2 ? 'nobody' : 'plain'],
              ...Array.from({ length: 1 + random.below(6) }, () => [fields[random.below(fields.length)], any()]),
            ]),
          );
    const send = async () => {
      const response = await fetch(`${url}${path}`, { method: 'POST', body });
      const text = await response.text();
      const fine = response.status >= 400 && response.status < 500;
      // now and then chance makes a request that is right
      assert.ok(
        fine || response.status === 200,
        `${response.status} for ${path} ${body.slice(0, 300)}: ${text.slice(0, 300)}`,
      );
      if (fine) assert.type(JSON.parse(text).error, path.startsWith('/api/') ? 'string' : 'object');
    };
    sent.push(send());
    if (sent.length === 20) await Promise.all(sent.splice(0));
  }
  await Promise.all(sent);
  assert.is((await fetch(`${url}/v1/nothing`)).status, 404);
  assert.is((await fetch(`${url}/v1/models/..%2f..%2fetc%2fpasswd`)).status, 404);
  const large = await fetch(`${url}/v1/completions`, { method: 'POST', body: 'x'.repeat(9 << 20) });
  assert.is(large.status, 413);
  // not HTTP at all
  const { port } = new URL(url);
  const garbage = await new Promise<string>((resolve) => {
    const socket = connect(Number(port), '127.0.0.1', () => socket.write('GARBAGE\r\n\r\n'));
    let text = '';
    socket
      .on('data', (bytes) => (text += bytes))
      .on('close', () => resolve(text))
      .on('error', () => resolve(text));
  });
  assert.match(garbage, /^HTTP\/1.1 400 /);
  assert.is(await contentOf(await post(url, CHAT)), wanted);
  assert.equal(
    host.resident().map(({ leases, batch }) => [leases, batch.status.running, batch.status.queued]),
    [[0, 0, 0]],
  );
});

test.run();
