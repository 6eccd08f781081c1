/** The shapes of well-known models, filled with random 4-bit weights: what speed is measured on when there is no file. */
import { slidingLayers } from '../loaders/architectures.ts';
import { expectedTensors } from '../loaders/model-tensors.ts';
import type { Checkpoint, LlamaConfig, TensorInfo } from '../loaders/types.ts';
import { assert, FirstlightError } from '../quant/errors.ts';
import { f32ToF16 } from '../quant/f16.ts';
import { rowBytes } from '../quant/file-types.ts';
import { BLOCK } from '../quant/layout.ts';

type Sizes = Pick<
  LlamaConfig,
  'layers' | 'hidden' | 'feedForward' | 'heads' | 'kvHeads' | 'headDim' | 'vocab' | 'ropeTheta' | 'tiedEmbeddings'
>;

/** Gemma's arithmetic, all but the windows: these depend on the number of layers. */
const GEMMA: Partial<LlamaConfig> = { norms: 'both', activation: 'gelu' };

const SHAPES: Readonly<Record<string, Sizes & Partial<LlamaConfig>>> = {
  'llama2-7b': sizes(32, 4096, 11008, 32, 32, 128, 32000, 1e4, false),
  'llama2-13b': sizes(40, 5120, 13824, 40, 40, 128, 32000, 1e4, false),
  'llama2-70b': sizes(80, 8192, 28672, 64, 8, 128, 32000, 1e4, false),
  'llama3.1-8b': sizes(32, 4096, 14336, 32, 8, 128, 128256, 5e5, false),
  'llama3.2-1b': sizes(16, 2048, 8192, 32, 8, 64, 128256, 5e5, true),
  'tinyllama-1.1b': sizes(22, 2048, 5632, 32, 4, 64, 32000, 1e4, false),
  'qwen3-8b': {
    ...sizes(36, 4096, 12288, 32, 8, 128, 151936, 1e6, false),
    architecture: 'qwen3',
    qkNorm: 'head',
  },
  'phi3-mini': { ...sizes(32, 3072, 8192, 32, 32, 96, 32064, 1e4, false), architecture: 'phi3', slidingWindow: 2047 },
  'gemma2-2b': {
    ...sizes(26, 2304, 9216, 8, 4, 256, 256000, 1e4, true),
    ...GEMMA,
    architecture: 'gemma2',
    embeddingScale: Math.sqrt(2304),
    attentionCap: 50,
    logitCap: 30,
    slidingWindow: 4096,
    slidingLayers: slidingLayers(2, 26),
  },
  'gemma3-4b': {
    ...sizes(34, 2560, 10240, 8, 4, 256, 262208, 1e6, true),
    ...GEMMA,
    architecture: 'gemma3',
    qkNorm: 'head',
    embeddingScale: Math.sqrt(2560),
    slidingWindow: 1024,
    slidingLayers: slidingLayers(6, 34),
    localRopeTheta: 1e4,
  },
  'olmo2-7b': {
    ...sizes(32, 4096, 11008, 32, 32, 128, 100352, 5e5, false),
    architecture: 'olmo2',
    norms: 'after',
    qkNorm: 'all',
  },
};

export const SHAPE_NAMES = Object.keys(SHAPES);

function sizes(
  layers: number,
  hidden: number,
  feedForward: number,
  heads: number,
  kvHeads: number,
  headDim: number,
  vocab: number,
  ropeTheta: number,
  tiedEmbeddings: boolean,
): Sizes {
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
    ...known,
  };
}

/** Bytes of random weights that are handed out again and again: enough that neighbouring rows differ. */
const POOL_BYTES = 16 << 20;

/** A checkpoint without a file: Q4_0 matrices of random codes, scaled so that activations keep their size; gains of one. */
export function randomCheckpoint(name: string): Checkpoint {
  const config = shapeConfig(name);
  const tensors = new Map<string, TensorInfo>();
  for (const [tensor, shape] of expectedTensors(config)) {
    const [rows, cols] = shape.length === 2 ? (shape as [number, number]) : [1, shape[0] as number];
    tensors.set(tensor, { name: tensor, type: shape.length === 2 ? 'Q4_0' : 'F32', rows, cols });
  }

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
