/** LlamaConfig as the config.json that transformers would have written. */
import { ARCHITECTURES } from '../loaders/architectures.ts';
import type { LlamaConfig, RopeScaling } from '../loaders/types.ts';
import { FirstlightError } from '../quant/errors.ts';
import { ropeFrequencies } from './rope.ts';

/**
 * @param dtype of the weights beside it
 * @throws `unsupported-model` for RoPE factors of a GGUF file that are not Llama 3's with usual numbers
 */
export function huggingFaceConfig(config: LlamaConfig, dtype: 'f32' | 'f16' | 'bf16'): Record<string, unknown> {
  // GGUF files call Mistral llama, whose class has no window
  const architecture = config.architecture === 'llama' && config.slidingWindow ? 'mistral' : config.architecture;
  const row = ARCHITECTURES.find(({ name }) => name === architecture)!;
  const scaling = config.ropeScaling.kind === 'factors' ? recovered(config) : config.ropeScaling;
  const windowed = (layer: number) => config.slidingLayers?.[layer] ?? true;
  const kinds = Array.from({ length: config.layers }, (_, layer) =>
    config.slidingWindow !== undefined && windowed(layer) ? 'sliding_attention' : 'full_attention',
  );
  const json: Record<string, unknown> = {
    architectures: [row.classNames[0]],
    model_type: row.modelType,
    hidden_size: config.hidden,
    intermediate_size: config.feedForward,
    num_hidden_layers: config.layers,
    num_attention_heads: config.heads,
    num_key_value_heads: config.kvHeads,
    head_dim: config.headDim,
    vocab_size: config.vocab,
    // of dynamic scaling the positions before it
    max_position_embeddings: scaling.kind === 'dynamic' ? scaling.originalContext : config.context,
    rms_norm_eps: config.normEpsilon,
    rope_theta: config.ropeTheta,
    rope_scaling: scalingJson(scaling),
    sliding_window: config.slidingWindow ?? null,
    attention_bias: config.attentionBias,
    tie_word_embeddings: config.tiedEmbeddings,
    hidden_act: config.activation === 'silu' ? 'silu' : 'gelu_pytorch_tanh',
    torch_dtype: { f32: 'float32', f16: 'float16', bf16: 'bfloat16' }[dtype],
  };
  // where Phi-3's class looks for it
  if (scaling.kind === 'longrope') json.original_max_position_embeddings = scaling.originalContext;
  if ('use_sliding_window' in row.defaults) json.use_sliding_window = config.slidingWindow !== undefined;
  if (config.slidingWindow !== undefined) json.layer_types = kinds;
  if (config.localRopeTheta !== undefined) json.rope_local_base_freq = config.localRopeTheta;
  if ('query_pre_attn_scalar' in row.defaults)
    json.query_pre_attn_scalar = config.attentionScale === undefined ? config.headDim : 1 / config.attentionScale ** 2;
  if ('attn_logit_softcapping' in row.defaults) json.attn_logit_softcapping = config.attentionCap ?? null;
  if ('final_logit_softcapping' in row.defaults) json.final_logit_softcapping = config.logitCap ?? null;
  if (config.ropeDim !== config.headDim) json.partial_rotary_factor = config.ropeDim / config.headDim;
  if (config.ropeLayers) json.no_rope_layers = config.ropeLayers.map(Number);
  return json;
}

/** GGUF files keep what Llama 3's scaling makes of its numbers: these are the numbers that models have. */
function recovered(config: LlamaConfig): Scaling<'llama3'> {
  const { ropeDim, ropeTheta, ropeScaling } = config;
  const wanted = ropeFrequencies(config, config.context);
  for (const factor of [8, 32, 2, 4, 16, 64]) {
    const scaling: Scaling<'llama3'> = {
      kind: 'llama3',
      factor,
      lowFrequencyFactor: 1,
      highFrequencyFactor: 4,
      originalContext: 8192,
    };
    const found = ropeFrequencies({ ropeDim, ropeTheta, ropeScaling: scaling }, config.context);
    if (found.every((value, i) => Math.abs(value - wanted[i]!) < 1e-5 * value)) return scaling;
  }
  throw new FirstlightError(
    'unsupported-model',
    `RoPE factors (${ropeScaling.kind}) of this file cannot be said in config.json: convert the original model`,
  );
}

type Scaling<Kind> = Extract<RopeScaling, { kind: Kind }>;

function scalingJson(scaling: Exclude<RopeScaling, { kind: 'factors' }>): Record<string, unknown> | null {
  switch (scaling.kind) {
    case 'none':
      return null;
    case 'linear':
      return { rope_type: 'linear', factor: scaling.factor };
    case 'dynamic':
      return {
        rope_type: 'dynamic',
        factor: scaling.factor,
        original_max_position_embeddings: scaling.originalContext,
      };
    case 'llama3':
      return {
        rope_type: 'llama3',
        factor: scaling.factor,
        low_freq_factor: scaling.lowFrequencyFactor,
        high_freq_factor: scaling.highFrequencyFactor,
        original_max_position_embeddings: scaling.originalContext,
      };
    case 'yarn':
      return {
        rope_type: 'yarn',
        factor: scaling.factor,
        original_max_position_embeddings: scaling.originalContext,
        beta_fast: scaling.betaFast,
        beta_slow: scaling.betaSlow,
        truncate: scaling.truncate,
        attention_factor: scaling.attentionFactor,
      };
    case 'longrope':
      return {
        rope_type: 'longrope',
        short_factor: [...scaling.shortFactors],
        long_factor: [...scaling.longFactors],
        original_max_position_embeddings: scaling.originalContext,
        attention_factor: scaling.attentionFactor,
      };
  }
}
