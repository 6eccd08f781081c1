/** The golden test: the built-in model on a device, against the ids that PyTorch computed. */
import { readFile } from 'node:fs/promises';
import type { Device } from '../devices/types.ts';
import { openModel } from '../loaders/named.ts';
import { loadModel } from './model.ts';
import { argmax } from './sampler.ts';
import { createSession } from './session.ts';

export interface Golden {
  /** What was computed with: f32 throughout, or as usual on this device. */
  readonly arithmetic: 'f32' | 'usual';
  /** Positions at which one token is ahead of all others by more than rounding could change. */
  readonly checked: number;
  /** Of these, where another one came out. */
  readonly wrong: number;
  readonly loadMs: number;
  readonly runMs: number;
}

interface Expected {
  readonly prompt_ids: readonly number[];
  readonly greedy_ids: readonly number[];
  /** By how much the logit of each greedy id is ahead. */
  readonly gaps: readonly number[];
}

/** Of the known text: enough to go through all kernels many times. */
const TOKENS = 32;
/** A smaller lead may be lost to rounding, in the last digits of f32 and in int8 activations. */
const LEAST_GAP = { f32: 0.02, usual: 1 };

/** Reads the known text with the built-in model, and compares the best next token everywhere. */
export async function runGolden(device: Device, arithmetic: Golden['arithmetic']): Promise<Golden> {
  const file = new URL('engine/builtin/expected.json', import.meta.resolve('firstlight/package.json'));
  const { prompt_ids, greedy_ids, gaps }: Expected = JSON.parse(await readFile(file, 'utf8'));
  const startMs = performance.now();
  const checkpoint = await openModel('builtin');
  try {
    const exact = arithmetic === 'f32' ? { arithmetic: 'f32' as const } : {};
    const model = await loadModel(device, checkpoint, { ...exact, context: 128 });
    try {
      const session = await createSession(model);
      const loadedMs = performance.now();
      let checked = 0;
      let wrong = 0;
      let position = 0;
      const text = [...prompt_ids, ...greedy_ids.slice(0, TOKENS - 1)];
      for await (const logits of session.logits(text, { from: prompt_ids.length - 1 })) {
        const gap = gaps[position] as number;
        if (gap >= LEAST_GAP[arithmetic]) {
          checked++;
          if (argmax(logits) !== greedy_ids[position]) wrong++;
        }
        position++;
      }
      await session.close();
      return { arithmetic, checked, wrong, loadMs: loadedMs - startMs, runMs: performance.now() - loadedMs };
    } finally {
      await model.close();
    }
  } finally {
    await checkpoint.close();
  }
}
