/** The shapes of well-known models, filled with random weights: what speed is measured on when there is no file. */
import { slidingLayers } from '../loaders/architectures.ts';
import { expectedTensors } from '../loaders/model-tensors.ts';
import type { Checkpoint, LlamaConfig, TensorInfo, Vocab } from '../loaders/types.ts';
import { encodeBf16 } from '../quant/bf16.ts';
import { assert, FirstlightError } from '../quant/errors.ts';
import { encodeF16 } from '../quant/f16.ts';
import { FILE_TYPES, type FileType, NAMED_TYPES, rowBytes } from '../quant/file-types.ts';
import { randomBlocks } from './random-blocks.ts';

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

const MIXTURE = 'Q4_K_M';

/** Bytes of random weights that are handed out again and again: enough that neighbouring rows differ. */
const POOL_BYTES = 16 << 20;

/**
 * A checkpoint without a file, of a named shape.
 *
 * @param type of all matrices, or llama.cpp's mixture Q4_K_M
 * @throws `bad-argument` for an unknown name or type, and for rows that are no whole blocks
 */
export function randomCheckpoint(name: string, type = 'Q4_0'): Checkpoint {
  return randomCheckpointOf(shapeConfig(name), name, type);
}

/** Matrices of random codes, scaled so that activations keep their size; gains of one. Throws as randomCheckpoint. */
export function randomCheckpointOf(config: LlamaConfig, name: string, type = 'Q4_0'): Checkpoint {
  if (type !== MIXTURE && !NAMED_TYPES.some((known) => known === type))
    throw new FirstlightError('bad-argument', `there is no type "${type}": ${[...NAMED_TYPES, MIXTURE].join(', ')}`);
  const tensors = new Map<string, TensorInfo>();
  for (const [tensor, shape] of expectedTensors(config)) {
    const [rows, cols] = shape.length === 2 ? (shape as [number, number]) : [1, shape[0] as number];
    const matrixType = type === MIXTURE ? mixedType(tensor, config) : (type as FileType);
    const own = shape.length === 2 ? matrixType : 'F32';
    if (cols % FILE_TYPES[own].blockLength !== 0)
      throw new FirstlightError('bad-argument', `rows of ${cols} weights in ${name} are no whole blocks of ${own}`);
    tensors.set(tensor, { name: tensor, type: own, rows, cols });
  }

  const pools = new Map<string, Uint8Array>(); // by type and cols: the scale depends on them
  return {
    format: `random ${type} weights`,
    path: name,
    config,
    tensors,
    async readRows(tensor, firstRow, rowCount, into) {
      const info = tensors.get(tensor);
      assert(info, `the shape has ${tensor}`);
      if (info.rows === 1) return new Uint8Array(new Float32Array(info.cols).fill(1).buffer);
      const bytes = rowBytes(info.type, info.cols);
      const rows = Math.floor(POOL_BYTES / bytes);
      const isEmbedding = tensor === 'model.embed_tokens.weight';
      const key = `${info.type} ${info.cols} ${isEmbedding}`;
      const pool = pools.get(key) ?? randomRows(info.type, rows, info.cols, isEmbedding);
      pools.set(key, pool);
      const start = hashOf(tensor) % rows;
      const out = into?.subarray(0, rowCount * bytes) ?? new Uint8Array(rowCount * bytes);
      for (let row = 0; row < rowCount; ) {
        const from = (firstRow + row + start) % rows;
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

/** Syllables of random words. */
const SYLLABLES = [
  'ka',
  'to',
  'mi',
  're',
  'su',
  'no',
  'el',
  'an',
  'pra',
  'st',
  'ui',
  'ge',
  '\u00e9',
  '\u0434\u0430',
  '\u4e2d',
];
/** Signs that vocabularies have together with their neighbours. */
const SIGNS = [
  '"',
  '": "',
  '","',
  '{"',
  '"}',
  '[',
  ']',
  '},{',
  ': ',
  ', ',
  '\n',
  '\n  ',
  '0',
  '12',
  '2024',
  '()',
  ' = ',
  ';\n',
];

/**
 * A vocabulary of so many tokens for a model of random weights: all bytes, signs, and random words of a letter to a dozen, with
 * a space before two of three. Its first two tokens begin and end a text.
 */
export function randomVocab(size: number): Vocab {
  const random = createRandom();
  const tokens = new Set(['<s>', '</s>']);
  for (let byte = 0; byte < 256; byte++) tokens.add(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
  for (const sign of SIGNS) tokens.add(sign.replaceAll(' ', '\u2581'));
  const pick = () => SYLLABLES[Math.floor(random() * SYLLABLES.length)] as string;
  while (tokens.size < size) {
    const word = Array.from({ length: 1 + Math.floor(random() * 5) }, pick).join('');
    tokens.add(`${random() < 2 / 3 ? '\u2581' : ''}${word}`);
  }
  const list = [...tokens].slice(0, size);
  const sides = { lstrip: false, rstrip: false, singleWord: false, normalized: false };
  const added = list.slice(0, 2).map((text, id) => ({ text, id, special: true, ...sides }));
  return {
    kind: 'spm',
    tokens: list,
    segmentation: { kind: 'scores', scores: new Float32Array(list.length), whole: new Set(), unused: new Set() },
    added,
    byteFallback: true,
    unknown: undefined,
    fuseUnknown: false,
    normalizers: [],
    preTokenizers: [],
    stripSpacePrefix: 'none',
    bos: 0,
    eos: [1],
    addBos: true,
    chatTemplate: undefined,
    toolTemplate: undefined,
    modelName: undefined,
  };
}

/** Where llama.cpp's Q4_K_M has Q6_K: the output, and v and down of the first, the last and every third layer. */
function mixedType(tensor: string, { layers }: LlamaConfig): FileType {
  if (tensor.startsWith('lm_head')) return 'Q6_K';
  const [, number = '', part = ''] = /layers\.(\d+)\..*\.(\w+)_proj/.exec(tensor) ?? [];
  if (part !== 'v' && part !== 'down') return 'Q4_K';
  const layer = Number(number);
  const eighth = Math.floor(layers / 8);
  const more = layer < eighth || layer >= Math.floor((7 * layers) / 8) || (layer - eighth) % 3 === 2;
  return more ? 'Q6_K' : 'Q4_K';
}

/** Weights whose products with a unit input have about unit variance. */
function randomRows(type: FileType, rows: number, cols: number, isEmbedding: boolean): Uint8Array {
  // an embedding that is a row of a matrix too would meet itself there: one output, far larger than all others
  const random = createRandom(isEmbedding ? 0x9e3779b9 : 1);
  const size = cols ** -0.5;
  if (FILE_TYPES[type].take) return randomBlocks(type, rows, cols, size, random);
  const values = Float32Array.from({ length: rows * cols }, () => (random() - 0.5) * Math.sqrt(12) * size);
  if (type === 'F32') return new Uint8Array(values.buffer);
  const halves = new Uint16Array(values.length);
  if (type === 'F16') encodeF16(values, halves);
  else encodeBf16(values, halves);
  return new Uint8Array(halves.buffer);
}

/** Numbers from 0 to 1, always the same for a state to begin with: xorshift32 (Marsaglia 2003). */
function createRandom(state = 1): () => number {
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** A whole number for a name: FNV-1a. */
function hashOf(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
