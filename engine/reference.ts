/**
 * The forward pass on the CPU, written to be read: doubles, no tricks. The truth that kernels are
 * tested against. In its `i8` mode it rounds activations as the kernels do, so that what is left is only the order of sums.
 */
import { mat2, vec2 } from 'gl-matrix';
import { normNames } from '../loaders/model-tensors.ts';
import type { Checkpoint, LlamaConfig } from '../loaders/types.ts';
import { assert } from '../quant/errors.ts';
import { f16ToF32, f32ToF16 } from '../quant/f16.ts';
import { decodeRows } from '../quant/file-types.ts';
import { BLOCK, isQuantised } from '../quant/layout.ts';
import { halfSplitRow } from '../quant/row-order.ts';
import { attentionScale, layerRope, layerWindow } from './layers.ts';
import { type RopeConfig, ropeConfig, ropeFrequencies, ropeMagnitude } from './rope.ts';
import { deviceFormat, deviceValues } from './self-test.ts';
import type { WeightsOption } from './weights.ts';

export interface ReferenceOptions {
  /** Device format of the matrices, as for loadModel. Default native. */
  readonly weights?: WeightsOption | undefined;
  /** `f64`: no rounding. `i8`: inputs of products with quantised weights are rounded to int8 blocks. Default f64. */
  readonly activations?: 'f64' | 'i8' | undefined;
  /** Rounding of keys and values. Default none. */
  readonly kv?: 'f64' | 'f16' | 'q8' | undefined;
  /** Positions of the session that it stands for: some models' RoPE goes by it. Default 1. */
  readonly context?: number | undefined;
  /** Hears the result of every step of the plan, by its name; of `qkv` the queries, of steps that add to it the residual. */
  readonly trace?: ((step: string, values: Float64Array) => void) | undefined;
}

export interface Reference {
  /** Feeds one token and returns its logits, [vocab]. */
  next(id: number): Float64Array;
}

interface RealMatrix {
  readonly rows: number;
  readonly cols: number;
  readonly values: Float32Array; // [rows][cols], as the device sees them
  readonly quantised: boolean;
  /** The input of each column, where they are not in order. */
  readonly order: Uint32Array | undefined;
}

type Matrices = ReadonlyMap<string, RealMatrix>;

/** Reads all weights into memory: for small models only. */
export async function createReference(checkpoint: Checkpoint, options: ReferenceOptions = {}): Promise<Reference> {
  const matrices = await readMatrices(checkpoint, options, () => true);
  const pass = createPass(checkpoint.config, options, () => matrices);
  return {
    next(id) {
      let x = pass.embed(id);
      for (let layer = 0; layer < checkpoint.config.layers; layer++) x = pass.layer(layer, x);
      return pass.logits(x);
    },
  };
}

/**
 * The logits behind each of `ids`, [ids.length][vocab], with one layer at a time in memory: for models of any size. `trace` hears
 * all positions of a step before the next step.
 */
export async function referenceLogits(
  checkpoint: Checkpoint,
  ids: readonly number[],
  options: ReferenceOptions = {},
): Promise<Float64Array[]> {
  const { config } = checkpoint;
  const read = (prefix: string) => readMatrices(checkpoint, options, (name) => name.startsWith(prefix));
  let matrices = await read(EMBEDDING);
  const pass = createPass(config, options, () => matrices);
  let states = ids.map(pass.embed);
  for (let layer = 0; layer < config.layers; layer++) {
    matrices = await read(`model.layers.${layer}.`);
    states = states.map((x) => pass.layer(layer, x));
  }
  matrices = new Map([...(await read('model.norm.')), ...(await read(outputName(config)))]);
  return states.map(pass.logits);
}

const EMBEDDING = 'model.embed_tokens.weight';

function outputName(config: LlamaConfig): string {
  return config.tiedEmbeddings ? EMBEDDING : 'lm_head.weight';
}

async function readMatrices(
  checkpoint: Checkpoint,
  { weights: option = 'native' }: ReferenceOptions,
  wanted: (name: string) => boolean,
): Promise<Matrices> {
  const matrices = new Map<string, RealMatrix>();
  for (const tensor of checkpoint.tensors.values()) {
    const { name, type, rows, cols } = tensor;
    if (!wanted(name)) continue;
    const bytes = await checkpoint.readRows(name, 0, rows);
    const isMatrix = rows > 1;
    const values = isMatrix
      ? deviceValues(tensor, bytes, rows, option)
      : decodeRows(type, bytes, rows, cols).map(
          (value) => value + (/norm\.weight$/.test(name) ? checkpoint.config.normOffset : 0),
        );
    matrices.set(name, {
      rows,
      cols,
      values,
      quantised: isMatrix && isQuantised(deviceFormat(type, tensor.format, option)),
      order: tensor.order,
    });
  }
  return matrices;
}

/** The parts of a forward pass; each layer takes the positions in order. */
interface Pass {
  embed(id: number): Float64Array;
  layer(layer: number, x: Float64Array): Float64Array;
  logits(x: Float64Array): Float64Array;
}

/** @param matrices those that the part at hand needs */
function createPass(config: LlamaConfig, options: ReferenceOptions, matrices: () => Matrices): Pass {
  const weight = (name: string): RealMatrix => {
    const matrix = matrices().get(name);
    assert(matrix, `the checkpoint has ${name}`);
    return matrix;
  };

  const { layers, hidden, heads, kvHeads, headDim, normEpsilon, qkNorm } = config;
  const norms = normNames(config);
  const inOrder = Array.from({ length: headDim }, (_, i) => i);
  const keyOrder = config.ropePairs === 'half' ? inOrder.map((i) => halfSplitRow(i, config.ropeDim)) : inOrder;
  const rounded = (vector: Float64Array, order: readonly number[]) => {
    if (options.kv === 'f16') return vector.map((value) => f16ToF32(f32ToF16(value)));
    return options.kv === 'q8' ? roundToKvBlocks(vector, order) : vector;
  };
  const keys: Float64Array[][] = Array.from({ length: layers }, () => []); // [layer][position] -> [kvHeads * headDim]
  const values: Float64Array[][] = Array.from({ length: layers }, () => []);
  const trace = options.trace ?? (() => undefined);

  /** W x, or W (g x) * factor with the input rounded where the kernels round it. */
  const product = (name: string, x: Float64Array, factor = 1): Float64Array => {
    const matrix = weight(name);
    const ordered = matrix.order ? Float64Array.from(matrix.order, (input) => x[input] as number) : x;
    const input = options.activations === 'i8' && matrix.quantised ? roundToInt8(ordered) : ordered;
    const y = new Float64Array(matrix.rows);
    for (let row = 0, at = 0; row < matrix.rows; row++) {
      let sum = 0;
      for (let col = 0; col < matrix.cols; col++) sum += (matrix.values[at++] as number) * (input[col] as number);
      y[row] = sum * factor;
    }
    return y;
  };
  const addBias = (y: Float64Array, name: string) => {
    const bias = matrices().get(name);
    if (bias) for (let i = 0; i < y.length; i++) (y[i] as number) += bias.values[i] as number;
    return y;
  };
  const gained = (x: Float64Array, name: string) => {
    const gains = weight(name).values;
    return x.map((value, i) => value * (gains[i] as number));
  };
  const normFactor = (x: Float64Array, size: number) =>
    1 / Math.sqrt(x.reduce((sum, value) => sum + value * value, 0) / size + normEpsilon);

  /** The input of products behind the residual stream: g x, and the factor that makes a norm of it; x itself without one. */
  const normed = (x: Float64Array, name: string | undefined): readonly [Float64Array, number] =>
    name === undefined ? [x, 1] : [gained(x, name), normFactor(x, hidden)];
  /** x + y, through a norm of its own where the model has one. */
  const addTo = (x: Float64Array, step: string, y: Float64Array, name: string | undefined): Float64Array => {
    if (name !== undefined) trace(step, y);
    const factor = normFactor(y, hidden);
    const sum = added(x, name === undefined ? y : gained(y, name).map((value) => value * factor));
    trace(name === undefined ? step : `${step}Norm`, sum);
    return sum;
  };

  const attend = (layer: number, position: number, queries: Float64Array): Float64Array => {
    const out = new Float64Array(heads * headDim);
    const window = layerWindow(config, layer);
    const first = window === undefined ? 0 : Math.max(0, position + 1 - window);
    for (let head = 0; head < heads; head++) {
      const shared = Math.floor(head / (heads / kvHeads)) * headDim;
      const scores: number[] = [];
      for (let at = first; at <= position; at++) {
        let sum = 0;
        for (let i = 0; i < headDim; i++)
          sum +=
            (queries[head * headDim + i] as number) * ((keys[layer] as Float64Array[])[at]?.[shared + i] as number);
        scores.push(softCap(sum * attentionScale(config), config.attentionCap));
      }
      const best = Math.max(...scores);
      const shares = scores.map((score) => Math.exp(score - best));
      const total = shares.reduce((sum, share) => sum + share, 0);
      for (const [i, share] of shares.entries()) {
        const row = (values[layer] as Float64Array[])[first + i] as Float64Array;
        for (let d = 0; d < headDim; d++)
          (out[head * headDim + d] as number) += (share / total) * (row[shared + d] as number);
      }
    }
    return out;
  };

  return {
    embed(id) {
      const row = weight(EMBEDDING).values.subarray(id * hidden, (id + 1) * hidden);
      const x = Float64Array.from(row, (value) => value * config.embeddingScale);
      trace('embed', x);
      return x;
    },
    layer(layer, x) {
      const at = `model.layers.${layer}`;
      const position = (keys[layer] as Float64Array[]).length;
      const inLayer = (norm: string | undefined) => norm && `${at}.${norm}`;
      const [attentionIn, factor] = normed(x, inLayer(norms.beforeAttention));
      const [q, k, v] = ['q', 'k', 'v'].map((letter) =>
        addBias(
          product(`${at}.self_attn.${letter}_proj.weight`, attentionIn, factor),
          `${at}.self_attn.${letter}_proj.bias`,
        ),
      ) as [Float64Array, Float64Array, Float64Array];
      if (qkNorm !== 'none') trace(`layers.${layer}.qkv`, q.slice());
      const rope = layerRope(config, layer);
      for (const [letter, vector] of [
        ['q', q],
        ['k', k],
      ] as const) {
        if (qkNorm !== 'none')
          normaliseHeads(vector, weight(`${at}.self_attn.${letter}_norm.weight`).values, normEpsilon);
        if (rope) rotateHeads(vector, config, ropeConfig(config, rope), options.context ?? 1, position);
      }
      trace(`layers.${layer}.${qkNorm === 'none' ? 'qkv' : 'headNorm'}`, q);
      (keys[layer] as Float64Array[]).push(rounded(k, keyOrder));
      (values[layer] as Float64Array[]).push(rounded(v, inOrder));
      const attended = attend(layer, position, q);
      trace(`layers.${layer}.attention`, attended);
      const attention = product(`${at}.self_attn.o_proj.weight`, attended);
      const between = addTo(x, `layers.${layer}.o`, attention, inLayer(norms.afterAttention));

      const [feedIn, feedFactor] = normed(between, inLayer(norms.beforeFeedForward));
      const gate = product(`${at}.mlp.gate_proj.weight`, feedIn, feedFactor);
      const up = product(`${at}.mlp.up_proj.weight`, feedIn, feedFactor);
      const h = gate.map((g, i) => activate(g, config.activation) * (up[i] as number));
      trace(`layers.${layer}.gateUp`, h);
      const feedForward = product(`${at}.mlp.down_proj.weight`, h);
      return addTo(between, `layers.${layer}.down`, feedForward, inLayer(norms.afterFeedForward));
    },
    logits(x) {
      const [last, factor] = normed(x, 'model.norm.weight');
      trace(
        'pool',
        last.map((value) => value * factor),
      );
      const logits = product(outputName(config), last, factor).map((logit) => softCap(logit, config.logitCap));
      trace('logits', logits);
      return logits;
    },
  };
}

function activate(x: number, activation: LlamaConfig['activation']): number {
  if (activation === 'silu') return x / (1 + Math.exp(-x));
  return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
}

function softCap(value: number, cap: number | undefined): number {
  return cap === undefined ? value : cap * Math.tanh(value / cap);
}

function added(x: Float64Array, y: Float64Array): Float64Array {
  return x.map((value, i) => value + (y[i] as number));
}

/** RMSNorm over stretches as long as the gains: each head by itself (Qwen 3), or all of them together (OLMo 2). */
function normaliseHeads(vector: Float64Array, gains: Float32Array, epsilon: number): void {
  const size = gains.length;
  for (let start = 0; start < vector.length; start += size) {
    const part = vector.subarray(start, start + size);
    const factor = 1 / Math.sqrt(part.reduce((sum, value) => sum + value * value, 0) / size + epsilon);
    for (let i = 0; i < size; i++) part[i] = (part[i] as number) * factor * (gains[i] as number);
  }
}

/** Turns the pairs of every head by their angles, in the checkpoint's own pairing. */
function rotateHeads(
  vector: Float64Array,
  { headDim, ropePairs }: LlamaConfig,
  rope: RopeConfig,
  context: number,
  position: number,
): void {
  const pair: vec2 = [0, 0]; // plain arrays: gl-matrix then computes in doubles
  const turn: mat2 = [1, 0, 0, 1];
  const magnitude = ropeMagnitude(rope);
  for (const [i, frequency] of ropeFrequencies(rope, context).entries()) {
    mat2.fromRotation(turn, position * frequency);
    mat2.multiplyScalar(turn, turn, magnitude);
    const first = ropePairs === 'half' ? i : 2 * i;
    const second = ropePairs === 'half' ? i + rope.ropeDim / 2 : 2 * i + 1;
    for (let start = 0; start < vector.length; start += headDim) {
      vec2.set(pair, vector[start + first] as number, vector[start + second] as number);
      vec2.transformMat2(pair, pair, turn);
      vector[start + first] = pair[0];
      vector[start + second] = pair[1];
    }
  }
}

/** The twin of store-i8.wgsl: blocks of 32, d = largest / 127, codes rounded half to even, all in f32. */
export function roundToInt8(x: Float64Array): Float64Array {
  const out = new Float64Array(x.length);
  for (let start = 0; start < x.length; start += BLOCK) {
    const block = Float32Array.from(x.subarray(start, start + BLOCK));
    const largest = block.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const inverse = largest > 0 ? Math.fround(127 / largest) : 0;
    const d = Math.fround(largest * Math.fround(1 / 127));
    for (const [i, value] of block.entries()) out[start + i] = roundHalfEven(Math.fround(value * inverse)) * d;
  }
  return out;
}

/**
 * The twin of kv-write-q8.wgsl: blocks of up to 32 within each head, the scale rounded to f16 before it is used. `order` has
 * the elements of a head as the device puts them side by side.
 */
function roundToKvBlocks(x: Float64Array, order: readonly number[]): Float64Array {
  const headDim = order.length;
  let block = BLOCK;
  while (headDim % block !== 0) block /= 2;
  const out = new Float64Array(x.length);
  for (let start = 0; start < x.length; start += block) {
    const head = start - (start % headDim);
    const places = order.slice(start - head, start - head + block).map((i) => head + i);
    const largest = Math.max(...places.map((at) => Math.abs(x[at] as number)));
    const scale = f16ToF32(f32ToF16(largest / 127));
    for (const at of places) {
      const code = scale > 0 ? roundHalfEven((x[at] as number) / scale) : 0;
      out[at] = Math.min(127, Math.max(-127, code)) * scale;
    }
  }
  return out;
}

function roundHalfEven(value: number): number {
  const down = Math.floor(value);
  const rest = value - down;
  if (rest !== 0.5) return Math.round(value);
  return down % 2 === 0 ? down : down + 1;
}
