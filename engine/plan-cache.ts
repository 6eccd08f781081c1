/** What is done with the KV cache between passes. */
import { kvBuffers, kvPlanes, kvSpec } from './kv-cache.ts';
import { layerRope } from './layers.ts';
import { compiledFor } from './plan.ts';
import type { PlanOptions, Step } from './steps.ts';

/** Positions that a workgroup copies. */
const COPIED_POSITIONS = 64;
/** Rows that a workgroup of kv-shift begins with. */
const SHIFTED_ROWS = 16;

/** Copies what a slot of the KV cache has, up to the position of the first place, to that place's slot from the second's. */
export function planCopy({ config, kv, traits }: PlanOptions): readonly Step[] {
  const planes = kvPlanes(config, kv);
  return Array.from({ length: config.layers }, (_, layer) =>
    planes.map(({ name, rowBytes }) =>
      compiledFor(traits, {
        name: `layers.${layer}.copy.${name}`,
        kernel: 'kv-copy',
        spec: { KV_HEADS: config.kvHeads, ROW_BYTES: rowBytes },
        buffers: { state: 'state', rows: `layers.${layer}.${name}` },
        grid: { x: 2 * config.kvHeads, over: 'columns', each: COPIED_POSITIONS, z: 1 },
      }),
    ),
  ).flat();
}

/**
 * Drops positions of a sequence from the cache: from the first place's position on as many as the second's says, of the third's
 * in all.
 */
export function planShift({ config, kv, traits }: PlanOptions): readonly Step[] {
  return Array.from({ length: config.layers }, (_, layer) => {
    const rope = layerRope(config, layer);
    return compiledFor(traits, {
      name: `layers.${layer}.shift`,
      kernel: 'kv-shift',
      spec: { ...kvSpec(config, kv), ...(rope ? { ROPE: 'pairs', ROPE_DIM: config.ropeDim } : { ROPE: 'none' }) },
      buffers: { state: 'state', ...kvBuffers(`layers.${layer}`, config, kv), ...(rope && { rope }) },
      grid: { x: 2 * config.kvHeads, over: 'columns', each: SHIFTED_ROWS, z: 1 },
    });
  });
}
