/** What commands that measure speed take for a model: a file, or random weights of a known shape. */
import { randomCheckpoint, SHAPE_NAMES } from '../engine/shapes.ts';
import { BUILTIN, openModel } from '../loaders/named.ts';
import type { Checkpoint } from '../loaders/types.ts';
import { type Flags, UsageError, type Values } from './arguments.ts';

export const SHAPE_FLAG = {
  shape: {
    kind: 'text',
    placeholder: 'SHAPE',
    about: `random weights of a known shape instead of a file: ${SHAPE_NAMES.join(', ')}`,
  },
  type: {
    kind: 'text',
    placeholder: 'TYPE',
    about: 'type of the random weights, as in GGUF files, or Q4_K_M; default Q4_0',
  },
} as const satisfies Flags;

/** The model to measure: random weights of a shape, a file, or the built-in one. */
export async function openMeasured(
  { shape, type }: Values<typeof SHAPE_FLAG>,
  path: string | undefined,
): Promise<Checkpoint> {
  if (shape) return randomCheckpoint(shape, type);
  if (type) throw new UsageError('--type is for random weights: give a --shape too');
  return openModel(path ?? BUILTIN);
}
