/** What the objects of OpenAI's API have in common. */
import { randomUUID } from 'node:crypto';
import type { Context } from 'hono';
import type { TextOptions, TextPart } from '../../engine/generate-text.ts';
import type { Logprob, Logprobs } from '../../engine/logprobs.ts';
import { seedsFrom } from '../../engine/sampler.ts';
import type { Tokenizer } from '../../engine/tokenizer.ts';
import type { Answer } from './answer.ts';
import { describeFailure, openaiError } from './errors.ts';
import type { Service } from './service.ts';
import { eventStream, startEarly, streamBody } from './stream.ts';

const HEARTBEAT = ': still at work\n\n';

/** What all objects of one answer begin with. */
export function head(kind: string, name: string, { fingerprint }: Service) {
  const id = `${kind}-${randomUUID().replaceAll('-', '')}`;
  return { id, created: Math.floor(Date.now() / 1000), model: name, system_fingerprint: fingerprint };
}

/** One seed for each of n choices; those of a given seed follow each other. */
export function seeds({ seed }: TextOptions, n: number): (number | undefined)[] {
  return seed === undefined ? new Array(n).fill(undefined) : seedsFrom(seed, n);
}

/** Waits for all; if one fails the others are not finished. */
export async function allOrNone<T>(
  sources: readonly AsyncGenerator<unknown>[],
  results: readonly Promise<T>[],
): Promise<T[]> {
  try {
    return await Promise.all(results);
  } catch (error) {
    await Promise.allSettled(sources.map((source) => source.return(undefined)));
    throw error;
  }
}

export async function streamed(c: Context, values: AsyncGenerator<object, void, void>, abort: AbortController) {
  const started = await startEarly(values);
  const events = eventStream(started, (error) => openaiError(describeFailure(error)));
  c.header('content-type', 'text/event-stream');
  c.header('cache-control', 'no-cache');
  c.header('x-accel-buffering', 'no');
  return c.body(streamBody(events, { heartbeat: HEARTBEAT, abort }));
}

export function finishReason(finish: TextPart['finish'], called: boolean): string {
  if (finish === 'stop') return called ? 'tool_calls' : 'stop';
  return 'length';
}

export function usageOf(answers: readonly Answer[]) {
  const [first] = answers;
  const prompt = first?.stats.promptTokens ?? 0;
  const made = answers.reduce((sum, { stats }) => sum + stats.tokens, 0);
  return {
    prompt_tokens: prompt,
    completion_tokens: made,
    total_tokens: prompt + made,
    prompt_tokens_details: { cached_tokens: first?.stats.reusedTokens ?? 0 },
  };
}

/** As llama.cpp's server names them; of the first choice. */
export function timingsOf([first]: readonly Answer[]) {
  if (!first) return undefined;
  const { promptTokens, reusedTokens, prefillMs, tokens, decodeMs, queuedMs } = first.stats;
  const rate = (count: number, ms: number) => (ms > 0 ? (1000 * count) / ms : null);
  return {
    cache_n: reusedTokens,
    prompt_n: promptTokens - reusedTokens,
    prompt_ms: prefillMs,
    prompt_per_second: rate(promptTokens - reusedTokens, prefillMs),
    predicted_n: tokens,
    predicted_ms: decodeMs,
    predicted_per_second: rate(tokens - 1, decodeMs),
    queued_ms: queuedMs,
  };
}

export function tokenLogprobs({ id, logprob, top }: Logprobs, tokenizer: Tokenizer): object {
  const one = (token: Logprob) => {
    const bytes = tokenizer.bytes(token.id);
    return { token: pieceText(token.id, tokenizer), logprob: token.logprob, bytes: [...bytes] };
  };
  return { ...one({ id, logprob }), top_logprobs: top.map(one) };
}

export function pieceText(id: number, tokenizer: Tokenizer): string {
  return tokenizer.decode([id], { special: true, continued: true });
}

/** A text, ids, or a list of such. */
export function listOf(
  input: string | readonly (string | number | readonly number[])[],
): (string | readonly number[])[] {
  if (typeof input === 'string') return [input];
  return typeof input[0] === 'number' ? [input as readonly number[]] : (input as (string | readonly number[])[]);
}
