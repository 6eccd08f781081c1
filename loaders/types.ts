/** What every container of weights looks like to the engine, whatever file it came from. */
import type { FileType } from '../quant/file-types.ts';

/** Where bytes come from: a file handle, or a buffer in memory (the built-in model). */
export interface Source {
  /** For messages: a path or a name. */
  readonly name: string;
  readonly size: number;
  /** Reads exactly `length` bytes at `offset`; throws `bad-file` when the source ends before. */
  read(offset: number, length: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

export interface RopeScaling {
  readonly kind: 'none' | 'linear' | 'llama3';
  readonly factor: number;
  // llama3 only
  readonly lowFrequencyFactor: number;
  readonly highFrequencyFactor: number;
  readonly originalContext: number;
}

/** The Llama family's hyperparameters, in the names of the papers. */
export interface LlamaConfig {
  readonly architecture: 'llama' | 'mistral' | 'qwen2' | 'qwen3';
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
  readonly ropeTheta: number;
  readonly ropeScaling: RopeScaling;
  /** Rotated dimensions at the head's start; headDim unless the model rotates a part only. */
  readonly ropeDim: number;
  /** Divisors of the frequencies, [ropeDim / 2], where a file gives them ready-made (GGUF `rope_freqs.weight`). */
  readonly ropeFactors?: Float32Array | undefined;
  /** Pairs that RoPE turns: (i, i + headDim/2) in Hugging Face files, (2i, 2i + 1) in GGUF files of architecture llama. */
  readonly ropePairs: 'half' | 'interleaved';
  /** Keys that a query sees, itself included; undefined = all. */
  readonly slidingWindow: number | undefined;
  readonly attentionBias: boolean; // q, k, v have biases
  readonly qkNorm: boolean; // RMS norm over headDim on q and k before RoPE
  readonly tiedEmbeddings: boolean; // no output matrix: the embedding is used
}

export interface TensorInfo {
  /** Hugging Face's name, e.g. `model.layers.0.self_attn.q_proj.weight`, whatever the file calls it. */
  readonly name: string;
  readonly type: FileType;
  /** 1 for vectors. */
  readonly rows: number;
  readonly cols: number;
}

/** An opened model: header read, weights still in the file. */
export interface Checkpoint {
  /** For people: 'safetensors', 'GGUF v3', ... */
  readonly format: string;
  /** Path or name as the user gave it. */
  readonly path: string;
  readonly config: LlamaConfig;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** Raw bytes, in the file's own type, of `rowCount` whole rows. */
  readRows(name: string, firstRow: number, rowCount: number): Promise<Uint8Array>;
  /** The tokenizer, or undefined when the files have none. Throws `bad-tokenizer`. */
  vocab(): Promise<Vocab | undefined>;
  close(): Promise<void>;
}

/** Everything a tokenizer needs, from tokenizer.json or GGUF metadata. */
export interface Vocab {
  /** `spm`: text pieces with U+2581 for a space, byte fallback. `bytes`: GPT-2's byte-level alphabet. */
  readonly kind: 'spm' | 'bytes';
  /** Token text by id, in the file's own alphabet. */
  readonly tokens: readonly string[];
  /** Order of merging: pairs by rank (tokenizer.json, GGUF byte-level), or a score for each token (GGUF spm). */
  readonly merges: readonly (readonly [string, string])[] | undefined;
  readonly scores: Float32Array | undefined;
  /** Matched in the text before anything else when special tokens are allowed; `special` ones are not shown when decoding. */
  readonly added: readonly AddedToken[];
  readonly byteFallback: boolean;
  /** spm: a space is put before the text. */
  readonly addSpacePrefix: boolean;
  /** spm: encode whole words directly when the vocabulary has them (tokenizer.json `ignore_merges`). */
  readonly ignoreMerges: boolean;
  /** bytes: regular expressions (source text, flags 'gu' added) that cut the text, applied one after another. */
  readonly splits: readonly string[];
  readonly bos: number | undefined;
  /** Ids that end an answer. */
  readonly eos: readonly number[];
  readonly unknown: number | undefined;
  readonly addBos: boolean;
  readonly addEos: boolean;
  readonly chatTemplate: string | undefined;
}

export interface AddedToken {
  readonly id: number;
  readonly text: string;
  readonly special: boolean;
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  readonly singleWord: boolean;
  readonly normalized: boolean;
}
