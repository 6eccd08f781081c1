/** A model's weights on the GPU. */
import { readTopology } from '../devices/topology.ts';
import type { Device, Purpose } from '../devices/types.ts';
import type { Checkpoint, LlamaConfig } from '../loaders/types.ts';
import { assert, FirstlightError } from '../quant/errors.ts';
import { decodeRows } from '../quant/file-types.ts';
import { blocksOf, type Format, ROW_BLOCK, roundUp, WORDS_PER_BLOCK } from '../quant/layout.ts';
import { packRows } from '../quant/pack.ts';
import { type ContextOption, type Estimate, estimate } from './estimate.ts';
import { type KvFormat, weightBuffers } from './plan.ts';
import { notEnoughMemory } from './refusal.ts';
import { createTokenizer, type Tokenizer } from './tokenizer.ts';
import type { Preferences } from './variants.ts';
import {
  describeWeights,
  type Matrix,
  type Part,
  type Section,
  type Vector,
  vectorLength,
  type Weights,
  type WeightsOption,
} from './weights.ts';

/** How a load and its sessions deal with the machine's memory. */
export interface MemoryOptions {
  /** Free memory that is left to others; default 512 MiB on a GPU, 0 on software. */
  readonly marginBytes?: number | undefined;
  /** Go on although the plan says that it does not fit. Default false. */
  readonly overcommit?: boolean | undefined;
  /** Where the machine's /proc and /sys are. Default `/`. */
  readonly root?: string | undefined;
}

export interface LoadOptions extends Preferences, MemoryOptions {
  /** Device format of the matrices; default: as in the file, but 4 bits for float checkpoints of over 100 M parameters. */
  readonly weights?: WeightsOption | undefined;
  /** Default f16, or f32 when arithmetic is f32. */
  readonly kv?: KvFormat | undefined;
  /** Positions that sessions are to have: memory for one is planned for. Default `auto`: what fits, at most 4096. */
  readonly context?: ContextOption | undefined;
  /** Called once before anything is allocated, even when the load is then refused. */
  readonly onPlan?: ((plan: Estimate) => void) | undefined;
  /** Called after each slice of weights. */
  readonly onProgress?: ((doneBytes: number, totalBytes: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Model {
  readonly device: Device;
  readonly config: LlamaConfig;
  /** For people, e.g. `GGUF v3`. */
  readonly fileFormat: string;
  readonly path: string;
  readonly weights: Weights;
  readonly weightsOption: WeightsOption;
  readonly tokenizer: Tokenizer | undefined;
  readonly chatTemplate: string | undefined;
  readonly preferences: Preferences;
  readonly kv: KvFormat;
  /** The plan of the load: sessions have its context unless they ask for another. */
  readonly plan: Estimate;
  readonly memoryOptions: MemoryOptions;
  readonly parameters: number;
  /** A weight buffer by the plan's name. */
  buffer(name: string): GPUBuffer | undefined;
  /** Bytes on the device by purpose. */
  memory(): Readonly<Record<Purpose, number>>;
  /** Gives the weights' memory back. Sessions must be closed before. */
  close(): Promise<void>;
}

/** File bytes that are in host memory at once while loading: slices stay below it. */
const SLICE_BYTES = 16 << 20;

/**
 * Brings a checkpoint's weights to the device, slice by slice: no second copy of the model is ever in host memory.
 * What does not fit by the plan is refused before anything is allocated. Throws `not-enough-memory`, `bad-file`,
 * `bad-argument`, `device-lost`; an aborted load throws the signal's reason. Whatever fails, all memory taken is given back.
 */
export async function loadModel(device: Device, checkpoint: Checkpoint, options: LoadOptions = {}): Promise<Model> {
  const { config } = checkpoint;
  const { traits } = device;
  const topology = await readTopology(options.root);
  const plan = estimate(checkpoint, traits, topology, options);
  const weights = describeWeights(checkpoint, plan.weightsOption, traits.limits.maxBindingBytes);
  options.onPlan?.(plan);
  if (plan.fits === false && (!options.overcommit || plan.context > plan.bindableContext))
    throw notEnoughMemory(checkpoint.path, plan, traits, topology, weights);
  const vocab = await checkpoint.vocab();
  const tokenizer = vocab && createTokenizer(vocab);
  if (tokenizer && tokenizer.vocabSize > config.vocab)
    throw new FirstlightError(
      'bad-tokenizer',
      `${checkpoint.path}: the tokenizer has ${tokenizer.vocabSize} tokens but the model only ${config.vocab}: ` +
        'put the tokenizer that belongs to the model beside it',
    );

  const list = weightBuffers(weights);
  const totalBytes = list.reduce((sum, { bytes }) => sum + bytes, 0);
  const buffers = new Map<string, GPUBuffer>();
  const release = async () => {
    for (const buffer of buffers.values()) device.free(buffer);
    buffers.clear();
    await device.settle();
  };
  let doneBytes = 0;
  const upload = async (name: string, offsetBytes: number, data: Uint32Array | Float32Array) => {
    options.signal?.throwIfAborted();
    const buffer = buffers.get(name);
    assert(buffer, `the plan lists ${name}`);
    await device.upload(buffer, offsetBytes, data);
    doneBytes += data.byteLength;
    options.onProgress?.(doneBytes, totalBytes);
  };
  try {
    for (const { name, bytes, purpose } of list) buffers.set(name, device.buffer(name, bytes, purpose));
    for (const matrix of weights.matrices.values()) {
      for (const part of matrix.parts) await uploadPart(checkpoint, config, matrix, part, upload);
    }
    for (const vector of weights.vectors.values())
      await upload(vector.name, 0, await readVector(checkpoint, config, vector));
    // Dawn finds its staging rings idle after one submit, destroys them by the next, and then gives their memory back
    for (let submits = 0; submits < 3; submits++) await device.settle();
  } catch (error) {
    await release().catch(() => undefined); // the first failure is the one to tell
    throw error;
  }

  return {
    device,
    config,
    fileFormat: checkpoint.format,
    path: checkpoint.path,
    weights,
    weightsOption: plan.weightsOption,
    tokenizer,
    chatTemplate: vocab?.chatTemplate,
    preferences: { arithmetic: options.arithmetic, gemv: options.gemv, splits: options.splits },
    kv: plan.kv,
    plan,
    memoryOptions: { marginBytes: options.marginBytes, overcommit: options.overcommit, root: options.root },
    parameters: [...checkpoint.tensors.values()].reduce((sum, { rows, cols }) => sum + rows * cols, 0),
    buffer: (name) => buffers.get(name),
    memory: () => device.memory(),
    close: release,
  };
}

type Upload = (name: string, offsetBytes: number, data: Uint32Array | Float32Array) => Promise<void>;

async function uploadPart(
  checkpoint: Checkpoint,
  config: LlamaConfig,
  matrix: Matrix,
  part: Part,
  upload: Upload,
): Promise<void> {
  const blocks = blocksOf(matrix.cols);
  const write = async (row: number, codes: Uint32Array, scales: Uint32Array) => {
    await upload(`${part.name}.codes`, row * blocks * WORDS_PER_BLOCK[part.format] * 4, codes);
    if (scales.length > 0) await upload(`${part.name}.scales`, row * blocks * 2, scales);
  };
  const [gate, up] = matrix.sections;
  if (matrix.alternate) {
    assert(gate && up && gate.rows === up.rows, 'gate and up have the same shape');
    const firstRow = part.firstRow / 2;
    const endRow = firstRow + part.rows / 2;
    for (const { row, count } of slices(gate, matrix.cols, firstRow, endRow, ROW_BLOCK)) {
      const a = await readSection(checkpoint, config, gate, row, count, part.format);
      const b = await readSection(checkpoint, config, up, row, count, part.format);
      await write(2 * row - part.firstRow, alternate(a.codes, b.codes, count), alternate(a.scales, b.scales, count));
    }
    return;
  }
  for (const section of matrix.sections) {
    const padded = roundUp(section.rows, ROW_BLOCK);
    const firstRow = Math.max(section.firstRow, part.firstRow) - section.firstRow;
    const endRow = Math.min(section.firstRow + padded, part.firstRow + part.rows) - section.firstRow;
    // whole heads, so that their rows can be reordered within a slice
    const unit = section.interleaveHead > 0 ? leastCommonMultiple(section.interleaveHead, ROW_BLOCK) : ROW_BLOCK;
    for (const { row, count } of slices(section, matrix.cols, firstRow, endRow, unit)) {
      const packed = await readSection(checkpoint, config, section, row, count, part.format);
      await write(section.firstRow + row - part.firstRow, packed.codes, packed.scales);
    }
  }
}

/** Cuts padded rows [firstRow, endRow) into runs of whole units whose decoded bytes stay below SLICE_BYTES. */
function slices(section: Section, cols: number, firstRow: number, endRow: number, unit: number) {
  const most = Math.max(1, Math.floor(SLICE_BYTES / (4 * cols * unit))) * unit;
  const list: { row: number; count: number }[] = [];
  for (let row = firstRow; row < endRow; ) {
    const next = Math.min(endRow, Math.floor(row / unit) * unit + most);
    const count = Math.min(next, section.rows) - row;
    if (count > 0) list.push({ row, count });
    row = next;
  }
  return list;
}

/** Reads `count` rows of a section in the device format, reordering RoPE pairs where the section asks for it. */
async function readSection(
  checkpoint: Checkpoint,
  config: LlamaConfig,
  section: Section,
  row: number,
  count: number,
  format: Format,
) {
  const { tensor, interleaveHead } = section;
  const headRow = interleaveHead > 0 ? row % interleaveHead : 0;
  const lastHeadRow = interleaveHead > 0 ? roundUp(row + count, interleaveHead) : row + count;
  const bytes = await checkpoint.readRows(tensor.name, row - headRow, lastHeadRow - row + headRow);
  if (interleaveHead === 0) return packRows(tensor.type, bytes, count, tensor.cols, format);
  const rowBytes = bytes.length / (lastHeadRow - row + headRow);
  const ordered = new Uint8Array(count * rowBytes);
  for (let i = 0; i < count; i++) {
    const at = headRow + i;
    const head = Math.floor(at / interleaveHead) * interleaveHead;
    const from = head + halfSplitRow(at - head, interleaveHead, config.ropeDim);
    ordered.set(bytes.subarray(from * rowBytes, (from + 1) * rowBytes), i * rowBytes);
  }
  return packRows(tensor.type, ordered, count, tensor.cols, format);
}

/** Where element `i` of a head with interleaved pairs stands in a head with half-split ones. */
export function halfSplitRow(i: number, headDim: number, ropeDim: number): number {
  const turned = Math.min(ropeDim, headDim);
  return i >= turned ? i : (i % 2) * (turned / 2) + Math.floor(i / 2);
}

/** 32 rows of a, 32 rows of b, by turns; both hold `count` rows padded to a multiple of 32. */
function alternate(a: Uint32Array, b: Uint32Array, count: number): Uint32Array {
  if (a.length === 0) return a;
  const groups = Math.ceil(count / ROW_BLOCK);
  const words = a.length / groups;
  const joined = new Uint32Array(2 * a.length);
  for (let group = 0; group < groups; group++) {
    joined.set(a.subarray(group * words, (group + 1) * words), 2 * group * words);
    joined.set(b.subarray(group * words, (group + 1) * words), (2 * group + 1) * words);
  }
  return joined;
}

async function readVector(checkpoint: Checkpoint, config: LlamaConfig, vector: Vector): Promise<Float32Array> {
  const values = new Float32Array(vectorLength(vector));
  for (const { tensor, firstRow, interleaveHead } of vector.sections) {
    const raw = decodeRows(tensor.type, await checkpoint.readRows(tensor.name, 0, 1), 1, tensor.cols);
    for (let i = 0; i < tensor.cols; i++) {
      const head = interleaveHead > 0 ? Math.floor(i / interleaveHead) * interleaveHead : i;
      const from = interleaveHead > 0 ? head + halfSplitRow(i - head, interleaveHead, config.ropeDim) : i;
      values[firstRow + i] = raw[from] as number;
    }
  }
  return values;
}

function leastCommonMultiple(a: number, b: number): number {
  let [x, y] = [a, b];
  while (y > 0) [x, y] = [y, x % y];
  return (a / x) * b;
}
