/**
 * Continuous batching: many sequences over one model, each token of all of them one pass. Sequences join and leave between
 * tokens, prompts are read in chunks between the steps of running answers, and what one sequence has computed serves the
 * beginnings of others.
 */
import { assert, FirstlightError } from '../quant/errors.ts';
import { type BatchStatus, startLoop } from './batch-loop.ts';
import type { Model } from './model.ts';
import { createRunner, type RunnerOptions } from './runner.ts';
import { type CompleteSampling, completeSampling } from './sampler.ts';
import { type BatchTokenOptions, createSequence, isPaused, type Sequence, statsOf } from './sequence.ts';
import { checkLogprobs, checkPrompt, type GeneratedToken, tokenFacts } from './session.ts';
import { createSteering } from './steering.ts';

/** Options of createBatch(). */
export interface BatchOptions extends RunnerOptions {
  /** Requests that may wait for a slot. Default 256. */
  readonly queue?: number | undefined;
}

/** Many texts over one model at the same time: made by createBatch(). */
export interface Batch {
  readonly model: Model;
  /** Positions of each sequence. */
  readonly context: number;
  readonly slots: number;
  readonly status: BatchStatus;
  /**
   * As Session.generate, for any number of callers at once; whoever comes when all slots are taken waits. A caller who does
   * not take its ids is waited for, and the others go on. Throws `queue-full`, and whatever Session.generate does.
   */
  generate(ids: readonly number[], options?: BatchTokenOptions): AsyncGenerator<number, void, void>;
  /** The same with what else is known of each token. */
  tokens(ids: readonly number[], options?: BatchTokenOptions): AsyncGenerator<GeneratedToken, void, void>;
  /** The mean of the normalised states behind the last layer, [hidden]. Throws as generate. */
  embed(ids: readonly number[], options?: Pick<BatchTokenOptions, 'client' | 'signal'>): Promise<Float32Array>;
  /** Makes a token to see that tokens can be made; what slots hold for later stays. Throws as generate. */
  probe(signal?: AbortSignal): Promise<void>;
  /** Gives the memory back. Generations that are under way and those begun later throw `reason`; default `bad-argument`. */
  close(reason?: Error): Promise<void>;
}

const DEFAULT_QUEUE = 256;

/** A batch with a KV cache of its own; its slots are as many as the load was planned with, unless options say otherwise. Throws `not-enough-memory`, `bad-argument`. */
export async function createBatch(model: Model, options: BatchOptions = {}): Promise<Batch> {
  const { queue: mostQueued = DEFAULT_QUEUE, ...runnerOptions } = options;
  const runner = await createRunner(model, { slots: model.plan.slots, ...runnerOptions });
  await runner.prepareBatch(); // so that no request waits for a compiler
  const { context } = runner;
  const loop = startLoop(runner, mostQueued);
  let closedBy: Error | undefined; // why, as callers who come later are told too

  function enqueue(
    ids: readonly number[],
    sampling: CompleteSampling,
    options: Partial<BatchTokenOptions> & { readonly pooled: boolean },
  ): Sequence {
    const steering = createSteering(options, options.constraint, ids, tokenFacts(model));
    if (loop.room <= 0)
      throw new FirstlightError('queue-full', `${mostQueued} requests are waiting already: try again later`);
    const sequence = createSequence(ids, { ...options, sampling, steering, room: context - ids.length });
    loop.enqueue(sequence);
    return sequence;
  }

  /** Ends a sequence when its caller aborts. */
  function endOnAbort(sequence: Sequence, signal: AbortSignal | undefined): () => void {
    const abort = () => loop.end(sequence, signal?.reason);
    signal?.addEventListener('abort', abort, { once: true });
    return () => signal?.removeEventListener('abort', abort);
  }

  const change = (sequence: Sequence) =>
    new Promise<void>((resolve) => {
      sequence.wake = resolve;
    });

  function check(ids: readonly number[], signal: AbortSignal | undefined, most: number): void {
    if (closedBy) throw closedBy;
    model.checkOpen();
    checkPrompt(model, ids, context, most);
    signal?.throwIfAborted();
  }

  async function* tokens(ids: readonly number[], options: BatchTokenOptions = {}) {
    const { signal, onStats } = options;
    check(ids, signal, context - 1);
    checkLogprobs(options.logprobs);
    const sampling = completeSampling(options);
    if (options.maxTokens !== undefined && options.maxTokens <= 0) return;
    const sequence = enqueue(ids, sampling, { ...options, pooled: false });
    const stopListening = endOnAbort(sequence, signal);
    try {
      for (;;) {
        while (sequence.taken < sequence.made.length) {
          const token = sequence.made[sequence.taken] as GeneratedToken;
          const waited = isPaused(sequence);
          sequence.taken++;
          if (waited) loop.pump();
          yield token;
          signal?.throwIfAborted();
        }
        if (sequence.error !== undefined) throw sequence.error;
        if (sequence.ended) return;
        await change(sequence);
      }
    } finally {
      stopListening();
      loop.end(sequence);
      onStats?.(statsOf(sequence));
    }
  }

  async function* generate(ids: readonly number[], options?: BatchTokenOptions) {
    for await (const { id } of tokens(ids, options)) yield id;
  }

  async function probe(signal?: AbortSignal) {
    // goes on from what a free slot holds (the one used last, so that their order stays), which is there afterwards as before
    const [free] = loop.slots.filter(({ taken }) => !taken).sort((a, b) => b.lastUse - a.lastUse);
    const held = free?.history.slice(0, context - 1) ?? [];
    const { bos, eos } = model.tokenizer ?? { bos: undefined, eos: [] };
    const ids = held.length > 0 ? held : [bos ?? eos[0] ?? 0];
    for await (const _ of tokens(ids, { temperature: 0, maxTokens: 1, signal }));
  }

  async function embed(ids: readonly number[], { client, signal }: Parameters<Batch['embed']>[1] = {}) {
    check(ids, signal, context);
    const sequence = enqueue(ids, completeSampling({ temperature: 0 }), { client, pooled: true });
    const stopListening = endOnAbort(sequence, signal);
    try {
      while (!sequence.ended) await change(sequence);
      if (sequence.error !== undefined) throw sequence.error;
      assert(sequence.state, 'an embedding that has ended has its state');
      return sequence.state.map((sum) => sum / ids.length);
    } finally {
      stopListening();
    }
  }

  let release: Promise<void> | undefined;
  return {
    model,
    context,
    slots: runner.slots,
    get status() {
      return loop.status;
    },
    generate,
    tokens,
    embed,
    probe,
    close(reason = new FirstlightError('bad-argument', 'the batch is closed: create another one')) {
      closedBy ??= reason;
      release ??= loop.close(reason).then(runner.close);
      return release;
    },
  };
}
