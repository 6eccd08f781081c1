/**
 * The architectures that firstlight runs, one row each: how config.json and GGUF files name them, how they compute, and what
 * a config file may leave out. To add one that computes as others do, add a row (and a miniature model in test/fixtures).
 */
import { FirstlightError } from '../quant/errors.ts';
import type { JsonObject } from './json.ts';
import type { ArchitectureName, Design } from './types.ts';

export interface Architecture {
  readonly name: ArchitectureName;
  /** In `architectures` of config.json; all compute the same. */
  readonly classNames: readonly string[];
  /** `model_type` of config.json. */
  readonly modelType: string;
  /** `general.architecture` of GGUF files; the first row with the name stands for all. */
  readonly ggufName: string;
  /** Pairs that RoPE turns in GGUF files; in Hugging Face's they are always halves. */
  readonly ggufPairs: 'half' | 'interleaved';
  readonly design: Omit<Design, 'activation'>;
  /**
   * Layers with a sliding window, where there is one and no `layer_types`: all; Qwen's from `max_window_layers` on; all but
   * every n-th; SmolLM3's without RoPE.
   */
  readonly window: 'all' | 'later' | 'unrotated' | number;
  /** q, k and v have biases though config.json does not say so. */
  readonly attentionBias?: true;
  /** The embedding's rows are multiplied by sqrt(hidden). */
  readonly scaledEmbedding?: true;
  /** RoPE of layers with a window has parameters of its own and is never scaled; this is their theta. */
  readonly localTheta?: number;
  /**
   * The optional keys of config.json that the architecture has, and what they are when missing or, unless that means
   * "none", null: transformers' own defaults.
   */
  readonly defaults: JsonObject;
}

const LLAMA_DESIGN: Architecture['design'] = { norms: 'before', normOffset: 0, qkNorm: 'none' };
const COMMON = { rms_norm_eps: 1e-6, rope_theta: 1e4, hidden_act: 'silu', tie_word_embeddings: false };
const GEMMA = { ...COMMON, hidden_act: 'gelu_pytorch_tanh', head_dim: 256, tie_word_embeddings: true };
const QWEN = {
  ...COMMON,
  max_position_embeddings: 32768,
  use_sliding_window: false,
  sliding_window: 4096,
  max_window_layers: 28,
};

export const ARCHITECTURES: readonly Architecture[] = [
  {
    // Llama 2 to 3.2, TinyLlama, SmolLM and SmolLM2, Yi and others
    name: 'llama',
    classNames: ['LlamaForCausalLM'],
    modelType: 'llama',
    ggufName: 'llama',
    ggufPairs: 'interleaved',
    design: LLAMA_DESIGN,
    window: 'all',
    defaults: { ...COMMON, max_position_embeddings: 2048 },
  },
  {
    name: 'mistral',
    classNames: ['MistralForCausalLM'],
    modelType: 'mistral',
    ggufName: 'llama',
    ggufPairs: 'interleaved',
    design: LLAMA_DESIGN,
    window: 'all',
    defaults: { ...COMMON, max_position_embeddings: 131072, use_sliding_window: true, sliding_window: 4096 },
  },
  {
    name: 'qwen2',
    classNames: ['Qwen2ForCausalLM'],
    modelType: 'qwen2',
    ggufName: 'qwen2',
    ggufPairs: 'half',
    design: LLAMA_DESIGN,
    window: 'later',
    attentionBias: true,
    defaults: QWEN,
  },
  {
    name: 'qwen3',
    classNames: ['Qwen3ForCausalLM'],
    modelType: 'qwen3',
    ggufName: 'qwen3',
    ggufPairs: 'half',
    design: { ...LLAMA_DESIGN, qkNorm: 'head' },
    window: 'later',
    defaults: { ...QWEN, head_dim: 128 },
  },
  {
    // Phi-3, Phi-3.5-mini, Phi-4, Phi-4-mini
    name: 'phi3',
    classNames: ['Phi3ForCausalLM'],
    modelType: 'phi3',
    ggufName: 'phi3',
    ggufPairs: 'half',
    design: LLAMA_DESIGN,
    window: 'all',
    defaults: {
      ...COMMON,
      rms_norm_eps: 1e-5,
      max_position_embeddings: 4096,
      original_max_position_embeddings: 4096,
      partial_rotary_factor: 1,
      use_sliding_window: true,
      sliding_window: null,
    },
  },
  {
    name: 'gemma',
    classNames: ['GemmaForCausalLM'],
    modelType: 'gemma',
    ggufName: 'gemma',
    ggufPairs: 'half',
    design: { ...LLAMA_DESIGN, normOffset: 1 },
    window: 'all',
    scaledEmbedding: true,
    defaults: { ...GEMMA, max_position_embeddings: 8192 },
  },
  {
    name: 'gemma2',
    classNames: ['Gemma2ForCausalLM'],
    modelType: 'gemma2',
    ggufName: 'gemma2',
    ggufPairs: 'half',
    design: { norms: 'both', normOffset: 1, qkNorm: 'none' },
    window: 2,
    scaledEmbedding: true,
    defaults: {
      ...GEMMA,
      max_position_embeddings: 8192,
      query_pre_attn_scalar: 256,
      attn_logit_softcapping: 50,
      final_logit_softcapping: 30,
      use_sliding_window: true,
      sliding_window: 4096,
    },
  },
  {
    name: 'gemma3',
    classNames: ['Gemma3ForCausalLM', 'Gemma3ForConditionalGeneration'],
    modelType: 'gemma3_text',
    ggufName: 'gemma3',
    ggufPairs: 'half',
    design: { norms: 'both', normOffset: 1, qkNorm: 'head' },
    window: 6,
    scaledEmbedding: true,
    localTheta: 1e4,
    defaults: {
      ...GEMMA,
      // the configs of models that see pictures leave all these out
      num_attention_heads: 8,
      num_key_value_heads: 4,
      vocab_size: 262208,
      max_position_embeddings: 131072,
      rope_theta: 1e6,
      query_pre_attn_scalar: 256,
      final_logit_softcapping: null,
      use_sliding_window: true,
      sliding_window: 4096,
    },
  },
  {
    name: 'olmo2',
    classNames: ['Olmo2ForCausalLM'],
    modelType: 'olmo2',
    ggufName: 'olmo2',
    ggufPairs: 'half',
    design: { norms: 'after', normOffset: 0, qkNorm: 'all' },
    window: 'all',
    defaults: { ...COMMON, rms_norm_eps: 1e-5, max_position_embeddings: 2048 },
  },
  {
    name: 'olmo3',
    classNames: ['Olmo3ForCausalLM'],
    modelType: 'olmo3',
    ggufName: 'olmo2', // with a sliding window
    ggufPairs: 'half',
    design: { norms: 'after', normOffset: 0, qkNorm: 'all' },
    window: 4,
    localTheta: 5e5,
    defaults: {
      ...COMMON,
      rms_norm_eps: 1e-5,
      max_position_embeddings: 2048,
      rope_theta: 5e5,
      use_sliding_window: true,
      sliding_window: 4096,
    },
  },
  {
    name: 'smollm3',
    classNames: ['SmolLM3ForCausalLM'],
    modelType: 'smollm3',
    ggufName: 'smollm3',
    ggufPairs: 'interleaved',
    design: LLAMA_DESIGN,
    window: 'unrotated',
    defaults: {
      ...COMMON,
      rope_theta: 2e6,
      tie_word_embeddings: true,
      max_position_embeddings: 32768,
      no_rope_layers: null,
      no_rope_layer_interval: 4,
      use_sliding_window: false,
      sliding_window: null,
    },
  },
];

export function isArchitecture(name: unknown): name is ArchitectureName {
  return ARCHITECTURES.some((row) => row.name === name);
}

/** The refusal of everything that is not in the table, mixtures of experts among it. */
export function unknownArchitecture(name: unknown, known: Iterable<string>, file: string): FirstlightError {
  const what = name === undefined ? ' names no architecture' : `: architecture ${JSON.stringify(name)} is not run`;
  return new FirstlightError('unsupported-model', `${file}${what}; firstlight runs ${[...known].join(', ')}`);
}

/** More than any model has: lists of layers stay short whatever a file claims. */
export const MAX_LAYERS = 1024;

/** Which layers have a sliding window by an architecture's rule; undefined where all have. */
export function slidingLayers(
  window: Architecture['window'],
  layers: number,
  firstWindow = 0,
  rotated?: readonly boolean[],
): readonly boolean[] | undefined {
  if (window === 'all') return undefined;
  return Array.from({ length: Math.min(layers, MAX_LAYERS) }, (_, layer) => {
    if (window === 'later') return layer >= firstWindow;
    if (window === 'unrotated') return rotated?.[layer] === false;
    return (layer + 1) % window !== 0;
  });
}
