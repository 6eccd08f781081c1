/** From a prompt to an answer, whatever API asked for it: leases, a lost GPU on the way, text, reasoning, calls, counts. */

import { generateText, type TextOptions, type TextPart } from '../../engine/generate-text.ts';
import { createReplyReader, type ReplyOptions, type ReplyPart } from '../../engine/reply.ts';
import { completeSampling } from '../../engine/sampler.ts';
import type { BatchStats, BatchTokenOptions } from '../../engine/sequence.ts';
import type { GeneratedToken } from '../../engine/session.ts';
import { FirstlightError } from '../../quant/errors.ts';
import type { Host, Lease } from './host.ts';
import type { AnswerStats, Meter } from './metrics.ts';

/** How often an answer goes on after its GPU was lost. */
const MOST_RESUMES = 2;

export interface AnswerOptions extends TextOptions {
  readonly client?: string | undefined;
  readonly signal: AbortSignal;
  /** How long the model is to stay loaded from then on. Default as the server was told. */
  readonly keepAliveMs?: number | undefined;
}

export interface Answer {
  readonly parts: AsyncGenerator<TextPart, void, void>;
  /** Complete when the parts have ended. */
  readonly stats: AnswerStats;
}

/** Server's side of answering. */
export interface Answering {
  readonly host: Host;
  readonly meter: Meter;
}

/** The text that goes on from `ids`, on a model that is leased already; gives the lease back at the end. */
export function answer(
  { host, meter }: Answering,
  lease: Lease,
  ids: readonly number[],
  options: AnswerOptions,
): Answer {
  let stats: AnswerStats = {
    promptTokens: ids.length,
    reusedTokens: 0,
    tokens: 0,
    queuedMs: 0,
    prefillMs: 0,
    decodeMs: 0,
  };
  let current = lease;

  async function* tokens(
    prompt: readonly number[],
    tokenOptions: BatchTokenOptions = {},
  ): AsyncGenerator<GeneratedToken, void, void> {
    const made: number[] = [];
    const { seed } = completeSampling(tokenOptions); // the same for all attempts
    for (let resumes = 0; ; resumes++) {
      const onStats = (latest: BatchStats) => {
        stats = resumes === 0 ? latest : { ...stats, tokens: made.length, decodeMs: stats.decodeMs + latest.decodeMs };
      };
      const { maxTokens } = tokenOptions;
      const rest = {
        ...tokenOptions,
        client: options.client,
        onStats,
        maxTokens: maxTokens && maxTokens - made.length,
        promptTokens: prompt.length,
        seed,
      };
      try {
        // what has been made is part of the prompt now: draws depend on the position alone, so the text goes on as it would have
        for await (const token of current.batch.tokens([...prompt, ...made], rest)) {
          made.push(token.id);
          yield token;
        }
        return;
      } catch (error) {
        host.suspect(current, error);
        if (!isGpuFailure(error) || resumes === MOST_RESUMES) throw error;
        current = await current.renew(options.signal);
      }
    }
  }

  async function* parts(): AsyncGenerator<TextPart, void, void> {
    const startMs = performance.now();
    let first = true;
    try {
      for await (const part of generateText({ model: lease.model, tokens }, ids, options)) {
        if (first) meter.firstToken(performance.now() - startMs);
        first = false;
        yield part;
      }
    } finally {
      current.release(options.keepAliveMs);
      meter.answered(stats);
    }
  }

  return {
    parts: parts(),
    get stats() {
      return stats;
    },
  };
}

function isGpuFailure(error: unknown): boolean {
  return error instanceof FirstlightError && (error.code === 'device-lost' || error.code === 'device-timeout');
}

/** A part of a chat model's answer. */
export interface ChatPart {
  readonly said: readonly ReplyPart[];
  readonly token: TextPart;
}

/** An answer read as a chat model's. */
export async function* readReply(
  parts: AsyncIterable<TextPart>,
  options: ReplyOptions,
): AsyncGenerator<ChatPart, void, void> {
  const reader = createReplyReader(options);
  for await (const token of parts) {
    const said = reader.push(token.text);
    yield { said: token.finish ? [...said, ...reader.end()] : said, token };
  }
}
