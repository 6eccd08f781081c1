/** Ollama's API, as far as its clients need it to chat with models that are there. */
import type { Context, Hono } from 'hono';
import type { ChatMessage } from '../../engine/chat-template.ts';
import type { TextOptions } from '../../engine/generate-text.ts';
import type { ReplyOptions } from '../../engine/reply.ts';
import { type Answer, answer, type ChatPart, readReply } from './answer.ts';
import { prepareConstraints } from './constraints.ts';
import { embed } from './embeddings.ts';
import { describeFailure, RequestError } from './errors.ts';
import type { FactFinder, ModelFacts } from './facts.ts';
import type { Lease } from './host.ts';
import { keepAliveMs } from './keep-alive.ts';
import type { KnownModel } from './load.ts';
import { tokenLogprobs } from './openai-shapes.ts';
import { chatPrompt, fittingChatPrompt, textPrompt, tokenizerOf } from './prompts.ts';
import {
  chatMessages,
  OllamaChatRequest,
  OllamaEmbeddingsRequest,
  OllamaEmbedRequest,
  OllamaGenerateRequest,
  OllamaShowRequest,
  parseBody,
  textOptions,
} from './requests.ts';
import { clientOf, readJson, requestAbort, type Service } from './service.ts';
import { lineStream, startEarly, streamBody } from './stream.ts';

const NANOSECONDS = 1e6; // in a millisecond
/** What Ollama says of a model that stays. */
const FOR_EVER = new Date('2318-01-01T00:00:00Z');

export function ollamaError(error: unknown): object {
  return { error: describeFailure(error).message };
}

export function ollamaRoutes(app: Hono, service: Service, facts: FactFinder): void {
  const { host } = service;
  app.get('/api/version', (c) => c.json({ version: service.version }));

  app.get('/api/tags', async (c) => {
    const models = await host.known();
    const described = models.map(async (model) => ({
      ...nameOf(model),
      ...fileOf(model),
      ...(await detailsOf(model)),
    }));
    return c.json({ models: await Promise.all(described) });
  });

  app.get('/api/ps', async (c) => {
    const models = await host.known();
    const residents = host.resident().map(async ({ name, model, batch, expiresMs }) => {
      const known = models.find((one) => one.name === name);
      const { weights, kv } = model.memory();
      return {
        name,
        model: name,
        size: weights + kv,
        size_vram: weights + kv,
        context_length: batch.context,
        expires_at: (expiresMs === undefined ? FOR_EVER : new Date(expiresMs)).toISOString(),
        ...(known && (await detailsOf(known))),
      };
    });
    return c.json({ models: await Promise.all(residents) });
  });

  app.post('/api/show', async (c) => {
    const { model, name = model } = parseBody(OllamaShowRequest, await readJson(c));
    if (name === undefined) throw new RequestError(400, 'invalid_value', 'model: say which', { param: 'model' });
    const known = await host.find(name);
    const found = await facts(known);
    const resident = host.resident().find((one) => one.name === known.name);
    return c.json({
      ...describeModel(known, found, resident?.batch.context ?? found.config.context),
      ...(await detailsOf(known)),
    });
  });

  app.post('/api/chat', async (c) => {
    const body = parseBody(OllamaChatRequest, await readJson(c));
    const given = body.messages ?? [];
    if (given.some(({ images }) => images && images.length > 0)) throw noPictures();
    const messages = chatMessages(given).map(({ thinking, ...message }) => ({
      ...message,
      ...(typeof thinking === 'string' && { reasoning_content: thinking }),
    }));
    if (messages.length === 0)
      return loadOnly(c, body, (done) => ({ message: { role: 'assistant', content: '' }, ...done }));
    const wanted = { tools: body.tools, thinking: thinkingOf(body.think) };
    const prompt = (lease: Lease) =>
      body.truncate === false
        ? chatPrompt(lease.name, lease.model, messages as readonly ChatMessage[], wanted)
        : fittingChatPrompt(lease, messages as readonly ChatMessage[], {
            ...wanted,
            maxTokens: predictLimit(body.options?.num_predict),
          });
    return run(c, body, prompt, ({ text, thinking, calls }) => ({
      message: {
        role: 'assistant',
        content: text,
        ...(thinking !== '' && { thinking }),
        ...(calls.length > 0 && { tool_calls: calls }),
      },
    }));
  });

  app.post('/api/generate', async (c) => {
    const body = parseBody(OllamaGenerateRequest, await readJson(c));
    if (body.images && body.images.length > 0) throw noPictures();
    if (body.suffix) throw new RequestError(400, 'unsupported_value', 'suffix: not supported', { param: 'suffix' });
    const text = body.prompt ?? '';
    if (text === '') return loadOnly(c, body, (done) => ({ response: '', ...done }));
    const prompt = async ({ name, model }: Lease) => {
      if (body.raw || model.chatTemplate === undefined) return { ids: textPrompt(name, model, text), reply: {} };
      const system: ChatMessage[] = body.system ? [{ role: 'system', content: body.system }] : [];
      const messages: ChatMessage[] = [...system, { role: 'user', content: text }];
      return chatPrompt(name, model, messages, { thinking: thinkingOf(body.think) });
    };
    return run(c, body, prompt, ({ text: response, thinking }) => ({ response, ...(thinking !== '' && { thinking }) }));
  });

  app.post('/api/embed', async (c) => {
    const startMs = performance.now();
    const { model, input, keep_alive, truncate, dimensions } = parseBody(OllamaEmbedRequest, await readJson(c));
    const { name, vectors, tokens } = await embed(service, model, typeof input === 'string' ? [input] : input, {
      client: clientOf(c, ''),
      signal: requestAbort(c, service).signal,
      keepAliveMs: keepAliveMs(keep_alive),
      dimensions: dimensions ?? undefined,
      truncate: truncate ?? true,
    });
    return c.json({
      model: name,
      embeddings: vectors.map((vector) => [...vector]),
      total_duration: Math.round((performance.now() - startMs) * NANOSECONDS),
      prompt_eval_count: tokens,
    });
  });
  app.post('/api/embeddings', async (c) => {
    const { model, prompt, keep_alive } = parseBody(OllamaEmbeddingsRequest, await readJson(c));
    const { vectors } = await embed(service, model, [prompt], {
      client: clientOf(c, ''),
      signal: requestAbort(c, service).signal,
      keepAliveMs: keepAliveMs(keep_alive),
      truncate: true,
    });
    return c.json({ embedding: [...(vectors[0] as Float32Array)] });
  });

  async function detailsOf(model: KnownModel): Promise<object> {
    const found = await facts(model).catch(() => undefined); // a file that cannot be read is listed all the same
    const family = found?.config.architecture ?? '';
    return {
      digest: found?.digest ?? '',
      details: {
        parent_model: '',
        format: found?.format.toLowerCase().startsWith('gguf') ? 'gguf' : (found?.format ?? ''),
        family,
        families: family ? [family] : [],
        parameter_size: found ? shortCount(found.parameters) : '',
        quantization_level: found?.type ?? '',
      },
    };
  }

  type Body = {
    readonly model: string;
    readonly keep_alive?: string | number | null | undefined;
  };

  /** Ollama's way to load a model, or with `keep_alive` 0 to unload it. */
  async function loadOnly(c: Context, body: Body, shape: (done: object) => object): Promise<Response> {
    const keepAlive = keepAliveMs(body.keep_alive);
    if (keepAlive === 0) await host.unload(body.model);
    else (await host.lease(body.model, requestAbort(c, service).signal)).release(keepAlive);
    const done_reason = keepAlive === 0 ? 'unload' : 'load';
    return c.json({ model: body.model, created_at: new Date().toISOString(), ...shape({ done: true, done_reason }) });
  }

  type Run = Body & {
    readonly stream?: boolean | null | undefined;
    readonly format?: string | object | null | undefined;
    readonly options?:
      | (Parameters<typeof textOptions>[0] & { readonly num_predict?: number | null | undefined })
      | null
      | undefined;
    readonly logprobs?: boolean | null | undefined;
    readonly top_logprobs?: number | null | undefined;
  };

  async function run(
    c: Context,
    body: Run,
    promptOf: (lease: Lease) => Promise<{ ids: readonly number[]; reply: ReplyOptions }>,
    shape: (said: Said) => object,
  ): Promise<Response> {
    const startMs = performance.now();
    const sampling = textOptions(body.options ?? {});
    const keepAlive = keepAliveMs(body.keep_alive);
    const abort = requestAbort(c, service);
    const lease = await host.lease(body.model, abort.signal);
    const loadMs = performance.now() - startMs;
    const { name, model } = lease;
    let made: Answer;
    let parts: AsyncGenerator<ChatPart, void, void>;
    try {
      const { ids, reply } = await promptOf(lease);
      const schema =
        body.format === 'json' ? true : typeof body.format === 'object' ? (body.format ?? undefined) : undefined;
      const options: TextOptions = {
        ...sampling,
        maxTokens: predictLimit(body.options?.num_predict),
        logprobs: body.logprobs ? (body.top_logprobs ?? 0) : undefined,
        constraint: prepareConstraints(name, model, schema)(),
      };
      made = answer(service, lease.share(), ids, {
        ...options,
        client: clientOf(c, ''),
        signal: abort.signal,
        keepAliveMs: keepAlive,
      });
      parts = readReply(made.parts, reply);
    } finally {
      lease.release();
    }
    const head = () => ({ model: name, created_at: new Date().toISOString() });
    const tokenizer = tokenizerOf(name, model);
    const logprobsOf = (found: readonly ChatPart[]) =>
      body.logprobs
        ? { logprobs: found.flatMap(({ token }) => (token.logprobs ? [tokenLogprobs(token.logprobs, tokenizer)] : [])) }
        : {};
    const closing = (last: ChatPart | undefined) => {
      const { promptTokens, prefillMs, tokens, decodeMs } = made.stats;
      return {
        done: true,
        done_reason: last?.token.finish === 'stop' ? 'stop' : 'length',
        total_duration: Math.round((performance.now() - startMs) * NANOSECONDS),
        load_duration: Math.round(loadMs * NANOSECONDS),
        prompt_eval_count: promptTokens,
        prompt_eval_duration: Math.round(prefillMs * NANOSECONDS),
        eval_count: tokens,
        eval_duration: Math.round(decodeMs * NANOSECONDS),
      };
    };
    if (body.stream === false) {
      const all: ChatPart[] = [];
      for await (const part of parts) all.push(part);
      return c.json({ ...head(), ...shape(sayAll(all)), ...logprobsOf(all), ...closing(all.at(-1)) });
    }
    async function* lines(): AsyncGenerator<object, void, void> {
      let last: ChatPart | undefined;
      for await (const part of parts) {
        last = part;
        const said = sayAll([part]);
        if (said.text !== '' || said.thinking !== '' || said.calls.length > 0 || (body.logprobs && part.token.logprobs))
          yield { ...head(), ...shape(said), ...logprobsOf([part]), done: false };
      }
      yield { ...head(), ...shape(sayAll([])), ...closing(last) };
    }
    const started = lineStream(await startEarly(lines()), ollamaError);
    c.header('content-type', 'application/x-ndjson');
    return c.body(streamBody(started, { abort }));
  }
}

/** What parts of an answer say together. */
interface Said {
  readonly text: string;
  readonly thinking: string;
  readonly calls: readonly object[];
}

function sayAll(parts: readonly ChatPart[]): Said {
  let text = '';
  let thinking = '';
  const calls: object[] = [];
  for (const part of parts.flatMap(({ said }) => said)) {
    if (part.kind === 'text') text += part.text;
    else if (part.kind === 'reasoning') thinking += part.text;
    else calls.push({ function: { name: part.name, arguments: JSON.parse(part.input) } });
  }
  return { text, thinking, calls };
}

function thinkingOf(think: boolean | string | null | undefined): boolean | undefined {
  if (think === undefined || think === null) return undefined;
  return think !== false && think !== 'none';
}

/** Of num_predict; 0 and below are ways to say that there is none. */
function predictLimit(limit: number | null | undefined): number | undefined {
  return typeof limit === 'number' && limit > 0 ? limit : undefined;
}

function noPictures(): RequestError {
  return new RequestError(400, 'unsupported_value', 'images: this server reads text only', { param: 'images' });
}

function nameOf({ name }: KnownModel): object {
  return { name, model: name };
}

function fileOf({ bytes, modifiedMs }: KnownModel): object {
  return { size: bytes ?? 0, modified_at: new Date(modifiedMs).toISOString() };
}

/** @param context positions of a request: clients go by what is said of the model's */
function describeModel(known: KnownModel, { config, parameters, template }: ModelFacts, context: number): object {
  const { architecture } = config;
  const capabilities = ['completion']; // embeddings too, but clients take a model that says so for one that makes nothing else
  if (template?.includes('tools')) capabilities.push('tools');
  if (template?.includes('<think>')) capabilities.push('thinking');
  return {
    modelfile: `FROM ${known.name}`,
    parameters: '',
    template: template ?? '',
    license: '',
    modified_at: new Date(known.modifiedMs).toISOString(),
    model_info: {
      'general.architecture': architecture,
      'general.parameter_count': parameters,
      [`${architecture}.context_length`]: context,
      [`${architecture}.embedding_length`]: config.hidden,
      [`${architecture}.block_count`]: config.layers,
      [`${architecture}.attention.head_count`]: config.heads,
      [`${architecture}.attention.head_count_kv`]: config.kvHeads,
    },
    capabilities,
  };
}

/** `6.7B`, `7.9M`. */
function shortCount(count: number): string {
  const [divisor, unit] = count >= 1e9 ? [1e9, 'B'] : count >= 1e6 ? [1e6, 'M'] : [1e3, 'K'];
  return `${(count / divisor).toFixed(1)}${unit}`;
}
