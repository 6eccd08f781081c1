/** What it costs that a text must follow a grammar. */
import { type BenchOptions, type BenchResult, benchTest, FILLER, summarise, warmUp } from './bench.ts';
import type { Grammar } from './grammar.ts';
import { prepareGrammar, type TokenGrammar } from './grammar-constraint.ts';
import type { Model } from './model.ts';
import { createSession } from './session.ts';
import { randomVocab } from './shapes.ts';
import type { Constraint } from './steering.ts';
import { createTokenizer } from './tokenizer.ts';

export interface GrammarOptions extends BenchOptions {
  /** Tokens of each text. Default 128. */
  readonly tokens?: number | undefined;
}

/** CPU time of masks, in milliseconds a token. */
export interface MaskTimes {
  readonly median: number;
  /** 99 of 100 take no longer. */
  readonly p99: number;
}

export interface GrammarResult {
  /** Without and with the grammar. */
  readonly results: readonly [free: BenchResult, masked: BenchResult];
  /** By how much longer a token takes with the grammar, in parts of one. */
  readonly overhead: number;
  /** Of the first text, which finds out what the grammar allows where, and of those after it. */
  readonly first: MaskTimes;
  readonly later: MaskTimes;
}

/** Varied texts, chosen on the GPU. */
const SAMPLING = { temperature: 1, topK: 40, topP: 1 };

/**
 * Text generation with and without a grammar by turns, drawn from the 40 best at temperature 1; texts of the grammar follow each
 * other without an end. A model of random weights gets a vocabulary of random words.
 */
export async function benchGrammar(
  model: Model,
  grammar: Grammar,
  options: GrammarOptions = {},
): Promise<GrammarResult> {
  const { tokens = 128, repetitions = 5, tuning, signal } = options;
  const tokenizer = model.tokenizer ?? createTokenizer(randomVocab(model.config.vocab));
  const prepared = prepareGrammar(grammar, tokenizer, model.config.vocab);
  const session = await createSession(model, { context: tokens + 2, reserve: tokens + 2, tuning });
  try {
    await warmUp(session, signal);
    const run = async (seed: number, constraint?: Constraint) => {
      session.rewind(0);
      const given = { ...SAMPLING, seed, maxTokens: tokens + 1, constraint, signal };
      for await (const _ of session.generate([FILLER], given));
      return (1000 * tokens) / session.stats.decodeMs;
    };
    const first: number[] = [];
    await run(0);
    await run(0, endless(prepared, first));
    const later: number[] = [];
    const [free, masked]: [number[], number[]] = [[], []];
    const [freeBusy, maskedBusy]: [number[], number[]] = [[], []];
    for (let seed = 1; seed <= repetitions; seed++) {
      const start = performance.eventLoopUtilization();
      free.push(await run(seed));
      const middle = performance.eventLoopUtilization();
      masked.push(await run(seed, endless(prepared, later)));
      freeBusy.push(performance.eventLoopUtilization(middle, start).utilization);
      maskedBusy.push(performance.eventLoopUtilization(middle).utilization);
    }
    const result = (name: string, speeds: readonly number[], busy: readonly number[]): BenchResult => ({
      ...{ ...benchTest('decode', tokens), name },
      ...summarise(speeds),
      loopBusy: quantile(busy, 0.5),
    });
    const results = [
      result(`tg${tokens} drawn`, free, freeBusy),
      result(`tg${tokens} grammar`, masked, maskedBusy),
    ] as const;
    const overhead = results[0].median / results[1].median - 1;
    return { results, overhead, first: timesOf(first), later: timesOf(later) };
  } finally {
    await session.close();
  }
}

/** One text of the grammar after another; notes the CPU time of each token. */
function endless(grammar: TokenGrammar, times: number[]): Constraint {
  let text = grammar.start();
  return {
    mask() {
      const startMs = performance.now();
      const mask = text.mask();
      times.push(performance.now() - startMs);
      return mask;
    },
    accept(id) {
      const acceptMs = performance.now();
      text.accept(id);
      if (text.done) text = grammar.start();
      times[times.length - 1] = (times.at(-1) ?? 0) + performance.now() - acceptMs;
    },
    done: false,
  };
}

function timesOf(times: readonly number[]): MaskTimes {
  return { median: quantile(times, 0.5), p99: quantile(times, 0.99) };
}

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
}
