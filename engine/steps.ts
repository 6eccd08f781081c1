/** What plans are made of: steps, their grids, and what they depend on. */
import type { AdapterInfo, Purpose, Traits } from '../devices/types.ts';
import type { LlamaConfig } from '../loaders/types.ts';
import type { ShaderName, Spec } from '../shaders/specialise.ts';
import type { KvFormat } from './kv-cache.ts';
import type { AttentionParts, Preferences, ProductShape } from './variants.ts';
import type { Weights } from './weights.ts';

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
  /** Multiply-adds for each column. */
  readonly macs?: number | undefined;
  /** Multiply-adds for each column and key that it attends to. */
  readonly macsPerKey?: number | undefined;
}

/** Workgroups: x by z, for every group of `each` columns (tokens) of a pass, or of its outputs. */
export interface Grid {
  readonly x: number;
  /** Those of different columns are neighbours, not those of one: the GPU gets them as (columns, x, z). Default false. */
  readonly columnsFirst?: boolean | undefined;
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
