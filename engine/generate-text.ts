/** Generation as text: stop strings, the end of an answer, log probabilities by token. */
import { FirstlightError } from '../quant/errors.ts';
import type { Batch } from './batch.ts';
import type { Grammar } from './grammar.ts';
import { prepareGrammar } from './grammar-constraint.ts';
import type { Logprobs } from './logprobs.ts';
import { completeSampling, seedsFrom } from './sampler.ts';
import type { GeneratedToken, Session, TokenOptions } from './session.ts';
import { createTextStream } from './text-stream.ts';
import { requireTokenizer, type Tokenizer } from './tokenizer.ts';

/** Options of generateText(): those of tokens, and what concerns text. */
export interface TextOptions extends TokenOptions {
  /** Texts at which to stop; they are not shown themselves. Default none. */
  readonly stop?: readonly string[] | undefined;
  /** The tokens that end an answer are never chosen: the text goes on to maxTokens. Default false. */
  readonly ignoreEos?: boolean | undefined;
  /** The text goes on in the prompt's last line, so a space at its start belongs to it. Default false. */
  readonly continued?: boolean | undefined;
  /**
   * What the text must be, from its first character to its last: JSON_GRAMMAR, grammarOfSchema() or parseGbnf(). Made ready at
   * its first use, so keep the object for the next. In place of `constraint`. Default anything.
   */
  readonly grammar?: Grammar | undefined;
}

/** A session, or a batch. */
export type TokenSource = Pick<Session, 'model' | 'tokens'>;

/** What came with one token. */
export interface TextPart {
  /** '' while a character, or what may be a stop string, is incomplete. */
  readonly text: string;
  readonly id: number;
  readonly logprobs: Logprobs | undefined;
  /** Set with the last part: `stop` at an end token, a stop string, a stop id or the end of a constraint. */
  readonly finish: GeneratedToken['finish'];
}

/**
 * Continues `ids`, yields a part for each token. Without `stopIds` the tokenizer's own ends of an answer are those.
 * Throws as the source's `tokens`, and `bad-tokenizer` for a model that came without one.
 */
export async function* generateText(
  source: TokenSource,
  ids: readonly number[],
  options: TextOptions = {},
): AsyncGenerator<TextPart, void, void> {
  const { model } = source;
  const tokenizer = requireTokenizer(model.tokenizer, model.path);
  const { grammar, continued = false } = options;
  const constraint = grammar ? prepareGrammar(grammar, tokenizer, model.config.vocab).start() : options.constraint;
  const stream = createTextStream(tokenizer, { ...options, continued: continued || grammar !== undefined });
  const tokens = source.tokens(ids, { ...endingOptions(tokenizer, options), constraint });
  for await (const { id, logprobs, finish } of tokens) {
    const text = stream.push(id);
    const end = stream.stopped === undefined ? finish : 'stop';
    yield { text: end ? text + stream.end() : text, id, logprobs, finish: end };
    if (end) return;
  }
}

/** One of several texts that continue the same ids. */
export interface Sample {
  readonly text: string;
  /** With the end token, if there was one. */
  readonly ids: readonly number[];
  readonly finish: TextPart['finish'];
  /** With it generateText makes this text again. */
  readonly seed: number;
}

/**
 * Continues the same ids `count` times, with seeds each one higher than the one before; the prompt is read once. A batch makes
 * as many texts at the same time as it has slots, a session one after another. The first that fails ends all. Throws as
 * generateText, and `bad-argument` for a `constraint`, which serves one text only: give a `grammar`.
 */
export async function generateSamples(
  source: Batch | Session,
  ids: readonly number[],
  count: number,
  options: TextOptions = {},
): Promise<Sample[]> {
  if (options.constraint)
    throw new FirstlightError('bad-argument', 'a constraint serves one text only: give a grammar for several');
  const stop = new AbortController();
  const signal = AbortSignal.any([stop.signal, ...(options.signal ? [options.signal] : [])]);
  const make = async (seed: number): Promise<Sample> => {
    const sample = { text: '', ids: [] as number[], finish: undefined as TextPart['finish'], seed };
    for await (const { text, id, finish } of generateText(source, ids, { ...options, seed, signal })) {
      sample.text += text;
      sample.ids.push(id);
      sample.finish = finish;
    }
    return sample;
  };
  const seeds = seedsFrom(completeSampling(options).seed, count);
  if ('slots' in source) {
    const made = seeds.map(make);
    try {
      return await Promise.all(made);
    } catch (error) {
      stop.abort(error);
      await Promise.allSettled(made);
      throw error;
    }
  }
  const samples: Sample[] = [];
  for (const seed of seeds) samples.push(await make(seed));
  return samples;
}

/** The same options with what they say about end tokens put in terms of ids. */
export function endingOptions(tokenizer: Tokenizer, options: TextOptions): TokenOptions {
  const { stopIds = new Set(tokenizer.eos), logitBias, ignoreEos = false } = options;
  if (!ignoreEos) return { ...options, stopIds };
  const forbidden = tokenizer.eos.map((id) => [id, Number.NEGATIVE_INFINITY] as const);
  return { ...options, stopIds: options.stopIds, logitBias: new Map([...(logitBias ?? []), ...forbidden]) };
}
