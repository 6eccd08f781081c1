/** OpenAI's chat completions. */
import { randomUUID } from 'node:crypto';
import type { Context } from 'hono';
import type { TextOptions, TextPart } from '../../engine/generate-text.ts';
import type { ReplyPart } from '../../engine/reply.ts';
import type { Tokenizer } from '../../engine/tokenizer.ts';
import { type Answer, answer, type ChatPart, readReply } from './answer.ts';
import { callSchema, prepareConstraints } from './constraints.ts';
import { keepAliveMs } from './keep-alive.ts';
import { allOrNone, finishReason, head, seeds, streamed, timingsOf, tokenLogprobs, usageOf } from './openai-shapes.ts';
import { chatPrompt, fittingChatPrompt, tokenizerOf } from './prompts.ts';
import {
  ChatRequest,
  chatMessages,
  checkToolChoice,
  mostTokens,
  parseBody,
  textOptions,
  wantedSchema,
} from './requests.ts';
import { clientOf, readJson, requestAbort, type Service } from './service.ts';
import { createLatest, merge } from './stream.ts';

export async function chatCompletion(c: Context, service: Service): Promise<Response> {
  const body = parseBody(ChatRequest, await readJson(c));
  const sampling = textOptions(body);
  const messages = chatMessages(body.messages);
  const keepAlive = keepAliveMs(body.keep_alive);
  const tools = body.tool_choice === 'none' ? [] : (body.tools ?? []);
  checkToolChoice(tools, body.tool_choice);
  const mustCall = callSchema(tools, body.tool_choice);
  const schema = mustCall ?? wantedSchema(body.response_format);
  const abort = requestAbort(c, service);
  const lease = await service.host.lease(body.model ?? '', abort.signal);
  const { name, model } = lease;
  let dropped: { readonly dropped_messages?: number } = {};
  const progress = createLatest<Record<string, unknown>>();
  let answers: readonly Answer[];
  let replies: readonly AsyncGenerator<ChatPart, void, void>[];
  try {
    const thinking = body.reasoning_effort === 'none' || schema !== undefined ? false : undefined;
    const maxTokens = mostTokens(body.max_completion_tokens ?? body.max_tokens);
    const wanted = { tools, thinking, variables: body.chat_template_kwargs };
    const prompt =
      body.truncation === 'auto'
        ? await fittingChatPrompt(lease, messages, { ...wanted, maxTokens })
        : { ...(await chatPrompt(name, model, messages, wanted)), dropped: 0 };
    const { ids, reply } = prompt;
    if (prompt.dropped > 0) dropped = { dropped_messages: prompt.dropped };
    const options: TextOptions = {
      ...sampling,
      maxTokens,
      logprobs: body.logprobs ? (body.top_logprobs ?? 0) : undefined,
      onPrefill: (done, total) => progress.set({ prompt_progress: { processed: done, total } }),
    };
    const constraint = prepareConstraints(name, model, schema);
    answers = seeds(options, body.n ?? 1).map((seed) =>
      answer(service, lease.share(), ids, {
        ...options,
        seed,
        constraint: constraint(),
        client: clientOf(c, body.user),
        signal: abort.signal,
        keepAliveMs: keepAlive,
      }),
    );
    replies = answers.map(({ parts }) => readReply(parts, reply));
  } finally {
    lease.release();
  }
  const tokenizer = tokenizerOf(name, model);
  const withLogprobs = body.logprobs === true;
  const common = head('chatcmpl', name, service);
  if (!body.stream) {
    const choices = await allOrNone(
      replies,
      replies.map((reply, index) => collectChoice(reply, index, tokenizer, withLogprobs)),
    );
    return c.json({
      ...common,
      object: 'chat.completion',
      choices,
      usage: usageOf(answers),
      timings: timingsOf(answers),
      ...dropped,
    });
  }
  const chunk = { ...common, object: 'chat.completion.chunk' };
  const withUsage = body.stream_options?.include_usage === true;
  async function* chunks(): AsyncGenerator<object, void, void> {
    const choices = replies.map((reply, index) => choiceChunks(reply, index, tokenizer, withLogprobs, progress.end));
    const sources = body.return_progress ? [progress.values, ...choices] : choices;
    for await (const { prompt_progress, ...choice } of merge<Record<string, unknown>>(sources)) {
      if (prompt_progress) yield { ...chunk, choices: [], prompt_progress };
      else yield { ...chunk, choices: [choice], ...(withUsage && { usage: null }) };
    }
    if (withUsage) yield { ...chunk, choices: [], usage: usageOf(answers), timings: timingsOf(answers), ...dropped };
  }
  return streamed(c, chunks(), abort);
}

/** A choice of a chat as one object. */
async function collectChoice(
  parts: AsyncIterable<ChatPart>,
  index: number,
  tokenizer: Tokenizer,
  withLogprobs: boolean,
): Promise<object> {
  let content = '';
  let reasoning = '';
  let finish: TextPart['finish'];
  const calls: object[] = [];
  const logprobs: object[] = [];
  for await (const { said, token } of parts) {
    for (const part of said) {
      if (part.kind === 'text') content += part.text;
      else if (part.kind === 'reasoning') reasoning += part.text;
      else calls.push(callObject(part));
    }
    if (token.logprobs) logprobs.push(tokenLogprobs(token.logprobs, tokenizer));
    finish = token.finish;
  }
  return {
    index,
    message: {
      role: 'assistant',
      content: content === '' && calls.length > 0 ? null : content,
      refusal: null,
      ...(reasoning !== '' && { reasoning_content: reasoning }),
      ...(calls.length > 0 && { tool_calls: calls }),
    },
    logprobs: withLogprobs ? { content: logprobs, refusal: null } : null,
    finish_reason: finishReason(finish, calls.length > 0),
  };
}

/** A choice of a chat as the pieces of a stream. */
async function* choiceChunks(
  parts: AsyncIterable<ChatPart>,
  index: number,
  tokenizer: Tokenizer,
  withLogprobs: boolean,
  onStart: () => void,
): AsyncGenerator<Record<string, unknown>, void, void> {
  const piece = (delta: object, logprobs: object | null = null, finish: string | null = null) => {
    return { index, delta, logprobs, finish_reason: finish };
  };
  let calls = 0;
  let first = true;
  try {
    for await (const { said, token } of parts) {
      if (first) {
        onStart();
        yield piece({ role: 'assistant', content: '' });
      }
      first = false;
      const found = withLogprobs && token.logprobs ? { content: [tokenLogprobs(token.logprobs, tokenizer)] } : null;
      const deltas = said.map((part): object => {
        if (part.kind === 'text') return { content: part.text };
        if (part.kind === 'reasoning') return { reasoning_content: part.text };
        return { tool_calls: [{ index: calls++, ...callObject(part) }] };
      });
      for (const [i, delta] of deltas.entries()) yield piece(delta, i === 0 ? found : null);
      if (deltas.length === 0 && found) yield piece({ content: '' }, found);
      if (token.finish) yield piece({}, null, finishReason(token.finish, calls > 0));
    }
  } finally {
    onStart(); // nobody waits for the prompt any more
  }
}

function callObject({ name, input }: ReplyPart & { readonly kind: 'call' }): object {
  return {
    id: `call_${randomUUID().replaceAll('-', '').slice(0, 24)}`,
    type: 'function',
    function: { name, arguments: input },
  };
}
