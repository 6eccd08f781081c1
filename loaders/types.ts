/** What every container of weights looks like to the engine, whatever file it came from. */
import type { FileType } from '../quant/file-types.ts';
import type { Format } from '../quant/layout.ts';

/** Where bytes come from: a file handle, or a buffer in memory (the built-in model). */
export interface Source {
  /** For messages: a path or a name. */
  readonly name: string;
  readonly size: number;
  /** Reads exactly `length` bytes at `offset`, to the start of `into` if given; throws `bad-file` when the source ends before. */
  read(offset: number, length: number, into?: Uint8Array): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** How RoPE is stretched beyond `originalContext`, the positions that a model was first trained on. */
export type RopeScaling =
  | { readonly kind: 'none' }
  /** All frequencies divided by the factor. */
  | { readonly kind: 'linear'; readonly factor: number }
  /** NTK: theta grows with the session's context, once that is longer than the original. */
  | { readonly kind: 'dynamic'; readonly factor: number; readonly originalContext: number }
  | {
      readonly kind: 'llama3';
      readonly factor: number;
      readonly lowFrequencyFactor: number;
      readonly highFrequencyFactor: number;
      readonly originalContext: number;
    }
  | {
      readonly kind: 'yarn';
      readonly factor: number;
      readonly originalContext: number;
      /** Turns within the original context from which on a frequency is kept, and up to which it is divided. */
      readonly betaFast: number;
      readonly betaSlow: number;
      /** Whole pairs as the ends of the range between the two. */
      readonly truncate: boolean;
      /** Multiplies rotated queries and keys. */
      readonly attentionFactor: number;
    }
  /** Divisors for each pair: the long ones in sessions whose context is longer than the original. */
  | {
      readonly kind: 'longrope';
      readonly shortFactors: Float32Array; // [ropeDim / 2]
      readonly longFactors: Float32Array;
      readonly originalContext: number;
      /** Multiplies rotated queries and keys. */
      readonly attentionFactor: number;
    }
  /** A divisor for each pair, [ropeDim / 2]: a GGUF file's way of saying llama3. */
  | { readonly kind: 'factors'; readonly factors: Float32Array };

/** Names as in architectures.ts. */
export type ArchitectureName =
  | 'llama'
  | 'mistral'
  | 'qwen2'
  | 'qwen3'
  | 'phi3'
  | 'gemma'
  | 'gemma2'
  | 'gemma3'
  | 'olmo2'
  | 'olmo3'
  | 'smollm3';

/** How a model computes, apart from its sizes: the same for all models of an architecture. */
export interface Design {
  /** RMS norms stand before attention and feed-forward, after them (on what is added to the residual stream), or both. */
  readonly norms: 'before' | 'after' | 'both';
  /** Added to every stored gain of a norm; 1 in Hugging Face's Gemma, 0 in its GGUF files, which have it added. */
  readonly normOffset: 0 | 1;
  /** RMS norm on q and k before RoPE: over each head, or over all heads together. */
  readonly qkNorm: 'none' | 'head' | 'all';
  /** Between gate and up: x * sigmoid(x), or GELU by its tanh formula. */
  readonly activation: 'silu' | 'gelu';
}

/** The Llama family's hyperparameters, in the names of the papers. */
export interface LlamaConfig extends Design {
  readonly architecture: ArchitectureName;
  readonly layers: number;
  readonly hidden: number;
  readonly feedForward: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly vocab: number;
  /** Positions the model was made for. */
  readonly context: number;
  readonly normEpsilon: number;
  /** Multiplies the rows of the embedding on their way into the residual stream. */
  readonly embeddingScale: number;
  /** Multiplies q k; undefined = 1 / sqrt(headDim). */
  readonly attentionScale: number | undefined;
  /** cap * tanh(score / cap) before the softmax; undefined = scores as they are. */
  readonly attentionCap: number | undefined;
  /** The same for logits. */
  readonly logitCap: number | undefined;
  readonly ropeTheta: number;
  readonly ropeScaling: RopeScaling;
  /** Rotated dimensions at the head's start; headDim unless the model rotates a part only. */
  readonly ropeDim: number;
  /** Pairs that RoPE turns: (i, i + ropeDim/2) in Hugging Face files, (2i, 2i + 1) in some GGUF files. */
  readonly ropePairs: 'half' | 'interleaved';
  /** Layers that RoPE turns; undefined = all. */
  readonly ropeLayers: readonly boolean[] | undefined;
  /** Keys that a query sees, itself included; undefined = all. */
  readonly slidingWindow: number | undefined;
  /** Layers that have the window; undefined = all. */
  readonly slidingLayers: readonly boolean[] | undefined;
  /** RoPE of the layers with a window, without scaling, where it differs from the others'. */
  readonly localRopeTheta: number | undefined;
  readonly attentionBias: boolean; // q, k, v have biases
  readonly tiedEmbeddings: boolean; // no output matrix: the embedding is used
}

export interface TensorInfo {
  /** Hugging Face's name, e.g. `model.layers.0.self_attn.q_proj.weight`, whatever the file calls it. */
  readonly name: string;
  readonly type: FileType;
  /** Where the file has the rows ready for the device: their format there. `type` is then what readRows makes of them. */
  readonly format?: Format;
  /** The input that each column belongs to, [cols], where they are not in order. */
  readonly order?: Uint32Array;
  /** 1 for vectors. */
  readonly rows: number;
  readonly cols: number;
}

/** Matrices that lie in the file as on the device, by the names of engine/weights.ts. */
export interface PackedWeights {
  /** Bytes of a plane, `start` behind the place of row `row`, which is a multiple of 4; to the start of `into` if given. */
  read(
    matrix: string,
    plane: 'codes' | 'scales',
    row: number,
    start: number,
    length: number,
    into?: Uint8Array,
  ): Promise<Uint8Array>;
}

/** An opened model: header read, weights still in the file. */
export interface Checkpoint {
  /** For people: 'safetensors', 'GGUF v3', ... */
  readonly format: string;
  /** Path or name as the user gave it. */
  readonly path: string;
  readonly config: LlamaConfig;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** Raw bytes, in the file's own type, of `rowCount` whole rows; read to the start of `into` if given. */
  readRows(name: string, firstRow: number, rowCount: number, into?: Uint8Array): Promise<Uint8Array>;
  /** In firstlight's own files. */
  readonly packed?: PackedWeights | undefined;
  /** The small files that belong to the model, by name: configuration, tokenizer. */
  files?(): Promise<ReadonlyMap<string, Uint8Array>>;
  /** The tokenizer, or undefined when the files have none. Throws `bad-tokenizer`. */
  vocab(): Promise<Vocab | undefined>;
  close(): Promise<void>;
}

/** Everything a tokenizer needs, whatever file it came from; checked by its reader, so ids and lengths fit. */
export interface Vocab {
  /** `spm`: text pieces with U+2581 for a space. `bytes`: GPT-2's byte-level alphabet. */
  readonly kind: 'spm' | 'bytes';
  /** Token text by id, in the file's own alphabet; '' where the file leaves an id out. */
  readonly tokens: readonly string[];
  readonly segmentation: Segmentation;
  /** Matched in the text as it stands, before anything else; `special` ones only where the caller allows them. */
  readonly added: readonly AddedToken[];
  /** Characters outside the vocabulary become the tokens <0x00> .. <0xFF> of their UTF-8 bytes. */
  readonly byteFallback: boolean;
  /** Stands for a character that has no token; undefined: such characters are left out. */
  readonly unknown: number | undefined;
  /** A run of unknown characters gives one `unknown` token. */
  readonly fuseUnknown: boolean;
  /** Applied in order to each stretch of text between added tokens. */
  readonly normalizers: readonly Normalizer[];
  /** Applied in order to each normalised stretch: they cut it into the pieces that are segmented by themselves. */
  readonly preTokenizers: readonly PreTokenizer[];
  /**
   * Decoding takes the space off the text's start that encoding put there: that of the first token, or that of each
   * token until there is some text.
   */
  readonly stripSpacePrefix: 'none' | 'first-token' | 'until-text';
  readonly bos: number | undefined;
  /** Ids that end an answer. */
  readonly eos: readonly number[];
  /** The model was trained with `bos` before the text. */
  readonly addBos: boolean;
  readonly chatTemplate: string | undefined;
  /** The template for chats with tools, where the files have one by itself. */
  readonly toolTemplate: string | undefined;
  /** What the files call the model: says what kind it is where they have no template. */
  readonly modelName: string | undefined;
}

/** How a piece of text becomes tokens. */
export type Segmentation =
  /** BPE with a list of pairs (tokenizer.json, byte-level GGUF). */
  | {
      readonly kind: 'pairs';
      readonly merges: Int32Array; // [rank][left, right, joined] ids, the first joins first
      /** A piece that is a token is taken whole, whatever the merges say. */
      readonly wholePieces: boolean;
    }
  /** SentencePiece BPE: neighbours that make a token join, those of the highest score first. */
  | {
      readonly kind: 'scores';
      readonly scores: Float32Array; // [token]
      /** Found in the text before anything joins, and nothing joins with them (SentencePiece's user defined symbols). */
      readonly whole: ReadonlySet<number>;
      /** Tokens that take part in joining but fall apart again at its end. */
      readonly unused: ReadonlySet<number>;
    }
  /** Unigram language model: the tokens whose scores have the largest sum. */
  | {
      readonly kind: 'unigram';
      readonly scores: Float64Array; // [token]
      /** Sums are rounded to f32, as in SentencePiece, instead of kept in doubles, as in Hugging Face tokenizers. */
      readonly roundsSums: boolean;
      /** Of a character that is no token. */
      readonly unknownScore: number;
      /** Tokens that no text becomes. */
      readonly unused: ReadonlySet<number>;
    };

export type Normalizer =
  | { readonly kind: 'unicode'; readonly form: 'NFC' | 'NFD' | 'NFKC' | 'NFKD' }
  | { readonly kind: 'lowercase' }
  | { readonly kind: 'strip'; readonly left: boolean; readonly right: boolean }
  | { readonly kind: 'prepend'; readonly text: string }
  /** `pattern`: source of a regular expression (flags 'gu' to be added). */
  | { readonly kind: 'replace'; readonly pattern: string; readonly text: string }
  /** Hugging Face's reading of SentencePiece's rules: by grapheme cluster, the shortest rule that fits its beginning. */
  | { readonly kind: 'graphemes'; readonly rules: NormalizationRules }
  | SentencePieceNormalizer;

/** What becomes of which text. */
export interface NormalizationRules {
  /** The longest or shortest rule that fits the text from `start` on: UTF-16 units that it replaces, and by what. */
  find(text: string, start: number, longest: boolean): { readonly length: number; readonly text: string } | undefined;
}

/** All that SentencePiece does to a text before it is segmented: normalizer.proto and trainer_spec of tokenizer.model. */
export interface SentencePieceNormalizer {
  readonly kind: 'sentencepiece';
  readonly rules: NormalizationRules | undefined;
  /** Texts that stay as they are. */
  readonly kept: readonly string[];
  /** No space at the start and the end, and one where there are several. */
  readonly trim: boolean;
  /** Where a space is put before all of that is segmented. */
  readonly dummySpace: 'start' | 'end' | 'none';
  /** Spaces become U+2581. */
  readonly escape: boolean;
}

export type PreTokenizer =
  | {
      readonly kind: 'split';
      /** Source of a regular expression (flags 'gu' to be added). */
      readonly pattern: string;
      /** What becomes of its matches; what lies between them is a piece in any case. */
      readonly matches: 'isolated' | 'removed' | 'joined' | 'with-previous' | 'with-next';
      /** What lies between the matches is taken for the matches. */
      readonly invert: boolean;
    }
  /** Puts `text` before each piece that does not begin with it, or only before the one at the start of the whole text. */
  | { readonly kind: 'prefix'; readonly text: string; readonly where: 'all' | 'first' }
  | { readonly kind: 'replace'; readonly pattern: string; readonly text: string };

export interface AddedToken {
  readonly id: number;
  readonly text: string;
  /** A control token: not shown when decoding, and never made from a user's text. */
  readonly special: boolean;
  /** The match takes in white space on this side. */
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  /** Matched only where no letter, digit or underscore touches it. */
  readonly singleWord: boolean;
  /** Looked for in the normalised text, itself normalised; never true for control tokens. */
  readonly normalized: boolean;
}
