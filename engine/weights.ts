/**
 * Which matrices a model has on the device, and from which tensors of the checkpoint each comes. Pure data: plan, memory
 * estimate and loader all read it.
 */
import { normNames } from '../loaders/model-tensors.ts';
import type { Checkpoint, LlamaConfig, TensorInfo } from '../loaders/types.ts';
import { assert, FirstlightError } from '../quant/errors.ts';
import { type Format, packedBytes, ROW_BLOCK, roundUp } from '../quant/layout.ts';
import { nativeFormat } from '../quant/pack.ts';

/** Rows that come from one tensor. In the matrix they start at a multiple of 32 and are padded to one. */
export interface Section {
  readonly tensor: TensorInfo;
  readonly firstRow: number;
  readonly rows: number;
  /** Turn half-split RoPE pairs of each head of this many rows into interleaved ones; 0 = leave the order. */
  readonly interleaveHead: number;
  /** Rows of each head that RoPE turns. */
  readonly ropeDim: number;
}

/** A run of a matrix's rows that lies in one pair of buffers: one format, below the device's binding limit. */
export interface Part {
  /** `layers.0.qkv` or, when there are several, `layers.0.qkv/1`; buffers are `<name>.codes` and `<name>.scales`. */
  readonly name: string;
  readonly format: Format;
  readonly firstRow: number;
  /** Multiple of 32 (of 64 for gate and up). */
  readonly rows: number;
}

export interface Matrix {
  readonly name: string;
  readonly cols: number;
  /** All sections one after another, or, for gate and up of one format, two sections alternating every 32 rows. */
  readonly sections: readonly Section[];
  readonly alternate: boolean;
  /** The input that each column belongs to, where they are not in order: a step gathers them before the product. */
  readonly order?: Uint32Array;
  readonly parts: readonly Part[];
}

/** A vector in f32, padded with zeros to a multiple of 32 within each section. */
export interface Vector {
  readonly name: string;
  readonly sections: readonly Section[];
  /** Added to every value: some files store gains of norms less one. */
  readonly offset: number;
}

export interface Weights {
  readonly matrices: ReadonlyMap<string, Matrix>;
  readonly vectors: ReadonlyMap<string, Vector>;
}

/** Form of the weights on the device; `native` is the file's own. */
export type WeightsOption = 'native' | Format;

/** Float checkpoints above this many parameters are quantised to 4 bits on the way in unless the caller says otherwise. */
export const QUANTISE_ABOVE_PARAMETERS = 100e6;

/** Parameters of all tensors. */
export function countParameters(checkpoint: Pick<Checkpoint, 'tensors'>): number {
  let count = 0;
  for (const { rows, cols } of checkpoint.tensors.values()) count += rows * cols;
  return count;
}

/** What `--weights` means when it is not given: native, or q4 for large float checkpoints. */
export function defaultWeights(checkpoint: Pick<Checkpoint, 'tensors'>): WeightsOption {
  const float = [...checkpoint.tensors.values()].some(
    ({ rows, type, format, name }) =>
      rows > 1 && format === undefined && /^(F32|F16|BF16)$/.test(type) && name.includes('layers.'),
  );
  return float && countParameters(checkpoint) > QUANTISE_ABOVE_PARAMETERS ? 'q4' : 'native';
}

/**
 * Lays out all weights of a model. `maxBindingBytes` is the device's largest binding: longer matrices are split by rows.
 */
export function describeWeights(
  checkpoint: Pick<Checkpoint, 'config' | 'tensors'>,
  option: WeightsOption,
  maxBindingBytes: number,
): Weights {
  const { config, tensors } = checkpoint;
  const matrices = new Map<string, Matrix>();
  const vectors = new Map<string, Vector>();
  const tensor = (name: string) => {
    const info = tensors.get(name);
    assert(info, `${name} is missing though the loader has checked the tensors`);
    return info;
  };
  const formatOf = (info: TensorInfo) => (option === 'native' ? (info.format ?? nativeFormat(info.type)) : option);

  const add = (name: string, names: readonly string[], mayAlternate: boolean, interleaveHead = 0) => {
    const sections: Section[] = [];
    let firstRow = 0;
    for (const [i, tensorName] of names.entries()) {
      const info = tensor(tensorName);
      // of q, k, v only q and k are turned
      sections.push({
        tensor: info,
        firstRow,
        rows: info.rows,
        interleaveHead: i < 2 ? interleaveHead : 0,
        ropeDim: config.ropeDim,
      });
      firstRow += roundUp(info.rows, ROW_BLOCK);
    }
    const first = sections[0];
    assert(first, 'a matrix has sections');
    const format = formatOf(first.tensor);
    const alternate = mayAlternate && sections.every((section) => formatOf(section.tensor) === format);
    const parts = alternate
      ? splitRows(name, firstRow, 2 * ROW_BLOCK, first.tensor.cols, format, 0)
      : joinSections(sections).flatMap(({ format, start, rows }) =>
          splitRows(name, rows, ROW_BLOCK, first.tensor.cols, format, start),
        );
    const { order } = first.tensor;
    if (sections.some(({ tensor: other }) => !sameOrder(other.order, order)))
      throw new FirstlightError(
        'unsupported-model',
        `${names.join(', ')} have their inputs in different orders (desc_act), which is not run: get the model without desc_act`,
      );
    matrices.set(name, {
      ...(order ? { order } : {}),
      name,
      cols: first.tensor.cols,
      sections,
      alternate,
      parts: parts.length === 1 ? parts : parts.map((part, i) => ({ ...part, name: `${name}/${i}` })),
    });
  };
  const joinSections = (sections: readonly Section[]) => {
    const runs: { format: Format; start: number; rows: number }[] = [];
    for (const section of sections) {
      const format = formatOf(section.tensor);
      const rows = roundUp(section.rows, ROW_BLOCK);
      const last = runs.at(-1);
      if (last?.format === format) last.rows += rows;
      else runs.push({ format, start: section.firstRow, rows });
    }
    return runs;
  };
  const splitRows = (name: string, rows: number, unit: number, cols: number, format: Format, start: number): Part[] => {
    const most = Math.floor(maxBindingBytes / packedBytes(format, unit, cols).codes) * unit;
    assert(most > 0, `one block of rows of ${name} fits a binding`);
    const parts: Part[] = [];
    for (let first = 0; first < rows; first += most)
      parts.push({ name, format, firstRow: start + first, rows: Math.min(most, rows - first) });
    return parts;
  };
  const addVector = (name: string, names: readonly string[], offset: number, interleaveHead = 0) => {
    let firstRow = 0;
    const sections = names.map((tensorName, i) => {
      const info = tensor(tensorName);
      const section = {
        tensor: info,
        firstRow,
        rows: info.cols,
        interleaveHead: i < 2 ? interleaveHead : 0,
        ropeDim: config.ropeDim,
      };
      firstRow += roundUp(info.cols, ROW_BLOCK);
      return section;
    });
    vectors.set(name, { name, sections, offset });
  };

  const interleave = config.ropePairs === 'half' ? config.headDim : 0;
  const { normOffset } = config;
  const norms = normNames(config);
  add('embed', ['model.embed_tokens.weight'], false);
  for (let layer = 0; layer < config.layers; layer++) {
    const from = `model.layers.${layer}`;
    const to = `layers.${layer}`;
    const qkv = ['q', 'k', 'v'].map((letter) => `${from}.self_attn.${letter}_proj`);
    const addNorm = (name: string, norm: string | undefined) => {
      if (norm !== undefined) addVector(`${to}.${name}`, [`${from}.${norm}`], normOffset);
    };
    addNorm('attentionGain', norms.beforeAttention);
    add(
      `${to}.qkv`,
      qkv.map((name) => `${name}.weight`),
      false,
      interleave,
    );
    if (config.attentionBias)
      addVector(
        `${to}.qkvBias`,
        qkv.map((name) => `${name}.bias`),
        0,
        interleave,
      );
    if (config.qkNorm !== 'none')
      addVector(
        `${to}.headGain`,
        ['q', 'k'].map((letter) => `${from}.self_attn.${letter}_norm.weight`),
        normOffset,
        interleave,
      );
    add(`${to}.o`, [`${from}.self_attn.o_proj.weight`], false);
    addNorm('attentionPostGain', norms.afterAttention);
    addNorm('feedForwardGain', norms.beforeFeedForward);
    add(`${to}.gateUp`, [`${from}.mlp.gate_proj.weight`, `${from}.mlp.up_proj.weight`], true);
    add(`${to}.down`, [`${from}.mlp.down_proj.weight`], false);
    addNorm('feedForwardPostGain', norms.afterFeedForward);
  }
  addVector('finalGain', ['model.norm.weight'], normOffset);
  if (!config.tiedEmbeddings) add('output', ['lm_head.weight'], false);
  return { matrices, vectors };
}

function sameOrder(a: Uint32Array | undefined, b: Uint32Array | undefined): boolean {
  return a === b || (a !== undefined && b !== undefined && a.every((input, i) => input === b[i]));
}

/** The matrix that makes logits: the embedding itself when the two are tied. */
export function outputMatrix(config: LlamaConfig, weights: Weights): Matrix {
  const matrix = weights.matrices.get(config.tiedEmbeddings ? 'embed' : 'output');
  assert(matrix, 'every model has an output matrix');
  return matrix;
}

/** Rows after padding, over all parts. */
export function paddedRows(matrix: Matrix): number {
  return matrix.parts.reduce((sum, part) => sum + part.rows, 0);
}

/** Elements of a vector after padding. */
export function vectorLength(vector: Vector): number {
  return vector.sections.reduce((sum, section) => sum + roundUp(section.rows, ROW_BLOCK), 0);
}
