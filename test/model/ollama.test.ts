/** The server as Ollama's own client sees it. */
import { Ollama } from 'ollama';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { testDevice } from '../device.ts';
import { type Serving, startServing } from '../serving.ts';

const test = suite('ollama client');
const there = await testDevice();
const check = there ? test : test.skip;

let serving: Serving;
let client: Ollama;
test.before(async () => {
  if (!there) return;
  serving = await startServing();
  client = new Ollama({ host: serving.url });
});
test.after(() => serving?.stop());

const CHAT = {
  model: 'alpha',
  messages: [{ role: 'user', content: 'hello world' }],
  options: { temperature: 0, num_predict: 10 },
};

check('version, list and show', async () => {
  assert.is((await client.version()).version, '0.0.0');
  const { models } = await client.list();
  assert.equal(
    models.map(({ name }) => name),
    ['alpha', 'beta', 'plain'],
  );
  const [alpha] = models;
  assert.match(alpha?.digest ?? '', /^[0-9a-f]{64}$/);
  assert.is(alpha?.details.family, 'llama');
  const shown = await client.show({ model: 'alpha:latest' });
  assert.match(shown.template, /message.content/);
  const info = shown.model_info as unknown as Record<string, unknown>;
  assert.is(info['llama.context_length'], 512);
  assert.equal((shown as unknown as { capabilities: string[] }).capabilities, ['completion', 'tools']);
  assert.is(alpha?.details.quantization_level, 'F32');
});

check('a chat: whole and streamed are the same, with counts and durations', async () => {
  const whole = await client.chat(CHAT);
  assert.is(whole.message.role, 'assistant');
  assert.equal([whole.done, whole.done_reason, whole.eval_count], [true, 'length', 10]);
  assert.ok(whole.prompt_eval_count > 5 && whole.total_duration > 0 && whole.eval_duration > 0);
  let text = '';
  let last: Awaited<ReturnType<typeof client.chat>> | undefined;
  for await (const part of await client.chat({ ...CHAT, stream: true })) {
    text += part.message.content;
    last = part;
  }
  assert.is(text, whole.message.content);
  assert.equal([last?.done, last?.eval_count], [true, 10]);
});

check('generate: through the template, raw, and with a system text', async () => {
  const chat = await client.chat(CHAT);
  const base = { model: 'alpha', prompt: 'hello world', options: CHAT.options };
  const generated = await client.generate(base);
  assert.is(generated.response, chat.message.content);
  const system = await client.generate({ ...base, system: 'hello' });
  assert.ok(system.prompt_eval_count > generated.prompt_eval_count);
  const raw = await client.generate({ ...base, raw: true });
  assert.ok(raw.prompt_eval_count < generated.prompt_eval_count);
  let text = '';
  for await (const part of await client.generate({ ...base, stream: true })) text += part.response;
  assert.is(text, generated.response);
});

check('models come, take turns, and go', async () => {
  await client.chat(CHAT);
  assert.equal(
    (await client.ps()).models.map(({ name }) => name),
    ['alpha'],
  );
  await client.chat({ ...CHAT, model: 'beta', keep_alive: '10m' });
  const [beta] = (await client.ps()).models;
  assert.is(beta?.name, 'beta');
  const minutes = (new Date(beta?.expires_at ?? 0).getTime() - Date.now()) / 60_000;
  assert.ok(minutes > 9 && minutes <= 10, `${minutes} minutes`);
  assert.ok((beta?.size_vram ?? 0) > 1000);
  const both = await Promise.all([client.chat(CHAT), client.chat({ ...CHAT, model: 'beta' }), client.chat(CHAT)]);
  assert.is(both[0].message.content, both[2].message.content);
  assert.not.equal(both[0].message.content, both[1].message.content);
  await client.generate({ model: 'alpha', prompt: '' });
  await client.generate({ model: 'alpha', prompt: '', keep_alive: 0 });
  assert.equal((await client.ps()).models, []);
  assert.is((await client.chat({ ...CHAT, keep_alive: 0.05 })).done, true);
  await new Promise((resolve) => setTimeout(resolve, 400));
  assert.equal((await client.ps()).models, [], 'its time is over');
});

check('a format is kept to', async () => {
  const format = {
    type: 'object',
    properties: { ok: { type: 'boolean' } },
    required: ['ok'],
    additionalProperties: false,
  };
  const { message, done_reason } = await client.chat({ ...CHAT, format, options: { temperature: 1, num_predict: 60 } });
  assert.is(done_reason, 'stop');
  assert.type(JSON.parse(message.content).ok, 'boolean');
});

check('a conversation and a text beyond the context are cut, unless that is not wanted', async () => {
  const long = Array.from({ length: 30 }, (_, i) => ({
    role: i % 2 ? 'assistant' : 'user',
    content: `${i} ${'y'.repeat(40)}`,
  }));
  const messages = [...long, { role: 'user', content: 'and now?' }];
  const { prompt_eval_count: count } = await client.chat({ ...CHAT, messages });
  assert.ok(count > 50 && count < 512, `${count} tokens`);
  const input = 'z'.repeat(2000);
  assert.is((await client.embed({ model: 'alpha', input, dimensions: 4 })).embeddings[0]?.length, 4);
  const refusals = [
    () => client.embed({ model: 'alpha', input, truncate: false }),
    () => client.chat({ ...CHAT, messages, truncate: false } as typeof CHAT),
  ];
  for (const call of refusals) {
    let message = '';
    await call().catch((error: Error) => (message = error.message));
    assert.match(message, /context/);
  }
});

check('embeddings, one and several', async () => {
  const { embeddings } = await client.embed({ model: 'alpha', input: ['hello', 'world'] });
  assert.is(embeddings.length, 2);
  const { embedding } = await client.embeddings({ model: 'alpha', prompt: 'hello' });
  assert.equal(embedding, embeddings[0]);
});

check('an abort ends the work', async () => {
  const stream = await client.chat({ ...CHAT, stream: true, options: { ...CHAT.options, num_predict: 200 } });
  let failure: unknown;
  try {
    for await (const _ of stream) stream.abort();
  } catch (error) {
    failure = error;
  }
  assert.is((failure as Error | undefined)?.name, 'AbortError');
  for (let i = 0; serving.host.resident().some(({ leases }) => leases > 0); i++) {
    assert.ok(i < 100, 'the work goes on');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
});

check('what cannot be served is told in the shape that the client reads', async () => {
  const cases: readonly (readonly [call: () => Promise<unknown>, wanted: RegExp])[] = [
    [() => client.chat({ ...CHAT, model: 'nobody' }), /no model "nobody": ask for one of alpha, beta, plain/],
    [() => client.chat({ ...CHAT, model: '/etc/passwd' }), /no model/],
    [() => client.chat({ ...CHAT, options: { temperature: -1 } }), /options.temperature/],
    [() => client.chat({ ...CHAT, keep_alive: 'soon' }), /keep_alive/],
    [() => client.show({ model: 'nobody' }), /no model "nobody"/],
  ];
  for (const [call, wanted] of cases) {
    let message = '';
    await call().catch((error: Error) => (message = error.message));
    assert.match(message, wanted);
  }
});

test.run();
