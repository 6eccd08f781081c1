/** How fast many sequences at once are. */
import { FirstlightError } from '../quant/errors.ts';
import { createBatch } from './batch.ts';
import { type BenchOptions, type BenchResult, benchTest, FILLER, summarise, WARM_UP_MS } from './bench.ts';
import type { Model } from './model.ts';

export interface StreamsOptions extends BenchOptions {
  /** Tokens of each stream while all are running. Default 128. */
  readonly tokens?: number | undefined;
  /** As in RunnerOptions. Default false. */
  readonly fastBatch?: boolean | undefined;
}

/**
 * Text generation by so many sequences at once, in tokens per second of all together: counted from when the last of them has
 * begun to when the first one ends.
 */
export async function benchStreams(
  model: Model,
  streams: number,
  options: StreamsOptions = {},
): Promise<BenchResult & { readonly streams: number }> {
  const { tokens = 128, tuning, fastBatch, signal, repetitions = 5 } = options;
  // prompts of one token are read one after another, and whoever begins first makes as many tokens meanwhile
  const each = tokens + 2 * streams;
  const context = each + 2;
  if (context > model.config.context)
    throw new FirstlightError(
      'bad-argument',
      `${tokens} tokens of ${streams} streams need ${context} positions but ${model.path} was made for ${model.config.context}`,
    );
  const batch = await createBatch(model, { slots: streams, context, reserve: context, tuning, fastBatch });
  try {
    const run = async (maxTokens: number) => {
      const times: number[][] = [];
      const one = async (stream: number) => {
        const arrivals: number[] = [];
        times.push(arrivals);
        const ids = [FILLER + (stream % 7)];
        for await (const _ of batch.generate(ids, { temperature: 0, maxTokens, signal }))
          arrivals.push(performance.now());
      };
      await Promise.all(Array.from({ length: streams }, (_, stream) => one(stream)));
      const fromMs = Math.max(...times.map((arrivals) => arrivals[0] as number));
      const toMs = Math.min(...times.map((arrivals) => arrivals.at(-1) as number));
      const made = times.flat().filter((ms) => ms > fromMs && ms <= toMs).length;
      return (1000 * made) / (toMs - fromMs);
    };
    const start = performance.now();
    while (performance.now() - start < WARM_UP_MS) await run(Math.min(16 + streams, each));
    const tokensPerSecond: number[] = [];
    const before = performance.eventLoopUtilization();
    for (let i = 0; i < repetitions; i++) tokensPerSecond.push(await run(each));
    const loopBusy = performance.eventLoopUtilization(before).utilization;
    const test = { ...benchTest('decode', tokens), name: `tg${tokens}x${streams}` };
    return { ...test, streams, ...summarise(tokensPerSecond), loopBusy };
  } finally {
    await batch.close();
  }
}
