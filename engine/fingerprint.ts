/** What tells one model from another of the same shape, by little reading. */
import { createHash } from 'node:crypto';
import type { Checkpoint } from '../loaders/types.ts';
import type { WeightsOption } from './weights.ts';

/**
 * A digest of the config, the form of the weights, the tensor directory, and some rows: of every tensor outside the layers and of
 * the first and the last layer the first and the middle one. Fine-tunes of one model differ in them.
 */
export async function fingerprintOf(
  checkpoint: Pick<Checkpoint, 'config' | 'tensors' | 'readRows'>,
  weights: WeightsOption,
): Promise<string> {
  const { config, tensors } = checkpoint;
  const hash = createHash('sha256');
  hash.update(JSON.stringify([config, weights]));
  for (const tensor of tensors.values()) {
    const { name, type, rows, cols } = tensor;
    hash.update(JSON.stringify([name, type, rows, cols]));
    const layer = /\.layers\.(\d+)\./.exec(name)?.[1];
    if (layer !== undefined && Number(layer) > 0 && Number(layer) + 1 < config.layers) continue;
    for (const row of new Set([0, rows >> 1])) hash.update(await checkpoint.readRows(name, row, 1));
  }
  return hash.digest('hex');
}
