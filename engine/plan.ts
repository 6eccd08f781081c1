/**
 * The forward pass as pure data: a list of steps, each naming its kernel, specialisation, buffers and grid. It can be
 * printed, counted, tested and profiled without a GPU; encode.ts turns it into commands.
 */
import type { AdapterInfo, Purpose, Traits } from '../devices/types.ts';
import type { LlamaConfig } from '../loaders/types.ts';
import { assert } from '../quant/errors.ts';
import { BLOCK, blocksOf, packedBytes, roundUp } from '../quant/layout.ts';
import type { ShaderName, Spec } from '../shaders/specialise.ts';
import { headStride, type KvFormat, kvBuffers, kvCapacity, kvPlaneBytes, kvPlanes, kvSpec } from './kv-cache.ts';
import { attentionScale, layerRope, layerWindow, ropeNames } from './layers.ts';
import { CANDIDATES_BYTES, editsBytes, RING, SAMPLER_BYTES, stateBytes } from './state.ts';
import {
  type Arithmetic,
  type AttentionParts,
  chooseArithmetic,
  chooseAttention,
  chooseColumns,
  chooseGemv,
  chooseParts,
  chooseSubgroup,
  columnsFor,
  dotSpec,
  mostColumns,
  type Preferences,
  type ProductShape,
  weightSpec,
} from './variants.ts';
import { type Matrix, outputMatrix, paddedRows, vectorLength, type Weights } from './weights.ts';

export interface Step {
  /** `layers.3.qkv`; the CPU reference uses the same names. */
  readonly name: string;
  readonly kernel: ShaderName;
  readonly spec: Spec;
  /** Shader variable -> buffer name. */
  readonly buffers: Readonly<Record<string, string>>;
  /** Of a matrix-vector product. */
  readonly shape?: ProductShape | undefined;
  readonly grid: Grid;
}

/** Workgroups: x by z, for every group of `each` columns (tokens) of a pass, or of its outputs. */
export interface Grid {
  readonly x: number;
  readonly over: 'columns' | 'outputs';
  readonly each: number;
  readonly z: number | Parts;
}

/** As many as attention has parts over the keys of the pass. */
export interface Parts extends AttentionParts {
  /** Keys that attention sees at most; 0: all. */
  readonly WINDOW: number;
}

/** Tokens in a pass, and how many of them logits are wanted of. */
export interface PassSize {
  readonly columns: number;
  readonly outputs: number;
  /** Most keys that a column sees, itself included. Default: enough for all parts of attention. */
  readonly keys?: number | undefined;
}

export interface BufferSpec {
  readonly name: string;
  readonly bytes: number;
  readonly purpose: Purpose;
}

/** What the sizes of a session's buffers depend on: an adapter that is not opened yet will do. */
export interface SizeOptions {
  readonly config: LlamaConfig;
  readonly weights: Weights;
  readonly traits: AdapterInfo;
  readonly preferences: Preferences;
  readonly kv: KvFormat;
  /** Positions that a sequence may have. */
  readonly context: number;
  /** Positions that the KV cache has room for, which grows; default `context`. */
  readonly capacity?: number | undefined;
  /** Most tokens in one pass. */
  readonly chunk: number;
  /** Sequences that the KV cache has room for, `context` positions each. */
  readonly slots: number;
}

export interface PlanOptions extends SizeOptions {
  readonly traits: Traits;
}

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

/** Positions that a workgroup copies. */
const COPIED_POSITIONS = 64;
/** Rows that a workgroup of kv-shift begins with. */
const SHIFTED_ROWS = 16;

/** Ids that a sequence's logit bias may name. */
export const MOST_BIASES = 1024;

/** Edits that a slot has room for: one for each token of the text, and the biases. */
export function mostEdits(config: LlamaConfig, context: number): number {
  return Math.min(context + MOST_BIASES, config.vocab);
}

/** Tokens that are computed ahead while an earlier one travels to the CPU, each in a readback buffer. */
export const IN_FLIGHT = 4;
/** Holds a chosen token at the end of what is reported of the choice. */
export const READBACK_BYTES = 2 * CANDIDATES_BYTES + 16;

/**
 * The steps of one token of decode: five a layer, plus embedding, logits and choice. Where attention is cut between several
 * workgroups a head, the product behind it joins the parts, or, where that cannot, a sixth step.
 */
export function planDecode(options: PlanOptions, choice: Choice, extras: ChoiceExtras = {}): readonly Step[] {
  return [...planBody(options, 1, partsFor(options)), ...planOutput(options), ...planChoice(options, choice, extras)];
}

/** The steps of a pass over several prompt tokens; the last pass of a prompt also makes logits and chooses. */
export function planPrefill(
  options: PlanOptions,
  choice: Choice | undefined,
  extras: ChoiceExtras = {},
): readonly Step[] {
  const body = planBody(options, chooseColumns(options.traits), WHOLE);
  return choice === undefined ? body : [...body, ...planOutput(options), ...planChoice(options, choice, extras)];
}

/**
 * The steps of one token for up to `columns` sequences, to their logits: each weight is read once for several of them. Every
 * column's arithmetic is that of a column alone, whatever stands beside it, so that a text does not depend on who else asks.
 */
export function planBatch(options: PlanOptions, columns: number): readonly Step[] {
  const atOnce = columnsFor(options.traits, columns);
  return [...planBody(options, atOnce, partsFor(options)), ...planOutput(options, atOnce)];
}

/** The steps of a pass over prompt tokens of which the mean state is wanted; leaves its sum in the slot's part of `pooled`. */
export function planPooled(options: PlanOptions): readonly Step[] {
  const { config, traits } = options;
  const pool: Step = {
    name: 'pool',
    kernel: 'pool',
    spec: { BLOCKS: blocksOf(config.hidden), HIDDEN: config.hidden, EPSILON: config.normEpsilon },
    buffers: { state: 'state', x_meta: 'x.meta', gains: 'finalGain', residual: 'residual', pooled: 'pooled' },
    grid: { x: blocksOf(config.hidden), over: 'outputs', each: 1, z: 1 },
  };
  return [...planBody(options, chooseColumns(traits), WHOLE), compiledFor(traits, pool)];
}

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

/** kv heads that one attention workgroup takes so that its outputs fill whole blocks of 32. */
function kvGroup(config: LlamaConfig): number {
  const outputs = (config.heads / config.kvHeads) * config.headDim;
  for (let count = 1; count < config.kvHeads; count++) if ((count * outputs) % BLOCK === 0) return count;
  return config.kvHeads;
}

/** Attention in one part. */
const WHOLE: AttentionParts = { SPLITS: 1, PART_KEYS: 1 };

function planBody(options: PlanOptions, columnsAtOnce: number, parts: AttentionParts): readonly Step[] {
  const { config, weights, kv } = options;
  const { headDim, heads, kvHeads, hidden, normEpsilon, norms, qkNorm } = config;
  const queryRows = heads * headDim;
  const kvRows = kvHeads * headDim;
  const headSpec = { HEAD_DIM: headDim, Q_ROWS: queryRows, KV_ROWS: kvRows, ...kvSpec(config, kv) };
  const rms = { NORM: 'rms', HIDDEN: hidden, EPSILON: normEpsilon };
  const plain = { NORM: 'none' };
  /** The norm that is folded into the products behind the residual stream. */
  const norm = norms === 'after' ? plain : rms;
  const store = (matrix: Matrix) => ({ STORE: storeFor(options, matrix), Y_BLOCKS: blocksOf(matrix.cols) });
  const gain = (vector: string) => ({ GAIN: weights.vectors.has(vector) ? 'vector' : 'none' });
  const matrix = (name: string) => {
    const found = weights.matrices.get(name);
    assert(found, `no matrix ${name}`);
    return found;
  };
  const product = (name: string, input: Input, epilogue: string, spec: Spec, buffers: Record<string, string>): Step[] =>
    productSteps(options, matrix(name), name, input, columnsAtOnce, { EPILOGUE: epilogue, ...spec }, buffers);
  /** The product whose output goes to the residual stream, through a norm of its own where the model has one. */
  const addition = (name: string, input: Input, postGain: string, next: string, follower: Matrix): Step[] => {
    const streams = { residual: 'residual', gains: next, y_codes: 'x.codes', y_meta: 'x.meta' };
    if (norms === 'before') return product(name, input, 'residual', { ...plain, ...store(follower) }, streams);
    const measured = { ...plain, BIAS: 'none', OUT_ROWS: paddedRows(matrix(name)) };
    return [
      ...product(name, input, 'measured', measured, { out: 'raw', squares: 'raw.squares' }),
      {
        name: `${name}Norm`,
        kernel: 'post-norm',
        spec: { HIDDEN: hidden, EPSILON: normEpsilon, ...gain(next), ...store(follower) },
        buffers: { state: 'state', raw: 'raw', squares: 'raw.squares', post_gains: postGain, ...streams },
        grid: { x: blocksOf(hidden), over: 'columns', each: 1, z: 1 },
      },
    ];
  };

  /** Gate, up and what joins them. Of different formats they are two products, and the gate waits in `raw`. */
  const feedForward = (name: string, follower: Matrix): Step[] => {
    const joined = { ...norm, ACTIVATION: config.activation, ...store(follower) };
    const blocks = { y_codes: 'h.codes', y_meta: 'h.meta' };
    const both = matrix(name);
    if (both.alternate) return product(name, blockInput('x'), 'gate', joined, blocks);
    const gateRows = roundUp(config.feedForward, BLOCK);
    const half = (isGate: boolean) => ({
      ...both,
      parts: both.parts.filter(({ firstRow }) => firstRow < gateRows === isGate),
    });
    const gate = { ...norm, EPILOGUE: 'plain', BIAS: 'none', OUT_ROWS: gateRows };
    const up = { ...joined, EPILOGUE: 'up', GATE_ROWS: gateRows };
    return [
      ...productSteps(options, half(true), name, blockInput('x'), columnsAtOnce, gate, { out: 'raw' }),
      ...productSteps(options, half(false), name, blockInput('x'), columnsAtOnce, up, { gate: 'raw', ...blocks }),
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
        ...store(first),
      },
      buffers: {
        ...partBuffers(part.name),
        state: 'state',
        tokens: 'tokens',
        picked: 'picked',
        residual: 'residual',
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
    const joined = columnsAtOnce === 1 && parts.SPLITS > 1 ? joinedInput(options, layer, parts) : undefined;
    const bias = config.attentionBias ? { BIAS: 'add' } : { BIAS: 'none' };
    const rope = layerRope(config, layer);
    const ropeSpec: Spec = rope ? { ROPE: 'pairs', ROPE_DIM: config.ropeDim } : { ROPE: 'none' };
    const target: Record<string, string> = { q: 'q', ...kvBuffers(at, config, kv), ...(rope && { rope }) };
    if (qkNorm === 'none') {
      const spec = { ...norm, ...bias, ...headSpec, ...ropeSpec };
      steps.push(...product(`${at}.qkv`, blockInput('x'), 'qkv', spec, { ...target, biases: `${at}.qkvBias` }));
    } else {
      const epilogue = qkNorm === 'head' ? 'plain' : 'measured';
      const spec = { ...norm, ...bias, OUT_ROWS: paddedRows(matrix(`${at}.qkv`)) };
      const squares: Record<string, string> = qkNorm === 'all' ? { squares: 'raw.squares' } : {};
      steps.push(
        ...product(`${at}.qkv`, blockInput('x'), epilogue, spec, { out: 'raw', ...squares, biases: `${at}.qkvBias` }),
        {
          name: `${at}.headNorm`,
          kernel: 'head-norm',
          spec: { ...headSpec, ...ropeSpec, SCOPE: qkNorm, EPSILON: normEpsilon },
          buffers: { state: 'state', raw: 'raw', ...squares, gains: `${at}.headGain`, ...target },
          grid: { x: heads + 2 * kvHeads, over: 'columns', each: 1, z: 1 },
        },
      );
    }
    steps.push(
      ...attentionSteps(options, layer, parts, joined),
      ...addition(
        `${at}.o`,
        joined ?? blockInput('attention'),
        `${at}.attentionPostGain`,
        `${at}.feedForwardGain`,
        matrix(`${at}.gateUp`),
      ),
      ...feedForward(`${at}.gateUp`, matrix(`${at}.down`)),
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

/**
 * CPU drivers get loops that they cannot unroll: they would compile for seconds. So do products on AMD's: enough waves hide
 * latency there, and the registers of an unrolled loop would cost some of them.
 */
function compiledFor(traits: Traits, step: Step): Step {
  const opaque = traits.software || (traits.vendor === 'amd' && step.shape !== undefined);
  return { ...step, spec: { ...step.spec, OPAQUE: opaque } };
}

/** Spec of a soft cap, where there is one. */
function capSpec(cap: number | undefined): Spec {
  return cap === undefined ? { CAPPED: 'none' } : { CAPPED: 'tanh', CAP: cap };
}

/** Where a product takes its input from: the buffers, and what to tell the kernel. */
interface Input {
  readonly buffers: Readonly<Record<string, string>>;
  readonly spec: Spec;
}

/** Activation blocks, as another step has left them. */
function blockInput(name: string): Input {
  return { buffers: { x_codes: `${name}.codes`, x_meta: `${name}.meta` }, spec: {} };
}

/** What kernels want to know of the parts that attention left. */
function partsSpec(config: LlamaConfig, layer: number, parts: AttentionParts): Parts & Spec {
  return {
    HEADS: config.heads,
    HEAD_DIM: config.headDim,
    HEAD_STRIDE: headStride(config),
    WINDOW: layerWindow(config, layer) ?? 0,
    ...parts,
  };
}

/** The parts that split attention leaves, joined by the product itself; undefined where its kernel cannot do that. */
function joinedInput(options: PlanOptions, layer: number, parts: AttentionParts): Input | undefined {
  const { config, weights, traits, preferences } = options;
  const matrix = weights.matrices.get(`layers.${layer}.o`);
  assert(matrix, `layer ${layer} has an output projection`);
  const whole = config.headDim % 8 === 0 && (config.heads * config.headDim) % BLOCK === 0;
  const lanes = chooseSubgroup(traits) !== undefined && (preferences.gemv ?? 'lanes') === 'lanes' && !traits.software;
  if (!whole || !lanes || matrixArithmetic(options, matrix) !== 'i8') return undefined;
  const buffers = { partials: 'partials', shares: 'shares' };
  return { buffers, spec: { ...partsSpec(config, layer, parts), ACT: 'i8-joined' } };
}

function attentionSteps(options: PlanOptions, layer: number, cut: AttentionParts, joined: Input | undefined): Step[] {
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
  const store = { STORE: storeFor(options, follower), Y_BLOCKS: blocksOf(follower.cols) };
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
    grid: {
      x: workgroups,
      over: 'columns',
      each: 1,
      z: whole ? 1 : parts,
    },
  };
  if (whole || joined) return [attention];
  return [
    attention,
    {
      name: `${at}.combine`,
      kernel: 'combine',
      spec: { ...heads, ...parts, KV_HEADS: config.kvHeads, ...store },
      buffers: { state: 'state', partials: 'partials', shares: 'shares', ...blocks },
      grid: { x: workgroups, over: 'columns', each: 1, z: 1 },
    },
  ];
}

/** Parts of attention in decode. */
function partsFor({ config, traits, preferences }: SizeOptions): AttentionParts {
  return chooseParts(traits, Math.ceil(config.kvHeads / kvGroup(config)), preferences.splits);
}

/** The steps from the residual stream of the outputs' columns to their logits. */
export function planOutput(options: PlanOptions, columnsAtOnce = 1): readonly Step[] {
  const { config, weights } = options;
  const matrix = outputMatrix(config, weights);
  return productSteps(
    options,
    matrix,
    'logits',
    blockInput('x'),
    columnsAtOnce,
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

function partBuffers(part: string): Record<string, string> {
  return { codes: `${part}.codes`, scales: `${part}.scales` };
}

function matrixArithmetic({ traits, preferences, config }: PlanOptions, matrix: Matrix): Arithmetic {
  const arithmetic = chooseArithmetic(
    traits,
    matrix.parts.map((part) => part.format),
    preferences.arithmetic,
  );
  // Gemma's residual stream exceeds what f16 holds
  return arithmetic === 'mix' && config.embeddingScale !== 1 ? 'f32' : arithmetic;
}

/** The form in which a matrix wants its input blocks written. */
function storeFor(options: PlanOptions, matrix: Matrix): string {
  const arithmetic = matrixArithmetic(options, matrix);
  if (arithmetic === 'mix') return 'f16';
  if (arithmetic === 'f32') return 'f32';
  const subgroup = options.traits.software ? undefined : chooseSubgroup(options.traits);
  return subgroup && subgroup.size >= 32 ? 'i8-lanes' : 'i8';
}

function productSteps(
  options: PlanOptions,
  matrix: Matrix,
  name: string,
  input: Input,
  columnsAtOnce: number,
  spec: Spec,
  buffers: Record<string, string>,
): Step[] {
  const tile = matrix.alternate ? 64 : 32;
  const blocks = blocksOf(matrix.cols);
  const arithmetic = matrixArithmetic(options, matrix);
  const outputs = spec.EPILOGUE === 'logits';
  return matrix.parts.map((part) => {
    const shape: ProductShape = { rows: part.rows, blocks, tile, dot: `${arithmetic}-${part.format}` };
    const columns = Math.min(columnsAtOnce, mostColumns(part.format));
    const variant = chooseGemv(options.traits, shape, columns, options.preferences);
    return {
      name: name + part.name.slice(matrix.name.length), // `layers.0.qkv/1`, `logits` for `output`
      kernel: variant.kernel,
      spec: {
        ...spec,
        ...variant.spec,
        ...dotSpec(arithmetic, part.format),
        ...input.spec,
        BLOCKS: blocks,
        OUTPUTS: outputs,
        FIRST_ROW: part.firstRow,
      },
      buffers: {
        ...partBuffers(part.name),
        state: 'state',
        ...input.buffers,
        ...buffers,
      },
      shape,
      grid: { x: part.rows / tile, over: outputs ? 'outputs' : 'columns', each: columns, z: 1 },
    };
  });
}

/** The buffers of the weights. Estimate and allocation use the same lists. */
export function weightBuffers(weights: Weights): readonly BufferSpec[] {
  const list: BufferSpec[] = [];
  for (const matrix of weights.matrices.values()) {
    for (const part of matrix.parts) {
      const size = packedBytes(part.format, part.rows, matrix.cols);
      list.push({ name: `${part.name}.codes`, bytes: size.codes, purpose: 'weights' });
      if (size.scales > 0) list.push({ name: `${part.name}.scales`, bytes: size.scales, purpose: 'weights' });
    }
  }
  for (const vector of weights.vectors.values())
    list.push({ name: vector.name, bytes: vectorLength(vector) * 4, purpose: 'weights' });
  return list;
}

/** The buffers of one session: KV cache, activations, state. */
export function sessionBuffers(options: SizeOptions): readonly BufferSpec[] {
  const { config, weights, context, chunk, slots, kv } = options;
  const columns = roundUp(
    Math.max(chunk, slots),
    Math.max(chooseColumns(options.traits), columnsFor(options.traits, slots)),
  );
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
  add('residual', columns * roundUp(config.hidden, BLOCK) * 4, 'activations');
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
  // blocks are sized for f32, the widest form
  for (const [name, width] of [
    ['x', config.hidden],
    ['attention', config.heads * config.headDim],
    ['h', config.feedForward],
  ] as const) {
    add(`${name}.codes`, columns * blocksOf(width) * BLOCK * 4, 'activations');
    add(`${name}.meta`, columns * blocksOf(width) * 16, 'activations');
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
