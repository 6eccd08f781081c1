/** The server as OpenAI's own client sees it. */
import OpenAI from 'openai';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { testDevice } from '../device.ts';
import { type Serving, startServing } from '../serving.ts';

const test = suite('openai client');
const there = await testDevice();
const check = there ? test : test.skip;

let serving: Serving;
let client: OpenAI;
test.before(async () => {
  if (!there) return;
  serving = await startServing();
  client = new OpenAI({ baseURL: `${serving.url}/v1`, apiKey: 'any', maxRetries: 0 });
});
test.after(() => serving?.stop());

const HELLO = [{ role: 'user', content: 'hello world' }] as const;
const GREEDY = { model: 'alpha', messages: [...HELLO], temperature: 0, max_tokens: 12 };

/** The error that a call ends with. */
async function failureOf(call: Promise<unknown>): Promise<InstanceType<typeof OpenAI.APIError>> {
  try {
    await call;
  } catch (error) {
    assert.instance(error, OpenAI.APIError);
    return error as InstanceType<typeof OpenAI.APIError>;
  }
  return assert.unreachable('the call should fail') as never;
}

check('models are listed and found by name', async () => {
  const { data } = await client.models.list();
  assert.equal(
    data.map(({ id }) => id),
    ['alpha', 'beta', 'plain'],
  );
  for (const name of ['beta', 'beta:latest']) assert.is((await client.models.retrieve(name)).id, 'beta');
  const { status, code } = await failureOf(client.models.retrieve('../etc/passwd'));
  assert.equal([status, code], [404, 'model_not_found']);
});

check('a chat: whole and streamed are the same, with usage', async () => {
  const whole = await client.chat.completions.create(GREEDY);
  assert.is(whole.model, 'alpha');
  assert.is(whole.choices[0]?.finish_reason, 'length');
  assert.is(whole.choices[0]?.message.role, 'assistant');
  assert.is(whole.usage?.completion_tokens, 12);
  const stream = await client.chat.completions.create({
    ...GREEDY,
    stream: true,
    stream_options: { include_usage: true },
  });
  let text = '';
  let finish: string | null | undefined;
  let usage: OpenAI.CompletionUsage | null | undefined;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? '';
    finish ??= chunk.choices[0]?.finish_reason;
    usage = chunk.usage;
  }
  assert.is(text, whole.choices[0]?.message.content);
  assert.is(finish, 'length');
  assert.is(usage?.prompt_tokens, whole.usage?.prompt_tokens);
  assert.is(usage?.completion_tokens, 12);
});

check("the client's own way to run a stream", async () => {
  const whole = await client.chat.completions.create(GREEDY);
  const runner = client.chat.completions.stream(GREEDY);
  assert.is(await runner.finalContent(), whole.choices[0]?.message.content);
});

check('seeds repeat, n choices differ, and the first is that of the seed alone', async () => {
  const drawn = { ...GREEDY, temperature: 1.2, seed: -5 };
  const one = await client.chat.completions.create(drawn);
  const three = await client.chat.completions.create({ ...drawn, n: 3 });
  const texts = three.choices.map(({ message }) => message.content);
  assert.is(texts[0], one.choices[0]?.message.content);
  assert.is(new Set(texts).size, 3);
  assert.equal(
    three.choices.map(({ index }) => index),
    [0, 1, 2],
  );
  const streamed = ['', '', ''];
  for await (const { choices } of await client.chat.completions.create({ ...drawn, n: 3, stream: true }))
    for (const { index, delta } of choices) streamed[index] += delta.content ?? '';
  assert.equal(streamed, texts);
});

check('log probabilities', async () => {
  const { choices } = await client.chat.completions.create({ ...GREEDY, logprobs: true, top_logprobs: 3 });
  const content = choices[0]?.logprobs?.content ?? [];
  assert.is(content.length, 12);
  for (const { token, logprob, bytes, top_logprobs } of content) {
    assert.ok(logprob <= 0 && logprob === top_logprobs[0]?.logprob, 'greedy takes the most probable');
    assert.is(top_logprobs.length, 3);
    assert.type(token, 'string');
    assert.ok(bytes && bytes.length > 0);
  }
});

check('stop strings end an answer before them', async () => {
  const { choices } = await client.chat.completions.create({ ...GREEDY, max_tokens: 40 });
  const text = choices[0]?.message.content ?? '';
  const stop = text.slice(5, 8);
  const cut = await client.chat.completions.create({ ...GREEDY, max_tokens: 40, stop: ['never', stop] });
  assert.is(cut.choices[0]?.message.content, text.slice(0, text.indexOf(stop)));
  assert.is(cut.choices[0]?.finish_reason, 'stop');
});

check('completions of texts and ids, echoed, with log probabilities', async () => {
  const base = { model: 'plain', temperature: 0, max_tokens: 6 };
  const text = await client.completions.create({ ...base, prompt: 'hello', logprobs: 2 });
  const found = text.choices[0]?.logprobs;
  assert.is(found?.tokens?.length, 6);
  assert.is(found?.text_offset?.[0], 5 - 5);
  const { tokens } = (await post('/v1/tokenize', { model: 'plain', content: 'hello' })) as { tokens: number[] };
  const both = await client.completions.create({ ...base, prompt: [tokens, tokens], echo: true });
  assert.equal(
    both.choices.map((choice) => choice.text),
    [`hello${text.choices[0]?.text}`, `hello${text.choices[0]?.text}`],
  );
  let streamed = '';
  for await (const { choices } of await client.completions.create({ ...base, prompt: 'hello', stream: true }))
    streamed += choices[0]?.text ?? '';
  assert.is(streamed, text.choices[0]?.text);
});

check('embeddings have length 1, in floats and in base64, and are the same for the same text', async () => {
  const input = ['hello world', 'hello', 'hello world'];
  const { data, usage } = await client.embeddings.create({ model: 'alpha', input }); // the client asks for base64
  const floats = await client.embeddings.create({ model: 'alpha', input, encoding_format: 'float' });
  assert.is(data.length, 3);
  assert.ok(usage.prompt_tokens > 3);
  for (const [i, { embedding }] of data.entries()) {
    assert.ok(Math.abs(Math.hypot(...embedding) - 1) < 1e-5);
    assert.ok(embedding.every((value, j) => Math.abs(value - (floats.data[i]?.embedding[j] ?? 9)) < 1e-6));
  }
  assert.equal(data[0]?.embedding, data[2]?.embedding);
  const short = await client.embeddings.create({ model: 'alpha', input, dimensions: 8 });
  for (const [i, { embedding }] of short.data.entries()) {
    const [wanted = []] = [data[i]?.embedding.slice(0, 8)];
    const length = Math.hypot(...wanted);
    assert.is(embedding.length, 8);
    assert.ok(embedding.every((value, j) => Math.abs(value - (wanted[j] ?? 9) / length) < 1e-6));
  }
  const tooMany = await failureOf(client.embeddings.create({ model: 'alpha', input, dimensions: 10_000 }));
  assert.equal([tooMany.status, tooMany.param], [400, 'dimensions']);
  assert.not.equal(data[0]?.embedding, data[1]?.embedding);
});

check('tokenize and detokenize', async () => {
  const text = 'hello <|end|> \u00e9';
  const { tokens } = (await post('/v1/tokenize', { content: text })) as { tokens: number[] };
  assert.not(tokens.includes(269), 'a text cannot spell a control token');
  assert.equal(await post('/v1/detokenize', { tokens }), { content: text });
  const pieces = (await post('/v1/tokenize', { content: 'hello', with_pieces: true })) as {
    tokens: { piece: string }[];
  };
  assert.is(pieces.tokens.map(({ piece }) => piece).join(''), 'hello');
});

check('what clients say in other ways', async () => {
  const plain = await client.chat.completions.create(GREEDY);
  const said = (role: 'system' | 'developer') =>
    client.chat.completions.create({ ...GREEDY, messages: [{ role, content: 'be brief' }, ...HELLO] });
  const [system, developer] = await Promise.all([said('system'), said('developer')]);
  assert.is(developer.choices[0]?.message.content, system.choices[0]?.message.content);
  const { max_tokens: _, ...rest } = GREEDY;
  const limited = await client.chat.completions.create({ ...rest, max_completion_tokens: 12 });
  assert.is(limited.choices[0]?.message.content, plain.choices[0]?.message.content);
  const stop = plain.choices[0]?.message.content?.slice(5, 8);
  const unlimited = await client.chat.completions.create({ ...GREEDY, max_tokens: -1, stop });
  assert.is(unlimited.choices[0]?.finish_reason, 'stop');
  // an answer that was nothing but calls, as clients send it back
  const call = { id: 'call_1', type: 'function' as const, function: { name: 'time', arguments: '{}' } };
  const trip = await client.chat.completions.create({
    ...GREEDY,
    messages: [
      ...HELLO,
      { role: 'assistant', content: null, tool_calls: [call] },
      { role: 'tool', tool_call_id: 'call_1', content: '12:00' },
    ],
  });
  assert.is(trip.usage?.completion_tokens, 12);
  const nothing = await client.completions.create({ model: 'plain', prompt: 'hello', max_tokens: 0, echo: true });
  assert.equal([nothing.choices[0]?.text, nothing.choices[0]?.finish_reason], ['hello', 'length']);
});

check('a conversation that has outgrown the context loses its oldest turns, where that is asked for', async () => {
  const turn = (i: number) => [
    { role: 'user' as const, content: `question ${i} ${'x'.repeat(30)}` },
    { role: 'assistant' as const, content: `answer ${i}` },
  ];
  const system = { role: 'system' as const, content: 'be brief' };
  const conversation = (turns: number) => [
    system,
    ...Array.from({ length: turns }, (_, i) => turn(i)).flat(),
    { role: 'user' as const, content: 'and now?' },
  ];
  const ask = async (turns: number) => {
    const request = { ...GREEDY, max_tokens: 1, messages: conversation(turns), truncation: 'auto' };
    const { usage, dropped_messages: dropped = 0 } = (await client.chat.completions.create(
      request,
    )) as OpenAI.ChatCompletion & { dropped_messages?: number };
    return { prompt: usage?.prompt_tokens ?? 0, cached: usage?.prompt_tokens_details?.cached_tokens ?? 0, dropped };
  };
  assert.is((await ask(2)).dropped, 0);
  const first = await ask(14);
  assert.ok(first.dropped > 0 && first.dropped % 2 === 0 && first.prompt < 512, JSON.stringify(first));
  const next = await ask(15);
  assert.is(next.dropped, first.dropped, 'half a context at a time');
  assert.ok(next.cached > first.prompt / 2, `${next.cached} of ${first.prompt} are not read again`);
  const refused = await failureOf(client.chat.completions.create({ ...GREEDY, messages: conversation(14) }));
  assert.is(refused.code, 'context_length_exceeded');
});

check('tools reach the template, and contents in parts are joined', async () => {
  const tool = { type: 'function' as const, function: { name: 'weather', parameters: { type: 'object' } } };
  const parts = [
    { type: 'text' as const, text: 'hello ' },
    { type: 'text' as const, text: 'world' },
  ];
  const plain = await client.chat.completions.create(GREEDY);
  const inParts = await client.chat.completions.create({ ...GREEDY, messages: [{ role: 'user', content: parts }] });
  assert.is(inParts.choices[0]?.message.content, plain.choices[0]?.message.content);
  const withTool = await client.chat.completions.create({ ...GREEDY, tools: [tool] });
  assert.ok((withTool.usage?.prompt_tokens ?? 0) > (plain.usage?.prompt_tokens ?? 0) + 10);
  const without = await client.chat.completions.create({ ...GREEDY, tools: [tool], tool_choice: 'none' });
  assert.is(without.usage?.prompt_tokens, plain.usage?.prompt_tokens);
});

check('JSON of any kind, by a schema, and calls that must be made', async () => {
  const base = { ...GREEDY, temperature: 1, seed: 4, max_tokens: 120 };
  const any = await client.chat.completions.create({ ...base, response_format: { type: 'json_object' } });
  if (any.choices[0]?.finish_reason === 'stop') assert.type(JSON.parse(any.choices[0].message.content ?? ''), 'object');
  const schema = {
    type: 'object',
    properties: { name: { enum: ['ann', 'bob'] }, age: { type: 'integer', minimum: 0, maximum: 99 } },
    required: ['name', 'age'],
    additionalProperties: false,
  };
  const json_schema = { name: 'person', schema, strict: true };
  const { choices } = await client.chat.completions.create({
    ...base,
    n: 3,
    response_format: { type: 'json_schema', json_schema },
  });
  for (const { message } of choices) {
    const { name, age } = JSON.parse(message.content ?? '');
    assert.ok(['ann', 'bob'].includes(name) && age >= 0 && age <= 99, message.content ?? '');
  }
  const parameters = { ...schema, properties: { name: { enum: ['x', 'y'] } }, required: ['name'] };
  const tools = ['weather', 'time'].map((name) => ({ type: 'function' as const, function: { name, parameters } }));
  const called = await client.chat.completions.create({ ...base, tools, tool_choice: 'required' });
  const [call] = called.choices[0]?.message.tool_calls ?? [];
  assert.is(called.choices[0]?.finish_reason, 'tool_calls');
  assert.is(called.choices[0]?.message.content, null);
  assert.ok(call?.type === 'function' && ['weather', 'time'].includes(call.function.name));
  assert.ok(call?.type === 'function' && ['x', 'y'].includes(JSON.parse(call.function.arguments).name));
  const named = { type: 'function' as const, function: { name: 'time' } };
  const stream = client.chat.completions.stream({ ...base, tools, tool_choice: named });
  const [final] = (await stream.finalMessage()).tool_calls ?? [];
  assert.is(final?.type === 'function' && final.function.name, 'time');
  const bad = { name: 'bad', schema: { type: 'object', not: {} } };
  const refused = client.chat.completions.create({
    ...base,
    response_format: { type: 'json_schema', json_schema: bad },
  });
  assert.is((await failureOf(refused)).status, 400);
});

check('an abort ends the work', async () => {
  const stop = new AbortController();
  const stream = await client.chat.completions.create(
    { ...GREEDY, max_tokens: 200, stream: true },
    { signal: stop.signal },
  );
  for await (const _ of stream) {
    stop.abort();
    break;
  }
  await untilIdle();
});

check('what cannot be served is told in the shape that the client reads', async () => {
  const chat = (changes: object) => () => client.chat.completions.create({ ...GREEDY, ...changes, stream: false });
  const picture = { role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:' } }] };
  const cases: readonly (readonly [call: () => Promise<unknown>, status: number, code: string])[] = [
    [chat({ model: 'nobody' }), 404, 'model_not_found'],
    [chat({ temperature: -1 }), 400, 'invalid_value'],
    [chat({ messages: [] }), 400, 'invalid_value'],
    [chat({ model: 'plain' }), 400, 'unsupported_model'],
    [chat({ messages: [{ role: 'user', content: 'x'.repeat(5000) }] }), 400, 'context_length_exceeded'],
    [chat({ messages: [picture] }), 400, 'invalid_value'],
    [() => client.completions.create({ model: 'alpha', prompt: [99999] }), 400, 'invalid_value'],
  ];
  for (const [call, status, code] of cases) {
    const failure = await failureOf(call());
    assert.equal([failure.status, failure.code], [status, code]);
    assert.ok(failure.message.length > 20 && !failure.message.includes('secret'), failure.message);
  }
});

async function post(path: string, body: object): Promise<unknown> {
  const response = await fetch(`${serving.url}${path}`, { method: 'POST', body: JSON.stringify(body) });
  assert.is(response.status, 200);
  return response.json();
}

async function untilIdle(): Promise<void> {
  for (let i = 0; i < 100; i++) {
    if (serving.host.resident().every(({ leases, batch }) => leases === 0 && batch.status.running === 0)) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.unreachable('the work goes on');
}

test.run();
