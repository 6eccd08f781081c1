/**
 * The forward pass as pure data: a list of steps, each naming its kernel, specialisation, buffers and grid. It can be
 * printed, counted, tested and profiled without a GPU; encode.ts turns it into commands.
 */
import type { Traits } from '../devices/types.ts';
import type { LlamaConfig } from '../loaders/types.ts';
import { assert } from '../quant/errors.ts';
import { BLOCK, blocksOf, roundUp } from '../quant/layout.ts';
import type { Spec } from '../shaders/specialise.ts';
import { kvBuffers, kvSpec } from './kv-cache.ts';
import { attentionScale, layerRope } from './layers.ts';
import {
  attentionSteps,
  capSpec,
  flashKernel,
  flashSteps,
  partsFor,
  projectedKeys,
  projectedStep,
  WHOLE,
} from './plan-attention.ts';
import { feedForwardStep, mergesFeedForward } from './plan-feed-forward.ts';
import { blockInput, type Input, partBuffers, productSteps, storeSpec, wayOf } from './products.ts';
import { CANDIDATES_BYTES } from './state.ts';
import type { Grid, PlanOptions, Step } from './steps.ts';
import { type AttentionParts, isWide, type Width, weightSpec } from './variants.ts';
import { type Matrix, outputMatrix, paddedRows } from './weights.ts';

/** How the next token is chosen on the GPU; `list` names the best for the CPU to choose from, `none` leaves the logits. */
export type Choice = 'greedy' | 'noise' | 'top' | 'list' | 'none';
/** Of a pass; `each`: every output's as its slot's sampler says. */
export type PassChoice = Choice | 'each';

/** What happens around a choice. */
export interface ChoiceExtras {
  /** The slots' edits and masks change the logits first. */
  readonly edited?: boolean | undefined;
  /** The best candidates before any edits, and what was chosen, are reported for log probabilities. */
  readonly reported?: boolean | undefined;
  /** With `each`: the best candidates are named for those outputs that the CPU chooses. */
  readonly listed?: boolean | undefined;
}

/** Ids that a sequence's logit bias may name. */
export const MOST_BIASES = 1024;

/** Edits that a slot has room for: one for each token of the text, and the biases. */
export function mostEdits(config: LlamaConfig, context: number): number {
  return Math.min(context + MOST_BIASES, config.vocab);
}

/** Readback buffers, in which what passes and bursts of them have chosen travels to the CPU while later ones are computed. */
export const TICKETS = 8;
/** Holds a chosen token at the end of what is reported of the choice. */
export const READBACK_BYTES = 2 * CANDIDATES_BYTES + 16;

/**
 * The steps of one token of decode that sees at most so many `keys` (itself included, default 1): five a layer, or one less each
 * where attention and the output projection are one, and where gate, up and down are, plus embedding, logits and choice. Where
 * attention is cut between several workgroups a head, the product behind it joins the parts, or, where that cannot, another step.
 */
export function planDecode(
  options: PlanOptions,
  choice: Choice,
  extras: ChoiceExtras = {},
  keys: number = 1,
): readonly Step[] {
  const parts = keys <= projectedKeys(options) ? 'projected' : partsFor(options);
  const body = planBody(options, 1, parts, false, mergesFeedForward(options));
  return [...body, ...planOutput(options), ...planChoice(options, choice, extras)];
}

/** The steps of a pass over prompt tokens; the last pass of a prompt also makes logits and chooses. */
export function planPrefill(
  options: PlanOptions,
  width: Width,
  choice: Choice | undefined,
  extras: ChoiceExtras = {},
): readonly Step[] {
  const body = planBody(options, width, WHOLE);
  return choice === undefined ? body : [...body, ...planOutput(options), ...planChoice(options, choice, extras)];
}

/**
 * The steps of one token for each of several sequences, to their logits: each weight is read once for several of them. With a
 * width that is not wide every column's arithmetic is that of a column alone, whatever stands beside it, so that a text does not
 * depend on who else asks.
 */
export function planBatch(options: PlanOptions, width: Width): readonly Step[] {
  const body = planBody(options, width, partsFor(options), true);
  return [...body, ...planOutput(options, isWide(width) ? 4 : width)];
}

/** The steps of a pass over prompt tokens of which the mean state is wanted; leaves its sum in the slot's part of `pooled`. */
export function planPooled(options: PlanOptions, width: Width): readonly Step[] {
  const { config, traits } = options;
  const pool: Step = {
    name: 'pool',
    kernel: 'pool',
    spec: { BLOCKS: blocksOf(config.hidden), HIDDEN: config.hidden, EPSILON: config.normEpsilon },
    buffers: { state: 'state', x_meta: 'x.meta', gains: 'finalGain', residual: 'residual', pooled: 'pooled' },
    grid: { x: blocksOf(config.hidden), over: 'outputs', each: 1, z: 1 },
  };
  return [...planBody(options, width, WHOLE), compiledFor(traits, pool)];
}

/**
 * @param parts of attention, or that it goes through the output projection in one step
 * @param apart the columns are of different sequences
 * @param merged gate, up and down are one step, but in the last layer
 */
function planBody(
  options: PlanOptions,
  width: Width,
  parts: AttentionParts | 'projected',
  apart = false,
  merged = false,
): readonly Step[] {
  const { config, weights, kv } = options;
  const { headDim, heads, kvHeads, hidden, normEpsilon, norms, qkNorm } = config;
  const queryRows = heads * headDim;
  const kvRows = kvHeads * headDim;
  const headSpec = { HEAD_DIM: headDim, Q_ROWS: queryRows, KV_ROWS: kvRows, ...kvSpec(config, kv) };
  const rms = { NORM: 'rms', HIDDEN: hidden, EPSILON: normEpsilon };
  const plain = { NORM: 'none' };
  const projected = parts === 'projected';
  const residualForm: Spec = projected || merged ? { RESIDUAL: 'fixed' } : {};
  const unnormed = (matrix: Matrix): Spec => (wayOf(options, matrix, width) === 'matrix' ? {} : plain);
  /** The norm that is folded into the products behind the residual stream. */
  const norm = norms === 'after' ? plain : rms;
  /** Matrix units cannot fold a norm into a product: it is a step of its own then, which reads the residual stream. */
  const normedApart = (matrix: Matrix) =>
    matrix.name.startsWith('layers.') && wayOf(options, matrix, width) === 'matrix';
  /** What writes `x` for the next product of the residual stream, or leaves it to the norm before that. */
  const storeX = (follower: Matrix): Spec => {
    if (normedApart(follower)) return { STORE: 'none', Y_BLOCKS: blocksOf(follower.cols) };
    return storeSpec(options, follower, follower.name.startsWith('layers.') ? width : 1);
  };
  const gain = (vector: string) => ({ GAIN: weights.vectors.has(vector) ? 'vector' : 'none' });
  const matrix = (name: string) => {
    const found = weights.matrices.get(name);
    assert(found, `no matrix ${name}`);
    return found;
  };
  const product = (name: string, input: Input, epilogue: string, spec: Spec, buffers: Record<string, string>): Step[] =>
    productSteps(options, matrix(name), name, input, width, { EPILOGUE: epilogue, ...spec }, buffers);
  /** The norm in front of a product of `x`, where it is a step, and what the product then still has to do. */
  const normSteps = (at: string, matrix: Matrix, gains: string): { readonly steps: Step[]; readonly rest: Spec } => {
    if (!normedApart(matrix)) return { steps: [], rest: norm };
    const step: Step = {
      name: `${at}Norm`,
      kernel: 'norm',
      spec: { ...norm, ...gain(gains), ...storeSpec(options, matrix, width) },
      buffers: { state: 'state', residual: 'residual', gains, y_codes: 'x.codes' },
      grid: { x: 1, over: 'columns', each: 1, z: 1 },
    };
    return { steps: [step], rest: {} };
  };
  /** The product whose output goes to the residual stream, through a norm of its own where the model has one. */
  const addition = (name: string, input: Input, postGain: string, next: string, follower: Matrix): Step[] => {
    const streams = { residual: 'residual', gains: next, y_codes: 'x.codes', y_meta: 'x.meta' };
    if (norms === 'before') {
      const to = (ending: Spec, buffers: Record<string, string>) =>
        product(name, input, 'residual', { ...unnormed(matrix(name)), ...ending }, buffers);
      if (!(merged && name.endsWith('.o'))) return to({ ...residualForm, ...storeX(follower) }, streams);
      // it takes in what the layer before has added, and whoever is behind it makes blocks for itself
      const ending = { RESIDUAL: 'folded', STORE: 'none', Y_BLOCKS: blocksOf(hidden) };
      return to(ending, { residual: 'residual', gains: next, added: 'added' });
    }
    const measured = { ...unnormed(matrix(name)), BIAS: 'none', OUT_ROWS: paddedRows(matrix(name)) };
    return [
      ...product(name, input, 'measured', measured, { out: 'raw', squares: 'raw.squares' }),
      {
        name: `${name}Norm`,
        kernel: 'post-norm',
        spec: { HIDDEN: hidden, EPSILON: normEpsilon, ...gain(next), ...storeX(follower) },
        buffers: { state: 'state', raw: 'raw', squares: 'raw.squares', post_gains: postGain, ...streams },
        grid: { x: blocksOf(hidden), over: 'columns', each: 1, z: 1 },
      },
    ];
  };

  /** The residual stream, of which each workgroup makes its own input; `both`: with what is to be added to it. */
  const streamInput = (gains: string, both: boolean): Input => ({
    buffers: { residual: 'residual', gains, ...(both && { added: 'added' }) },
    spec: { ACT: 'i8-residual', TOUCH: 'weights', ...(both && { ADDED: 'apart' }) },
  });

  /** Gate, up and what joins them. Of different formats they are two products, and the gate waits in `raw`. */
  const feedForward = (name: string, gains: string, follower: Matrix): Step[] => {
    const both = matrix(name);
    const { steps: before, rest } = normSteps(name, both, gains);
    const input = projected || merged ? streamInput(gains, false) : blockInput('x');
    const joined = { ...rest, ACTIVATION: config.activation, ...storeSpec(options, follower, width) };
    const blocks = { y_codes: 'h.codes', y_meta: 'h.meta' };
    if (both.alternate) return [...before, ...product(name, input, 'gate', joined, blocks)];
    const gateRows = roundUp(config.feedForward, BLOCK);
    const half = (isGate: boolean) => ({
      ...both,
      parts: both.parts.filter(({ firstRow }) => firstRow < gateRows === isGate),
    });
    const gate = { ...rest, EPILOGUE: 'plain', BIAS: 'none', OUT_ROWS: gateRows };
    const up = { ...joined, EPILOGUE: 'up', GATE_ROWS: gateRows };
    return [
      ...before,
      ...productSteps(options, half(true), name, input, width, gate, { out: 'raw' }),
      ...productSteps(options, half(false), name, input, width, up, { gate: 'raw', ...blocks }),
    ];
  };

  const steps: Step[] = [];
  const first = matrix('layers.0.qkv');
  for (const part of matrix('embed').parts) {
    const gains = 'layers.0.attentionGain';
    const rows = { FIRST_ROW: part.firstRow, PART_ROWS: part.rows };
    const blocks = blocksOf(hidden);
    steps.push({
      name: part.name,
      kernel: 'embed',
      spec: {
        ...weightSpec(part.format),
        BLOCKS: blocks,
        ...rows,
        SCALE: config.embeddingScale,
        ...gain(gains),
        ...(merged ? { RESIDUAL: 'folded' } : residualForm), // a pass that broke off may have left something
        ...storeX(first),
      },
      buffers: {
        ...partBuffers(part.name),
        state: 'state',
        tokens: 'tokens',
        picked: 'picked',
        residual: 'residual',
        ...(merged && { added: 'added' }),
        gains,
        y_codes: 'x.codes',
        y_meta: 'x.meta',
      },
      grid: { x: blocks, over: 'columns', each: 1, z: 1 },
    });
  }

  for (let layer = 0; layer < config.layers; layer++) {
    const at = `layers.${layer}`;
    const next = layer + 1 < config.layers ? `layers.${layer + 1}` : undefined;
    const bias = config.attentionBias ? { BIAS: 'add' } : { BIAS: 'none' };
    const rope = layerRope(config, layer);
    const ropeSpec: Spec = rope ? { ROPE: 'pairs', ROPE_DIM: config.ropeDim } : { ROPE: 'none' };
    const target: Record<string, string> = { q: 'q', ...kvBuffers(at, config, kv), ...(rope && { rope }) };
    const flash = apart ? undefined : flashKernel(options, width);
    const query: Spec = flash ? { QUERY: 'f16', SCALE: attentionScale(config) } : { QUERY: 'f32' };
    const { steps: before, rest } = normSteps(`${at}.qkv`, matrix(`${at}.qkv`), `${at}.attentionGain`);
    steps.push(...before);
    const input = merged && layer > 0 ? streamInput(`${at}.attentionGain`, true) : blockInput('x');
    if (qkNorm === 'none') {
      const spec = { ...rest, ...bias, ...headSpec, ...ropeSpec, ...query };
      steps.push(...product(`${at}.qkv`, input, 'qkv', spec, { ...target, biases: `${at}.qkvBias` }));
    } else {
      const epilogue = qkNorm === 'head' ? 'plain' : 'measured';
      const spec = { ...rest, ...bias, OUT_ROWS: paddedRows(matrix(`${at}.qkv`)) };
      const squares: Record<string, string> = qkNorm === 'all' ? { squares: 'raw.squares' } : {};
      steps.push(...product(`${at}.qkv`, input, epilogue, spec, { out: 'raw', ...squares, biases: `${at}.qkvBias` }), {
        name: `${at}.headNorm`,
        kernel: 'head-norm',
        spec: { ...headSpec, ...ropeSpec, ...query, SCOPE: qkNorm, EPSILON: normEpsilon },
        buffers: { state: 'state', raw: 'raw', ...squares, gains: `${at}.headGain`, ...target },
        grid: { x: heads + 2 * kvHeads, over: 'columns', each: 1, z: 1 },
      });
    }
    if (projected) steps.push(projectedStep(options, layer, merged));
    else {
      const attention = flash ? flashSteps(options, layer, width, flash) : attentionSteps(options, layer, width, parts);
      const gains = [`${at}.attentionPostGain`, `${at}.feedForwardGain`] as const;
      steps.push(...attention.steps, ...addition(`${at}.o`, attention.output, ...gains, matrix(`${at}.gateUp`)));
    }
    if (merged && next) {
      steps.push(feedForwardStep(options, layer));
      continue;
    }
    steps.push(
      ...feedForward(`${at}.gateUp`, `${at}.feedForwardGain`, matrix(`${at}.down`)),
      ...addition(
        `${at}.down`,
        blockInput('h'),
        `${at}.feedForwardPostGain`,
        next ? `${next}.attentionGain` : 'finalGain',
        next ? matrix(`${next}.qkv`) : outputMatrix(config, weights),
      ),
    );
  }
  return steps.map((step) => compiledFor(options.traits, step));
}

/** CPU drivers get loops that they cannot unroll: they would compile for seconds. */
export function compiledFor(traits: Traits, step: Step): Step {
  return { ...step, spec: { ...step.spec, OPAQUE: traits.software } };
}

/** The steps from the residual stream of the outputs' columns to their logits. */
export function planOutput(options: PlanOptions, width: Width = 1): readonly Step[] {
  const { config, weights } = options;
  const matrix = outputMatrix(config, weights);
  return productSteps(
    options,
    matrix,
    'logits',
    blockInput('x'),
    width,
    {
      EPILOGUE: 'logits',
      NORM: 'rms',
      HIDDEN: config.hidden,
      EPSILON: config.normEpsilon,
      VOCAB: config.vocab,
      ...capSpec(config.logitCap),
    },
    { logits: 'logits', peaks: 'peaks' },
  ).map((step) => compiledFor(options.traits, step));
}

/** The steps from the logits of the outputs to their next tokens. */
export function planChoice(options: PlanOptions, choice: PassChoice, extras: ChoiceExtras = {}): readonly Step[] {
  const { config, traits, context } = options;
  const output = { state: 'state', logits: 'logits', peaks: 'peaks' };
  const samplers = 'samplers';
  const threads = { VOCAB: config.vocab, THREADS: traits.software ? 64 : 256 };
  const grid: Grid = { x: 1, over: 'outputs', each: 1, z: 1 };
  const rank = (name: string, candidates: string): Step => ({
    name,
    kernel: 'rank',
    spec: threads,
    buffers: { ...output, samplers, candidates },
    grid,
  });
  const steps: Step[] = [];
  if (extras.reported) steps.push(rank('rank.raw', 'reports'));
  if (extras.edited)
    steps.push({
      name: 'edit',
      kernel: 'edit',
      spec: { ...threads, MOST_EDITS: mostEdits(config, context), OPAQUE: traits.software },
      buffers: { ...output, edits: 'edits', masks: 'masks' },
      grid: { ...grid, x: Math.ceil(blocksOf(config.vocab) / threads.THREADS) },
    });
  if (choice === 'list' || extras.listed) steps.push(rank('rank', 'candidates'));
  if (choice === 'list' || choice === 'none') return steps;
  const { logits, peaks } = output;
  const inputs = { greedy: { peaks }, noise: { samplers, logits, peaks }, top: { samplers, logits, peaks } };
  const mixed = choice === 'each';
  for (const one of mixed ? (['greedy', 'noise', 'top'] as const) : [choice])
    steps.push({
      name: `choose.${one}`,
      kernel: 'select',
      spec: { CHOICE: one, ...threads, ...(mixed && { TAKES: 'mixed' }) },
      buffers: {
        state: 'state',
        tokens: 'tokens',
        picked: 'picked',
        ...inputs[one],
        ...(mixed && { samplers }),
      },
      grid,
    });
  if (extras.reported)
    steps.push({
      name: 'report',
      kernel: 'report',
      spec: { VOCAB: config.vocab },
      buffers: { state: 'state', picked: 'picked', logits, candidates: 'reports' },
      grid,
    });
  return steps;
}
