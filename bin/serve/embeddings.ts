/** Texts as vectors: the mean of a model's last states, of length 1. */
import type { BatchTokenOptions } from '../../engine/sequence.ts';
import { RequestError } from './errors.ts';
import { textPrompt } from './prompts.ts';
import type { Service } from './service.ts';

export interface Embeddings {
  /** Of the model. */
  readonly name: string;
  readonly vectors: readonly Float32Array[];
  /** Of all texts. */
  readonly tokens: number;
}

export interface EmbedOptions extends Pick<BatchTokenOptions, 'client'> {
  readonly signal: AbortSignal;
  readonly keepAliveMs?: number | undefined;
  /** Only so many of the vectors' first numbers, again of length 1. Default all. */
  readonly dimensions?: number | undefined;
  /** Texts beyond the context are cut. Default false: they are refused. */
  readonly truncate?: boolean | undefined;
}

/** Throws RequestError for more dimensions than the model has, and what leases and Batch.embed throw. */
export async function embed(
  { host, meter }: Service,
  wanted: string,
  texts: readonly (string | readonly number[])[],
  options: EmbedOptions,
): Promise<Embeddings> {
  const lease = await host.lease(wanted, options.signal);
  const { name, model, batch } = lease;
  const { dimensions = model.config.hidden, truncate = false } = options;
  try {
    if (dimensions > model.config.hidden)
      throw new RequestError(400, 'invalid_value', `dimensions: ${name} has ${model.config.hidden}`, {
        param: 'dimensions',
      });
    const most = truncate ? batch.context : Number.POSITIVE_INFINITY;
    const prompts = texts.map((text) => textPrompt(name, model, text).slice(0, most));
    const tokens = prompts.reduce((sum, ids) => sum + ids.length, 0);
    const vectors: Float32Array[] = [];
    // as many at once as there are slots: the queue is for others
    const queue = [...prompts.entries()];
    const work = async () => {
      for (let next = queue.shift(); next; next = queue.shift())
        vectors[next[0]] = unitVector((await batch.embed(next[1], options)).subarray(0, dimensions));
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
  return vector.map((value) => (length > 0 ? value / length : value));
}
