/** OpenAI's completions: texts that go on. */
import type { Context } from 'hono';
import type { TextOptions, TextPart } from '../../engine/generate-text.ts';
import type { Tokenizer } from '../../engine/tokenizer.ts';
import { assert } from '../../quant/errors.ts';
import { type Answer, answer } from './answer.ts';
import { prepareConstraints } from './constraints.ts';
import { RequestError } from './errors.ts';
import { keepAliveMs } from './keep-alive.ts';
import { allOrNone, finishReason, head, listOf, pieceText, seeds, streamed, timingsOf } from './openai-shapes.ts';
import { textPrompt, tokenizerOf } from './prompts.ts';
import { CompletionRequest, mostTokens, parseBody, textOptions, wantedSchema } from './requests.ts';
import { clientOf, readJson, requestAbort, type Service } from './service.ts';
import { merge } from './stream.ts';

const COMPLETION_TOKENS = 16;

export async function completion(c: Context, service: Service): Promise<Response> {
  const body = parseBody(CompletionRequest, await readJson(c));
  if (body.suffix) throw new RequestError(400, 'unsupported_value', 'suffix: not supported', { param: 'suffix' });
  const sampling = textOptions(body);
  const keepAlive = keepAliveMs(body.keep_alive);
  const schema = wantedSchema(body.response_format);
  const abort = requestAbort(c, service);
  const lease = await service.host.lease(body.model ?? '', abort.signal);
  const { name, model } = lease;
  const answers: Answer[] = [];
  const echoes: string[] = [];
  try {
    const tokenizer = tokenizerOf(name, model);
    const constraint = prepareConstraints(name, model, schema);
    const prompts = listOf(body.prompt).map((prompt) => {
      const echo = typeof prompt === 'string' ? prompt : tokenizer.decode(prompt);
      return { ids: textPrompt(name, model, prompt), echo };
    });
    for (const { ids, echo } of prompts) {
      const options: TextOptions = {
        ...sampling,
        maxTokens: mostTokens(body.max_tokens ?? COMPLETION_TOKENS),
        logprobs: body.logprobs ?? undefined,
        continued: echo !== '',
      };
      for (const seed of seeds(options, body.n ?? 1)) {
        echoes.push(body.echo ? echo : '');
        answers.push(
          answer(service, lease.share(), ids, {
            ...options,
            seed,
            constraint: constraint(),
            client: clientOf(c, body.user),
            signal: abort.signal,
            keepAliveMs: keepAlive,
          }),
        );
      }
    }
  } finally {
    lease.release();
  }
  const tokenizer = tokenizerOf(name, model);
  const common = { ...head('cmpl', name, service), object: 'text_completion' };
  const pieces = answers.map(({ parts }, index) =>
    completionPieces(parts, index, echoes[index] ?? '', tokenizer, body.logprobs),
  );
  const usage = () => {
    const prompt = answers.reduce((sum, { stats }) => sum + stats.promptTokens, 0) / (body.n ?? 1);
    const made = answers.reduce((sum, { stats }) => sum + stats.tokens, 0);
    return { prompt_tokens: prompt, completion_tokens: made, total_tokens: prompt + made };
  };
  if (!body.stream) {
    const choices = await allOrNone(pieces, pieces.map(joinPieces));
    return c.json({ ...common, choices, usage: usage(), timings: timingsOf(answers) });
  }
  const withUsage = body.stream_options?.include_usage === true;
  async function* chunks(): AsyncGenerator<object, void, void> {
    for await (const choice of merge(pieces)) yield { ...common, choices: [choice], ...(withUsage && { usage: null }) };
    if (withUsage) yield { ...common, choices: [], usage: usage(), timings: timingsOf(answers) };
  }
  return streamed(c, chunks(), abort);
}

interface CompletionPiece {
  readonly index: number;
  readonly text: string;
  readonly logprobs: CompletionLogprobs | null;
  readonly finish_reason: string | null;
}

interface CompletionLogprobs {
  readonly tokens: readonly string[];
  readonly token_logprobs: readonly number[];
  readonly top_logprobs: readonly Readonly<Record<string, number>>[];
  readonly text_offset: readonly number[];
}

async function* completionPieces(
  parts: AsyncIterable<TextPart>,
  index: number,
  echo: string,
  tokenizer: Tokenizer,
  wanted: number | null | undefined,
): AsyncGenerator<CompletionPiece, void, void> {
  let offset = echo.length;
  let ended = false;
  if (echo !== '') yield { index, text: echo, logprobs: null, finish_reason: null };
  for await (const { text, logprobs, finish } of parts) {
    const found: CompletionLogprobs | null =
      logprobs && typeof wanted === 'number'
        ? {
            tokens: [pieceText(logprobs.id, tokenizer)],
            token_logprobs: [logprobs.logprob],
            top_logprobs: [
              Object.fromEntries(logprobs.top.map(({ id, logprob }) => [pieceText(id, tokenizer), logprob])),
            ],
            text_offset: [offset],
          }
        : null;
    offset += text.length;
    const reason = finish ? finishReason(finish, false) : null;
    ended ||= reason !== null;
    if (text !== '' || found || reason) yield { index, text, logprobs: found, finish_reason: reason };
  }
  if (!ended) yield { index, text: '', logprobs: null, finish_reason: 'length' }; // no token was wanted
}

async function joinPieces(pieces: AsyncIterable<CompletionPiece>): Promise<CompletionPiece> {
  let joined: CompletionPiece | undefined;
  for await (const piece of pieces) joined = joined ? joinTwo(joined, piece) : piece;
  assert(joined, 'an answer has its end');
  return joined;
}

function joinTwo(a: CompletionPiece, b: CompletionPiece): CompletionPiece {
  const list = <T>(of: (logprobs: CompletionLogprobs) => readonly T[]): T[] => [
    ...(a.logprobs ? of(a.logprobs) : []),
    ...(b.logprobs ? of(b.logprobs) : []),
  ];
  return {
    index: a.index,
    text: a.text + b.text,
    logprobs:
      a.logprobs || b.logprobs
        ? {
            tokens: list((logprobs) => logprobs.tokens),
            token_logprobs: list((logprobs) => logprobs.token_logprobs),
            top_logprobs: list((logprobs) => logprobs.top_logprobs),
            text_offset: list((logprobs) => logprobs.text_offset),
          }
        : null,
    finish_reason: b.finish_reason ?? a.finish_reason,
  };
}
