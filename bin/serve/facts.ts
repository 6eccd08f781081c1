/** What can be said of a model without loading it: its header is read once and remembered. */
import { createHash } from 'node:crypto';
import { countParameters } from '../../engine/weights.ts';
import type { Checkpoint, LlamaConfig } from '../../loaders/types.ts';
import type { KnownModel } from './load.ts';

export interface ModelFacts {
  readonly config: LlamaConfig;
  readonly parameters: number;
  /** For people: `GGUF v3`, `safetensors`. */
  readonly format: string;
  /** The type that most of its weights have in the file. */
  readonly type: string;
  readonly template: string | undefined;
  /** Tells one state of the model's files from another. */
  readonly digest: string;
}

export type FactFinder = (model: KnownModel) => Promise<ModelFacts>;

export function createFactFinder(): FactFinder {
  const known = new Map<string, Promise<ModelFacts>>();
  return (model) => {
    const digest = createHash('sha256').update(`${model.name} ${model.bytes} ${model.modifiedMs}`).digest('hex');
    let facts = known.get(digest);
    if (!facts) {
      facts = readFacts(model, digest);
      facts.catch(() => known.delete(digest));
      known.set(digest, facts);
    }
    return facts;
  };
}

async function readFacts(model: KnownModel, digest: string): Promise<ModelFacts> {
  const checkpoint = await model.open();
  try {
    return {
      config: checkpoint.config,
      parameters: countParameters(checkpoint),
      format: checkpoint.format,
      type: usualType(checkpoint),
      template: (await checkpoint.vocab())?.chatTemplate,
      digest,
    };
  } finally {
    await checkpoint.close();
  }
}

function usualType({ tensors }: Checkpoint): string {
  const counts = new Map<string, number>();
  for (const { type, rows, cols } of tensors.values()) counts.set(type, (counts.get(type) ?? 0) + rows * cols);
  return [...counts].sort(([, a], [, b]) => b - a)[0]?.[0] ?? '';
}
