/** Bringing a model to the GPU for the server. */
import type { Device } from '../../devices/types.ts';
import { type Batch, createBatch } from '../../engine/batch.ts';
import type { Estimate } from '../../engine/estimate.ts';
import { type LoadOptions, loadModel, type Model } from '../../engine/model.ts';
import type { Tuning } from '../../engine/variants.ts';
import type { Checkpoint } from '../../loaders/types.ts';

/** A model by the name that clients use. */
export interface KnownModel {
  readonly name: string;
  /** In bytes, of its files. */
  readonly bytes: number | undefined;
  readonly modifiedMs: number;
  open(): Promise<Checkpoint>;
}

/** How models are loaded. */
export interface ServedOptions {
  /** Sequences at once in each model. */
  readonly parallel: number;
  /** Requests that may wait, in each model. */
  readonly queue: number;
  readonly load: LoadOptions;
  /** As in RunnerOptions. */
  readonly fastBatch?: boolean | undefined;
  tuning(model: Model): Promise<Tuning>;
}

/** A loaded model. */
export interface Loaded {
  readonly name: string;
  readonly model: Model;
  readonly batch: Batch;
  /** When it was loaded, by Date.now(), and how long that took. */
  readonly loadedMs: number;
  readonly loadMs: number;
}

/** A loaded model with the duty to give it back. */
export interface Held extends Loaded {
  /** Gives back what it holds, as far as a lost device lets; answers under way throw `reason`. */
  close(reason?: Error): Promise<void>;
}

export interface LoadProgress {
  readonly name: string;
  readonly plan: Estimate | undefined;
  readonly doneBytes: number;
  readonly totalBytes: number;
}

/** Opens a model's files, brings it to the GPU and makes its batch. Whatever fails, nothing is left behind. */
export async function loadKnown(
  known: KnownModel,
  device: () => Promise<Device>,
  { parallel, queue, load, fastBatch, tuning }: ServedOptions,
  onProgress: (progress: LoadProgress) => void,
): Promise<Held> {
  const { name } = known;
  const startMs = performance.now();
  const undo: (() => Promise<void>)[] = [];
  const close = async () => {
    for (const step of undo.splice(0).reverse()) await step().catch(() => {});
  };
  let progress: LoadProgress = { name, plan: undefined, doneBytes: 0, totalBytes: 0 };
  const report = (change: Partial<LoadProgress>) => {
    progress = { ...progress, ...change };
    onProgress(progress);
  };
  report({});
  try {
    // by its name in all messages: clients need not know where it is
    const checkpoint: Checkpoint = { ...(await known.open()), path: name };
    undo.push(() => checkpoint.close());
    const model = await loadModel(await device(), checkpoint, {
      ...load,
      slots: parallel,
      onPlan: (plan) => report({ plan, totalBytes: plan.bytes.weights }),
      onProgress: (doneBytes, totalBytes) => report({ doneBytes, totalBytes }),
    });
    undo.push(() => model.close());
    const batch = await createBatch(model, { slots: parallel, queue, fastBatch, tuning: await tuning(model) });
    return {
      name,
      model,
      batch,
      loadedMs: Date.now(),
      loadMs: performance.now() - startMs,
      async close(reason) {
        await batch.close(reason).catch(() => {});
        await close();
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** For the log. */
export function describeLoad({ name, model, batch, loadMs }: Loaded): string {
  const { weights, kv } = model.memory();
  const mib = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`;
  return (
    `${name} on ${model.device.traits.name}: ${batch.slots} at once, context ${batch.context} each, ` +
    `weights ${mib(weights)} (${model.weightsOption}), KV ${mib(kv)}, loaded in ${(loadMs / 1000).toFixed(1)} s`
  );
}
