/** Attention's steps, in one part or several, and what the product behind it reads. */
import type { LlamaConfig } from '../loaders/types.ts';
import { assert } from '../quant/errors.ts';
import { BLOCK, blocksOf, isQuantised } from '../quant/layout.ts';
import type { Spec } from '../shaders/specialise.ts';
import { headStride, kvBuffers, kvSpec } from './kv-cache.ts';
import { attentionScale, layerWindow } from './layers.ts';
import { blockInput, canMerge, type Input, matrixArithmetic, partBuffers, sizeFile, storeSpec } from './products.ts';
import type { Parts, PlanOptions, SizeOptions, Step } from './steps.ts';
import {
  type AttentionParts,
  chooseAttention,
  chooseParts,
  chooseSubgroup,
  dotSpec,
  hasMatrixUnits,
  isWide,
  type Width,
} from './variants.ts';
import { chooseProjected, projectsUpTo } from './variants-merged.ts';
import type { Matrix } from './weights.ts';

export interface Attention {
  readonly steps: readonly Step[];
  /** What the output projection reads. */
  readonly output: Input;
}

/** Attention in one part. */
export const WHOLE: AttentionParts = { SPLITS: 1, PART_KEYS: 1 };

/** Parts of attention in decode. */
export function partsFor({ config, traits, preferences }: SizeOptions): AttentionParts {
  return chooseParts(traits, Math.ceil(config.kvHeads / kvGroup(config)), preferences.splits);
}

/** kv heads that one attention workgroup takes so that its outputs fill whole blocks of 32. */
function kvGroup(config: LlamaConfig): number {
  const outputs = (config.heads / config.kvHeads) * config.headDim;
  for (let count = 1; count < config.kvHeads; count++) if ((count * outputs) % BLOCK === 0) return count;
  return config.kvHeads;
}

/** Spec of a soft cap, where there is one. */
export function capSpec(cap: number | undefined): Spec {
  return cap === undefined ? { CAPPED: 'none' } : { CAPPED: 'tanh', CAP: cap };
}

/** What kernels want to know of the parts that attention leaves. */
function partsSpec(config: LlamaConfig, layer: number, parts: AttentionParts): Parts & Spec {
  return {
    HEADS: config.heads,
    HEAD_DIM: config.headDim,
    HEAD_STRIDE: headStride(config),
    WINDOW: layerWindow(config, layer) ?? 0,
    ...parts,
  };
}

/** The parts as input of a product that joins them itself; undefined where its kernel cannot. */
function joinedInput(options: PlanOptions, matrix: Matrix, parts: Spec): Input | undefined {
  const { config, traits, preferences } = options;
  const whole = config.headDim % 8 === 0 && (config.heads * config.headDim) % BLOCK === 0;
  const lanes = chooseSubgroup(traits) !== undefined && (preferences.gemv ?? 'lanes') === 'lanes' && !traits.software;
  if (!whole || !lanes || matrixArithmetic(options, matrix) !== 'i8') return undefined;
  return { buffers: { partials: 'partials', shares: 'shares' }, spec: { ...parts, ACT: 'i8-joined' } };
}

/**
 * Keys up to which one column's attention goes through the output projection in one step (attention-projected.wgsl), and the
 * products behind it take the residual stream as that leaves it; 0: never.
 */
export function projectedKeys(options: PlanOptions): number {
  const { config, traits, preferences } = options;
  const fits =
    chooseProjected(traits, config) !== undefined &&
    canMerge(options, ['o', 'gateUp'], (matrix, name) => name !== 'o' || matrix.parts.length === 1);
  return fits ? projectsUpTo(traits, config, preferences.merged) : 0;
}

/**
 * One column's attention and the output projection. `folds`: it also takes into the residual stream what feed-forward.wgsl has left
 * beside that.
 */
export function projectedStep(options: PlanOptions, layer: number, folds: boolean): Step {
  const { config, weights, traits, kv } = options;
  const at = `layers.${layer}`;
  const part = weights.matrices.get(`${at}.o`)?.parts[0];
  const cut = chooseProjected(traits, config);
  assert(part && isQuantised(part.format) && cut, 'projectedKeys has said so');
  const workgroups = config.heads * cut.ROW_SHARES;
  return {
    name: `${at}.o`,
    kernel: 'attention',
    spec: {
      ...cut,
      SHARE: 'lanes',
      HEAD_DIM: config.headDim,
      ...kvSpec(config, kv),
      Q_ROWS: config.heads * config.headDim,
      WINDOW: layerWindow(config, layer) ?? 0,
      SCALE: attentionScale(config),
      ...capSpec(config.attentionCap),
      OUT: 'projected',
      ...dotSpec('i8', part.format),
      ACT: 'i8-head',
      BLOCKS: blocksOf(config.heads * config.headDim),
      SHARED_BY: config.heads / config.kvHeads,
      OUT_QUADS: part.rows / 4,
      ...(folds && { ADDED: 'apart', FOLDED_BY: workgroups }),
    },
    buffers: {
      ...{ state: 'state', q: 'q', ...kvBuffers(at, config, kv), ...partBuffers(part.name), residual: 'residual' },
      ...(folds && { added: 'added' }),
    },
    grid: { x: workgroups, over: 'columns', each: 1, z: 1 },
    macs: part.rows * config.heads * config.headDim,
    macsPerKey: attentionMacs(config),
  };
}

/** Of attention, for each key of a column. */
function attentionMacs({ heads, headDim }: LlamaConfig): number {
  return 2 * heads * headDim;
}

/** Columns of a workgroup of both kernels for many of them. */
const FLASH_COLUMNS = 64;

/**
 * The kernel for attention of many columns at once; undefined: each by itself. Both multiply in f16, on matrix units straight from
 * the cache.
 */
export function flashKernel(
  { traits, preferences, config, kv }: PlanOptions,
  width: Width,
): 'flash-matrix' | 'flash-tiles' | undefined {
  const { many, arithmetic } = preferences;
  const { headDim } = config;
  if (!isWide(width) || arithmetic === 'f32' || !traits.f16) return undefined;
  if (hasMatrixUnits(traits) && many !== 'tiles')
    return kv === 'f16' && [32, 64, 96, 128].includes(headDim) ? 'flash-matrix' : undefined;
  return kv !== 'f32' && [64, 96, 128].includes(headDim) ? 'flash-tiles' : undefined;
}

/** Attention of many columns at once. */
export function flashSteps(
  options: PlanOptions,
  layer: number,
  width: Width,
  kernel: 'flash-matrix' | 'flash-tiles',
): Attention {
  const { config, weights, traits, kv } = options;
  const at = `layers.${layer}`;
  const follower = weights.matrices.get(`${at}.o`);
  assert(follower, `no matrix ${at}.o`);
  const cache = kvSpec(config, kv);
  const { KV: _, ...rows } = cache; // matrix units know f16 only
  const step: Step = {
    name: `${at}.attention`,
    kernel,
    spec: {
      ...(kernel === 'flash-matrix' ? rows : cache),
      HEAD_DIM: config.headDim,
      GROUP: config.heads / config.kvHeads,
      Q_ROWS: config.heads * config.headDim,
      WINDOW: layerWindow(config, layer) ?? 0,
      ...capSpec(config.attentionCap),
      ...(kernel === 'flash-matrix' && { SG: 32, THREADS: 2 * FLASH_COLUMNS, SIZE: sizeFile(traits) }),
      ...storeSpec(options, follower, width),
    },
    buffers: {
      state: 'state',
      q: 'q',
      ...kvBuffers(at, config, kv),
      y_codes: 'attention.codes',
      y_meta: 'attention.meta',
    },
    grid: { x: config.heads, over: 'columns', each: FLASH_COLUMNS, z: 1 },
    macsPerKey: attentionMacs(config),
  };
  return { steps: [step], output: blockInput('attention') };
}

/** Attention of a few columns, each by itself; in several parts, where `cut` says so. */
export function attentionSteps(options: PlanOptions, layer: number, width: Width, cut: AttentionParts): Attention {
  const { config, weights, traits, kv } = options;
  const at = `layers.${layer}`;
  const follower = weights.matrices.get(`${at}.o`);
  assert(follower, `no matrix ${at}.o`);
  const group = kvGroup(config);
  const { THREADS, ...team } = chooseAttention(traits, config);
  const heads = {
    HEAD_DIM: config.headDim,
    GROUP: config.heads / config.kvHeads,
    KV_GROUP: group,
    THREADS,
  };
  const parts = partsSpec(config, layer, cut);
  const whole = cut.SPLITS === 1;
  const store = storeSpec(options, follower, width);
  const blocks = { y_codes: 'attention.codes', y_meta: 'attention.meta' };
  const workgroups = Math.ceil(config.kvHeads / group);
  const attention: Step = {
    name: `${at}.attention`,
    kernel: 'attention',
    spec: {
      ...heads,
      ...team,
      ...kvSpec(config, kv),
      Q_ROWS: config.heads * config.headDim,
      WINDOW: layerWindow(config, layer) ?? 0,
      SCALE: attentionScale(config),
      ...capSpec(config.attentionCap),
      ...(whole ? { OUT: 'whole', ...store } : { OUT: 'partial', ...parts }),
    },
    buffers: {
      state: 'state',
      q: 'q',
      ...kvBuffers(at, config, kv),
      ...(whole ? blocks : { partials: 'partials', shares: 'shares' }),
    },
    grid: { x: workgroups, over: 'columns', each: 1, z: whole ? 1 : parts },
    macsPerKey: attentionMacs(config),
  };
  if (whole) return { steps: [attention], output: blockInput('attention') };
  const joined = width === 1 && !follower.order ? joinedInput(options, follower, parts) : undefined;
  if (joined) return { steps: [attention], output: joined };
  const combine: Step = {
    name: `${at}.combine`,
    kernel: 'combine',
    spec: { ...heads, ...parts, KV_HEADS: config.kvHeads, ...store },
    buffers: { state: 'state', partials: 'partials', shares: 'shares', ...blocks },
    grid: { x: workgroups, over: 'columns', each: 1, z: 1 },
  };
  return { steps: [attention, combine], output: blockInput('attention') };
}
