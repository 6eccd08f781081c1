/** Texts as vectors: the mean of a model's last states, of length 1. */
import type { BatchTokenOptions } from '../../engine/sequence.ts';
import { textPrompt } from './prompts.ts';
import type { Service } from './service.ts';

export interface Embeddings {
  /** Of the model. */
  readonly name: string;
  readonly vectors: readonly Float32Array[];
  /** Of all texts. */
  readonly tokens: number;
}

export async function embed(
  { host, meter }: Service,
  wanted: string,
  texts: readonly (string | readonly number[])[],
  options: Pick<BatchTokenOptions, 'client'> & {
    readonly signal: AbortSignal;
    readonly keepAliveMs?: number | undefined;
  },
): Promise<Embeddings> {
  const lease = await host.lease(wanted, options.signal);
  const { name, model, batch } = lease;
  try {
    const prompts = texts.map((text) => textPrompt(name, model, text));
    const tokens = prompts.reduce((sum, ids) => sum + ids.length, 0);
    const vectors: Float32Array[] = [];
    // as many at once as there are slots: the queue is for others
    const queue = [...prompts.entries()];
    const work = async () => {
      for (let next = queue.shift(); next; next = queue.shift())
        vectors[next[0]] = unitVector(await batch.embed(next[1], options));
    };
    await Promise.all(Array.from({ length: Math.min(batch.slots, prompts.length) }, work));
    meter.answered({ promptTokens: tokens, reusedTokens: 0, tokens: 0, queuedMs: 0, prefillMs: 0, decodeMs: 0 });
    return { name, vectors, tokens };
  } catch (error) {
    host.suspect(lease, error);
    throw error;
  } finally {
    lease.release(options.keepAliveMs);
  }
}

function unitVector(vector: Float32Array): Float32Array {
  const length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  return length > 0 ? vector.map((value) => value / length) : vector;
}
