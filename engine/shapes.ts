/** The shapes of well-known models, filled with random 4-bit weights: what speed is measured on when there is no file. */
import type { Checkpoint, LlamaConfig, TensorInfo } from '../loaders/types.ts';
import { assert, FirstlightError } from '../quant/errors.ts';
import { f32ToF16 } from '../quant/f16.ts';
import { type FileType, rowBytes } from '../quant/file-types.ts';
import { BLOCK } from '../quant/layout.ts';

type Shape = Pick<
  LlamaConfig,
  'layers' | 'hidden' | 'feedForward' | 'heads' | 'kvHeads' | 'headDim' | 'vocab' | 'ropeTheta' | 'tiedEmbeddings'
>;

const SHAPES: Readonly<Record<string, Shape>> = {
  'llama2-7b': shape(32, 4096, 11008, 32, 32, 128, 32000, 1e4, false),
  'llama2-13b': shape(40, 5120, 13824, 40, 40, 128, 32000, 1e4, false),
  'llama2-70b': shape(80, 8192, 28672, 64, 8, 128, 32000, 1e4, false),
  'llama3.1-8b': shape(32, 4096, 14336, 32, 8, 128, 128256, 5e5, false),
  'llama3.2-1b': shape(16, 2048, 8192, 32, 8, 64, 128256, 5e5, true),
  'tinyllama-1.1b': shape(22, 2048, 5632, 32, 4, 64, 32000, 1e4, false),
};

export const SHAPE_NAMES = Object.keys(SHAPES);

function shape(
  layers: number,
  hidden: number,
  feedForward: number,
  heads: number,
  kvHeads: number,
  headDim: number,
  vocab: number,
  ropeTheta: number,
  tiedEmbeddings: boolean,
): Shape {
  return { layers, hidden, feedForward, heads, kvHeads, headDim, vocab, ropeTheta, tiedEmbeddings };
}

/** Hyperparameters of a named shape. Throws `bad-argument` for an unknown name. */
export function shapeConfig(name: string): LlamaConfig {
  const known = SHAPES[name];
  if (!known)
    throw new FirstlightError(
      'bad-argument',
      `there is no shape "${name}": it must be one of ${SHAPE_NAMES.join(', ')}`,
    );
  return {
    ...known,
    architecture: 'llama',
    context: 16384,
    normEpsilon: 1e-5,
    norms: 'before',
    normOffset: 0,
    qkNorm: 'none',
    activation: 'silu',
    embeddingScale: 1,
    attentionScale: undefined,
    attentionCap: undefined,
    logitCap: undefined,
    ropeScaling: { kind: 'none' },
    ropeDim: known.headDim,
    ropePairs: 'interleaved',
    ropeLayers: undefined,
    slidingWindow: undefined,
    slidingLayers: undefined,
    localRopeTheta: undefined,
    attentionBias: false,
  };
}

/** Bytes of random weights that are handed out again and again: enough that neighbouring rows differ. */
const POOL_BYTES = 16 << 20;

/** A checkpoint without a file: Q4_0 matrices of random codes, scaled so that activations keep their size; gains of one. */
export function randomCheckpoint(name: string): Checkpoint {
  const config = shapeConfig(name);
  const tensors = new Map<string, TensorInfo>();
  const add = (tensor: string, type: FileType, rows: number, cols: number) =>
    tensors.set(tensor, { name: tensor, type, rows, cols });
  const { layers, hidden, feedForward, heads, kvHeads, headDim, vocab } = config;
  add('model.embed_tokens.weight', 'Q4_0', vocab, hidden);
  for (let layer = 0; layer < layers; layer++) {
    const at = `model.layers.${layer}`;
    add(`${at}.input_layernorm.weight`, 'F32', 1, hidden);
    add(`${at}.self_attn.q_proj.weight`, 'Q4_0', heads * headDim, hidden);
    add(`${at}.self_attn.k_proj.weight`, 'Q4_0', kvHeads * headDim, hidden);
    add(`${at}.self_attn.v_proj.weight`, 'Q4_0', kvHeads * headDim, hidden);
    add(`${at}.self_attn.o_proj.weight`, 'Q4_0', hidden, heads * headDim);
    add(`${at}.post_attention_layernorm.weight`, 'F32', 1, hidden);
    add(`${at}.mlp.gate_proj.weight`, 'Q4_0', feedForward, hidden);
    add(`${at}.mlp.up_proj.weight`, 'Q4_0', feedForward, hidden);
    add(`${at}.mlp.down_proj.weight`, 'Q4_0', hidden, feedForward);
  }
  add('model.norm.weight', 'F32', 1, hidden);
  if (!config.tiedEmbeddings) add('lm_head.weight', 'Q4_0', vocab, hidden);

  const pools = new Map<number, Uint8Array>(); // by cols: the scale depends on them
  return {
    format: 'random Q4_0 weights',
    path: name,
    config,
    tensors,
    async readRows(tensor, firstRow, rowCount) {
      const info = tensors.get(tensor);
      assert(info, `the shape has ${tensor}`);
      if (info.type === 'F32') return new Uint8Array(new Float32Array(info.cols).fill(1).buffer);
      const bytes = rowBytes(info.type, info.cols);
      const rows = Math.floor(POOL_BYTES / bytes);
      let pool = pools.get(info.cols);
      if (!pool) {
        pool = randomBlocks(rows * (info.cols / BLOCK), info.cols);
        pools.set(info.cols, pool);
      }
      const out = new Uint8Array(rowCount * bytes);
      for (let row = 0; row < rowCount; ) {
        const from = (firstRow + row + tensor.length) % rows;
        const count = Math.min(rowCount - row, rows - from);
        out.set(pool.subarray(from * bytes, (from + count) * bytes), row * bytes);
        row += count;
      }
      return out;
    },
    vocab: async () => undefined,
    close: async () => undefined,
  };
}

/** Q4_0 blocks whose products with a unit input have unit variance: codes -8..7 have a root mean square of 4.6. */
function randomBlocks(blocks: number, cols: number): Uint8Array {
  const bytes = new Uint8Array(blocks * 18);
  const words = new Uint32Array(4);
  const codes = new Uint8Array(words.buffer);
  const scale = f32ToF16(1 / (4.6 * Math.sqrt(cols)));
  let state = 1;
  for (let at = 0; at < bytes.length; at += 18) {
    for (let i = 0; i < 4; i++) {
      // xorshift32 (Marsaglia 2003)
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      words[i] = state;
    }
    bytes[at] = scale & 255;
    bytes[at + 1] = scale >> 8;
    bytes.set(codes, at + 2);
  }
  return bytes;
}
