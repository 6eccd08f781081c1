/**
 * Perplexity: exp of the mean negative log-likelihood that a model gives to the tokens of a text.
 *
 * The text is read in windows of the session's context that overlap: each begins `stride` tokens behind the one before
 * and scores only the tokens that none before it has scored, so that each token is scored once and, but for the first
 * window's, with at least context - stride tokens before it
 * (https://huggingface.co/docs/transformers/perplexity). With stride = context / 2 that is the measure of llama.cpp's
 * llama-perplexity, which scores the second half of windows that do not overlap. As there, a window begins with the BOS
 * token if the model was trained with one; without, the text's first token has nothing before it and is not
 * scored, nor is the first one of each window where windows do not overlap.
 */
import { FirstlightError } from '../quant/errors.ts';
import type { Session } from './session.ts';

/** Options of measurePerplexity(). */
export interface PerplexityOptions {
  /** Tokens between the beginnings of two windows. Default half of the window. */
  readonly stride?: number | undefined;
  /** Put before each window; undefined for none. Default the tokenizer's, if the model was trained with one. */
  readonly bos?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called after each window with the text's tokens that are behind it. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** How well a model foretells a text. */
export interface Perplexity {
  readonly perplexity: number;
  /** Standard error of `perplexity`, taking tokens for independent. */
  readonly error: number;
  /** Mean negative log-likelihood of a token, in nats. */
  readonly nll: number;
  /** Tokens scored. */
  readonly tokens: number;
  /** Of the scored tokens' bytes: comparable between tokenizers. Undefined without a tokenizer. */
  readonly bitsPerByte: number | undefined;
  readonly windows: number;
  readonly stride: number;
}

/**
 * Measures the perplexity of a text.
 *
 * @param session its context is the window
 * @param ids the text's tokens, without BOS
 * @throws `bad-argument` for a text of no token to score, or a stride that is no length within the window; `wrong-result`
 *   for logits that are no numbers; what Session.logits throws
 */
export async function measurePerplexity(
  session: Session,
  ids: readonly number[],
  options: PerplexityOptions = {},
): Promise<Perplexity> {
  const { tokenizer } = session.model;
  const bos = 'bos' in options ? options.bos : tokenizer?.addBos ? tokenizer.bos : undefined;
  const head = bos === undefined ? [] : [bos];
  const window = session.context - head.length; // tokens of the text
  const stride = options.stride ?? Math.max(1, Math.floor(window / 2));
  if (!Number.isInteger(stride) || stride < 1 || stride > window)
    throw new FirstlightError('bad-argument', `the stride is ${stride}: it must be a whole number from 1 to ${window}`);
  if (ids.length + head.length < 2 || window < 2)
    throw new FirstlightError('bad-argument', 'the text has no token to score: give a longer one, or a larger context');

  let sum = 0;
  let squares = 0;
  let tokens = 0;
  let bytes = 0;
  let windows = 0;
  for (let start = 0, scored = 0; scored < ids.length; start += stride) {
    const end = Math.min(start + window, ids.length);
    const input = [...head, ...ids.slice(start, end - 1)]; // what follows the last token is not asked
    // a window's very first token has nothing before it
    let next = Math.max(scored, start + 1 - head.length);
    const from = head.length + next - start - 1;
    for await (const logits of session.logits(input, { from, signal: options.signal })) {
      const id = ids[next++]!;
      const nll = logSumExp(logits) - logits[id]!;
      if (!Number.isFinite(nll))
        throw new FirstlightError('wrong-result', `the logits before token ${next - 1} of the text are no numbers`);
      sum += nll;
      squares += nll * nll;
      tokens++;
      bytes += tokenizer?.bytes(id).length ?? 0;
    }
    scored = end;
    windows++;
    options.onProgress?.(end, ids.length);
  }
  const nll = sum / tokens;
  const perplexity = Math.exp(nll);
  const variance = tokens > 1 ? Math.max(0, squares / tokens - nll * nll) / (tokens - 1) : Number.NaN;
  const bitsPerByte = bytes > 0 ? sum / Math.LN2 / bytes : undefined;
  return { perplexity, error: perplexity * Math.sqrt(variance), nll, tokens, bitsPerByte, windows, stride };
}

function logSumExp(logits: Float32Array): number {
  let most = Number.NEGATIVE_INFINITY;
  for (const logit of logits) if (logit > most) most = logit;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - most);
  return most + Math.log(sum);
}
