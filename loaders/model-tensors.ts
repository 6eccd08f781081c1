/** The tensors that a model of the Llama family needs, by Hugging Face's names. */
import { FirstlightError } from '../quant/errors.ts';
import { isFileType, NAMED_TYPES } from '../quant/file-types.ts';
import type { StoredTensor } from './container.ts';
import type { LlamaConfig, TensorInfo } from './types.ts';

type Shape = readonly number[];

/** Names and shapes, [rows, cols] for matrices and [length] for vectors. */
export function expectedTensors(config: LlamaConfig): ReadonlyMap<string, Shape> {
  const { hidden, vocab, layers } = config;
  const expected = new Map<string, Shape>([['model.embed_tokens.weight', [vocab, hidden]]]);
  for (let layer = 0; layer < layers; layer++) {
    for (const [name, shape] of layerTensors(config)) expected.set(`model.layers.${layer}.${name}`, shape);
  }
  expected.set('model.norm.weight', [hidden]);
  if (!config.tiedEmbeddings) expected.set('lm_head.weight', [vocab, hidden]);
  return expected;
}

function layerTensors(config: LlamaConfig): [string, Shape][] {
  const { hidden, feedForward, headDim } = config;
  const queries = config.heads * headDim;
  const keys = config.kvHeads * headDim;
  const tensors: [string, Shape][] = [
    ['self_attn.q_proj.weight', [queries, hidden]],
    ['self_attn.k_proj.weight', [keys, hidden]],
    ['self_attn.v_proj.weight', [keys, hidden]],
    ['self_attn.o_proj.weight', [hidden, queries]],
    ['mlp.gate_proj.weight', [feedForward, hidden]],
    ['mlp.up_proj.weight', [feedForward, hidden]],
    ['mlp.down_proj.weight', [hidden, feedForward]],
  ];
  for (const name of Object.values(normNames(config))) if (name) tensors.push([name, [hidden]]);
  if (config.attentionBias) {
    tensors.push(['self_attn.q_proj.bias', [queries]], ['self_attn.k_proj.bias', [keys]]);
    tensors.push(['self_attn.v_proj.bias', [keys]]);
  }
  if (config.qkNorm !== 'none') {
    const [q, k] = config.qkNorm === 'head' ? [headDim, headDim] : [queries, keys];
    tensors.push(['self_attn.q_norm.weight', [q]], ['self_attn.k_norm.weight', [k]]);
  }
  return tensors;
}

/** The norms of a layer within it, by where they stand; `post_attention_layernorm` is the name of two of them. */
export function normNames({ norms }: Pick<LlamaConfig, 'norms'>): {
  readonly beforeAttention?: string;
  readonly afterAttention?: string;
  readonly beforeFeedForward?: string;
  readonly afterFeedForward?: string;
} {
  const before = { beforeAttention: 'input_layernorm.weight' };
  const after = {
    afterAttention: 'post_attention_layernorm.weight',
    afterFeedForward: 'post_feedforward_layernorm.weight',
  };
  if (norms === 'before') return { ...before, beforeFeedForward: 'post_attention_layernorm.weight' };
  if (norms === 'after') return after;
  return { ...before, ...after, beforeFeedForward: 'pre_feedforward_layernorm.weight' };
}

/**
 * The stored tensors that the model needs. Others are left out (some files store RoPE's frequencies), but not biases:
 * without them the model would compute something else.
 *
 * @throws `bad-file` for a missing tensor or a wrong shape, `unsupported-model` for a type or a bias that is not run
 */
export function selectTensors(
  config: LlamaConfig,
  stored: ReadonlyMap<string, StoredTensor>,
  file: string,
): ReadonlyMap<string, TensorInfo> {
  const expected = expectedTensors(config);
  const selected = new Map<string, TensorInfo>();
  const refused: string[] = [];
  for (const [name, shape] of expected) {
    const tensor = stored.get(name);
    if (!tensor) throw mismatch(file, `tensor ${name} [${shape.join(', ')}] is missing`);
    if (!sameShape(tensor.shape, shape)) {
      throw mismatch(file, `tensor ${name} is [${tensor.shape.join(', ')}] where [${shape.join(', ')}] is expected`);
    }
    const { type } = tensor;
    if (isFileType(type))
      selected.set(name, {
        ...{ name, type, rows: shape.length === 1 ? 1 : shape[0]!, cols: shape.at(-1)! },
        ...(tensor.order ? { order: tensor.order } : {}),
      });
    else refused.push(`${name} (${type})`);
  }
  if (refused.length > 0) throw unknownTypes(file, refused);
  for (const name of stored.keys()) {
    if (!expected.has(name) && /^(model\.layers\..*|lm_head)\.bias$/.test(name)) {
      throw new FirstlightError('unsupported-model', `${file}: ${name} is a bias that firstlight does not run`);
    }
  }
  return selected;
}

/** Leading ones make no difference: some writers store vectors as [1, length]. */
function sameShape(shape: Shape, expected: Shape): boolean {
  const ones = Math.max(0, shape.length - expected.length);
  const padded = [...Array<number>(ones).fill(1), ...expected];
  return padded.length === shape.length && padded.every((length, i) => shape[i] === length);
}

function mismatch(file: string, what: string): FirstlightError {
  return new FirstlightError('bad-file', `${file}: ${what}: get weights and configuration of one model, whole`);
}

function unknownTypes(file: string, refused: readonly string[]): FirstlightError {
  const runs = NAMED_TYPES.join(', ');
  const more = refused.length > 1 ? ` and ${refused.length - 1} more tensors` : '';
  const what = `the type of ${refused[0]}${more} is not run`;
  return new FirstlightError('unsupported-model', `${file}: ${what}; get the model in one of ${runs}`);
}
