/** The feed-forward part of a layer in one step. */
import { assert } from '../quant/errors.ts';
import { blocksOf, isQuantised } from '../quant/layout.ts';
import { canMerge, partBuffers, sizeFile } from './products.ts';
import type { PlanOptions, Step } from './steps.ts';
import { codesSpec, dotSpec } from './variants.ts';
import { chooseFeedForward } from './variants-merged.ts';

/** Of the product behind, with biases and a q8 cache. */
const MOST_BINDINGS = 11;

/**
 * Whether one column's feed-forward parts are one step each (feed-forward.wgsl), but for the last layer's, which leaves the
 * input of the output matrix behind. What they add waits in `added` until the next layer's attention is through the output
 * projection; the products before that take both.
 */
export function mergesFeedForward(options: PlanOptions): boolean {
  const { config, traits, preferences } = options;
  if (!chooseFeedForward(traits, config, preferences.merged)) return false;
  if (traits.limits.maxStorageBuffers < MOST_BINDINGS) return false;
  const isOne = ['gateUp', 'down'];
  return canMerge(options, ['qkv', 'o', ...isOne], ({ parts }, name) => !isOne.includes(name) || parts.length === 1);
}

/** One column's feed-forward part, from the residual stream to what is added to that. */
export function feedForwardStep(options: PlanOptions, layer: number): Step {
  const { config, weights, traits, preferences } = options;
  const at = `layers.${layer}`;
  const [gateUp, down] = ['gateUp', 'down'].map((name) => weights.matrices.get(`${at}.${name}`)?.parts[0]);
  const cut = chooseFeedForward(traits, config, preferences.merged);
  assert(
    gateUp && down && isQuantised(gateUp.format) && isQuantised(down.format) && cut,
    'mergesFeedForward has said so',
  );
  const downSpec = Object.entries(codesSpec(down.format)).map(([key, value]) => [`DOWN_${key}`, value]);
  const downBuffers = Object.entries(partBuffers(down.name)).map(([key, value]) => [`down_${key}`, value]);
  const blocks = blocksOf(config.feedForward);
  return {
    name: `${at}.feedForward`,
    kernel: 'feed-forward',
    spec: {
      ...cut,
      SIZE: sizeFile(traits),
      BLOCKS: blocksOf(config.hidden),
      DOWN_BLOCKS: blocks,
      OUT_QUADS: down.rows / 4,
      HIDDEN: config.hidden,
      EPSILON: config.normEpsilon,
      ACTIVATION: config.activation,
      ...dotSpec('i8', gateUp.format),
      ACT: 'i8-residual',
      ...Object.fromEntries(downSpec),
    },
    buffers: {
      ...{ state: 'state', residual: 'residual', gains: `${at}.feedForwardGain`, added: 'added' },
      ...partBuffers(gateUp.name),
      ...Object.fromEntries(downBuffers),
    },
    grid: { x: Math.ceil(blocks / cut.SLICE), over: 'columns', each: 1, z: 1 },
    macs: 3 * config.hidden * config.feedForward,
  };
}
