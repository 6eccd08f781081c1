/** What layers compute by: scales, windows, and how positions are encoded. */
import type { LlamaConfig } from '../loaders/types.ts';

/** The tables of turns that layers choose from, by the names of their buffers. */
export type RopeName = 'rope' | 'localRope';

/** Multiplies the product of a query and a key. */
export function attentionScale({ attentionScale, headDim }: LlamaConfig): number {
  return attentionScale ?? 1 / Math.sqrt(headDim);
}

/** Keys that a query of this layer sees, itself included; undefined = all. */
export function layerWindow(config: LlamaConfig, layer: number): number | undefined {
  return config.slidingLayers?.[layer] === false ? undefined : config.slidingWindow;
}

/** The turns of a layer; undefined where positions are not encoded (SmolLM 3). Layers with a window may have their own. */
export function layerRope(config: LlamaConfig, layer: number): RopeName | undefined {
  if (config.ropeLayers?.[layer] === false) return undefined;
  const local = config.localRopeTheta !== undefined && layerWindow(config, layer) !== undefined;
  return local ? 'localRope' : 'rope';
}

/** All tables of a model. */
export function ropeNames(config: LlamaConfig): readonly RopeName[] {
  return config.localRopeTheta === undefined ? ['rope'] : ['rope', 'localRope'];
}
