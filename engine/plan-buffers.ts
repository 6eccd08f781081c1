/** The buffers that a plan's steps name. Estimate and allocation use the same lists. */
import type { Purpose } from '../devices/types.ts';
import { BLOCK, blocksOf, roundUp } from '../quant/layout.ts';
import { headStride, kvCapacity, kvPlaneBytes, kvPlanes } from './kv-cache.ts';
import { ropeNames } from './layers.ts';
import { mostEdits } from './plan.ts';
import { partsFor } from './plan-attention.ts';
import { blockBytes } from './products.ts';
import { CANDIDATES_BYTES, editsBytes, RING, SAMPLER_BYTES, stateBytes } from './state.ts';
import type { BufferSpec, SizeOptions } from './steps.ts';
import { isStreamed, partBytes, streamedPart } from './streaming.ts';
import { outputMatrix, paddedRows, vectorLength, type Weights } from './weights.ts';

/** Columns of activations are allocated in multiples of this: whole groups of columns for every kernel. */
const COLUMN_STEP = 64;

/** The buffers of the weights when so many layers stay on the device; default all. */
export function weightBuffers(
  weights: Weights,
  residentLayers: number = Number.POSITIVE_INFINITY,
): readonly BufferSpec[] {
  const sizes = new Map<string, number>(); // layers that are streamed share theirs
  const add = (name: string, bytes: number) => sizes.set(name, Math.max(bytes, sizes.get(name) ?? 0));
  for (const matrix of weights.matrices.values()) {
    const streamed = isStreamed(matrix, residentLayers);
    for (const part of matrix.parts) {
      const name = streamed ? streamedPart(part, residentLayers) : part.name;
      const size = partBytes(part, matrix);
      add(`${name}.codes`, size.codes);
      if (size.scales > 0) add(`${name}.scales`, size.scales);
    }
  }
  for (const { name, order } of weights.matrices.values()) if (order) add(`${name}.order`, order.byteLength);
  for (const vector of weights.vectors.values()) add(vector.name, vectorLength(vector) * 4);
  return [...sizes].map(([name, bytes]) => ({ name, bytes, purpose: 'weights' }));
}

/** The buffers of one session: KV cache, activations, state. */
export function sessionBuffers(options: SizeOptions): readonly BufferSpec[] {
  const { config, weights, context, chunk, slots, kv } = options;
  const columns = roundUp(Math.max(chunk, slots), options.traits.software ? 1 : COLUMN_STEP);
  const list: BufferSpec[] = [];
  const add = (name: string, bytes: number, purpose: Purpose) => list.push({ name, bytes, purpose });

  const capacity = options.capacity ?? kvCapacity(context);
  const planes = kvPlanes(config, kv);
  for (let layer = 0; layer < config.layers; layer++)
    for (const plane of planes)
      add(`layers.${layer}.${plane.name}`, kvPlaneBytes(plane, config, slots, capacity), 'kv');

  const queryRows = roundUp(config.heads * config.headDim, BLOCK);
  const kvRows = roundUp(config.kvHeads * config.headDim, BLOCK);
  const { SPLITS: splits } = partsFor(options);
  if (splits > 1) {
    add('partials', slots * config.heads * splits * headStride(config) * 4, 'activations');
    add('shares', slots * config.heads * splits * 8, 'activations');
  }
  // two words for each value where steps are merged, which is in passes of one column
  add('residual', Math.max(columns, 2) * roundUp(config.hidden, BLOCK) * 4, 'activations');
  // what merged feed-forward parts have added to it
  if (config.norms === 'before') add('added', 2 * roundUp(config.hidden, BLOCK) * 4, 'activations');
  add('q', columns * queryRows * 4, 'activations');
  const raw = Math.max(
    config.qkNorm === 'none' ? 0 : queryRows + 2 * kvRows,
    config.norms === 'before' ? 0 : roundUp(config.hidden, BLOCK),
    [...weights.matrices.values()].some(({ name, alternate }) => name.endsWith('.gateUp') && !alternate)
      ? roundUp(config.feedForward, BLOCK)
      : 0,
  );
  if (raw > 0) add('raw', columns * raw * 4, 'activations');
  if (config.norms !== 'before' || config.qkNorm === 'all')
    add('raw.squares', (columns * raw * 4) / BLOCK, 'activations');
  const gathered = [...weights.matrices.values()].filter(({ order }) => order).map(({ cols }) => cols);
  for (const [name, width] of [
    ...(gathered.length > 0 ? [['ordered', Math.max(...gathered)] as const] : []),
    ['x', config.hidden],
    ['attention', config.heads * config.headDim],
    ['h', config.feedForward],
  ] as const) {
    const bytes = blockBytes(columns, width);
    add(`${name}.codes`, bytes.codes, 'activations');
    add(`${name}.meta`, bytes.meta, 'activations');
  }
  const vocabBlocks = paddedRows(outputMatrix(config, weights)) / BLOCK;
  add('logits', slots * vocabBlocks * BLOCK * 4, 'activations');
  add('peaks', slots * vocabBlocks * 8, 'activations');
  for (const name of ropeNames(config)) add(name, capacity * config.ropeDim * 4, 'state');
  add('pooled', slots * blocksOf(config.hidden) * BLOCK * 4, 'activations');
  add('state', stateBytes(columns), 'state');
  add('samplers', slots * SAMPLER_BYTES, 'state');
  add('tokens', columns * 4, 'state');
  add('picked', slots * RING * 4, 'state');
  add('edits', slots * editsBytes(mostEdits(config, context)), 'state');
  add('masks', slots * blocksOf(config.vocab) * 4, 'state');
  add('candidates', slots * CANDIDATES_BYTES, 'state');
  add('reports', slots * CANDIDATES_BYTES, 'state');
  return list;
}
