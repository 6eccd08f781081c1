/** What llama.cpp's converter makes of a Hugging Face model: its metadata, names, orders and offsets. */
import { ropeFrequencies } from '../engine/rope.ts';
import { ARCHITECTURES } from '../loaders/architectures.ts';
import type { LlamaConfig } from '../loaders/types.ts';
import type { GgufEntry } from './write-gguf.ts';

export interface Weights {
  /** [rows, cols] for matrices, [length] for vectors. */
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

function rowOf({ architecture }: LlamaConfig) {
  return ARCHITECTURES.find(({ name }) => name === architecture)!;
}

/** Mistral's files say llama, OLMo 3's olmo2. */
export function ggufMetadata(config: LlamaConfig): GgufEntry[] {
  const name = rowOf(config).ggufName;
  const { attentionCap, logitCap, slidingWindow, slidingLayers, localRopeTheta } = config;
  const entries: (GgufEntry | false | undefined)[] = [
    ['general.architecture', 'string', name],
    [`${name}.block_count`, 'u32', config.layers],
    [`${name}.context_length`, 'u32', config.context],
    [`${name}.embedding_length`, 'u32', config.hidden],
    [`${name}.feed_forward_length`, 'u32', config.feedForward],
    [`${name}.attention.head_count`, 'u32', config.heads],
    [`${name}.attention.head_count_kv`, 'u32', config.kvHeads],
    [`${name}.attention.key_length`, 'u32', config.headDim],
    [`${name}.attention.value_length`, 'u32', config.headDim],
    [`${name}.attention.layer_norm_rms_epsilon`, 'f32', config.normEpsilon],
    [`${name}.rope.freq_base`, 'f32', config.ropeTheta],
    [`${name}.rope.dimension_count`, 'u32', config.ropeDim],
    [`${name}.vocab_size`, 'u32', config.vocab],
    attentionCap !== undefined && [`${name}.attn_logit_softcapping`, 'f32', attentionCap],
    logitCap !== undefined && [`${name}.final_logit_softcapping`, 'f32', logitCap],
    slidingWindow !== undefined && [`${name}.attention.sliding_window`, 'u32', slidingWindow],
    slidingLayers && [`${name}.attention.sliding_window_pattern`, 'bool[]', slidingLayers],
    localRopeTheta !== undefined && [`${name}.rope.freq_base_swa`, 'f32', localRopeTheta],
    ...ropeScalingEntries(config, name),
  ];
  return entries.filter((entry) => typeof entry === 'object');
}

function ropeScalingEntries({ ropeScaling: scaling, architecture }: LlamaConfig, name: string): GgufEntry[] {
  const at = `${name}.rope.scaling`;
  switch (scaling.kind) {
    case 'linear':
      return [
        [`${at}.type`, 'string', 'linear'],
        [`${at}.factor`, 'f32', scaling.factor],
      ];
    case 'yarn':
      return [
        [`${at}.type`, 'string', 'yarn'],
        [`${at}.factor`, 'f32', scaling.factor],
        [`${at}.original_context_length`, 'u32', scaling.originalContext],
        [`${at}.yarn_beta_fast`, 'f32', scaling.betaFast],
        [`${at}.yarn_beta_slow`, 'f32', scaling.betaSlow],
        // OLMo's is the whole factor; others leave it to the reader
        ...(architecture === 'olmo3' ? ([[`${at}.attn_factor`, 'f32', scaling.attentionFactor]] as const) : []),
      ];
    case 'longrope':
      return [
        [`${at}.original_context_length`, 'u32', scaling.originalContext],
        [`${at}.attn_factor`, 'f32', scaling.attentionFactor],
      ];
    default:
      return [];
  }
}

/** The tensors under GGUF's names, from those under Hugging Face's. */
export function ggufWeights(config: LlamaConfig, weights: ReadonlyMap<string, Weights>): Map<string, Weights> {
  const { norms, normOffset, qkNorm, headDim, attentionScale } = config;
  const row = rowOf(config);
  const converted = new Map<string, Weights>();
  for (const [name, { shape, values: stored }] of weights) {
    let values = stored;
    if (/norm\.weight$/.test(name)) values = values.map((value) => value + normOffset);
    if (row.ggufPairs === 'interleaved' && /\.[qk]_proj\./.test(name)) values = interleaveRows(values, headDim, shape);
    // files cannot say how attention is scaled: models with a scale of their own have it in what makes the queries
    const queries = qkNorm === 'none' ? 'q_proj' : 'q_norm';
    if (attentionScale !== undefined && name.endsWith(`${queries}.weight`))
      values = values.map((value) => value * attentionScale * Math.sqrt(headDim));
    converted.set(ggufName(name, norms), { shape, values });
  }
  if (row.name === 'phi3') fusePhi3(converted, config.layers);
  const { ropeScaling: scaling } = config;
  const addFactors = (name: string, values: Float32Array) => converted.set(name, { shape: [values.length], values });
  if (scaling.kind === 'longrope') {
    addFactors('rope_factors_long.weight', scaling.longFactors);
    addFactors('rope_factors_short.weight', scaling.shortFactors);
  }
  if (scaling.kind === 'llama3') {
    const plain = ropeFrequencies({ ...config, ropeScaling: { kind: 'none' } }, 1);
    addFactors(
      'rope_freqs.weight',
      Float32Array.from(ropeFrequencies(config, 1), (scaled, i) => plain[i]! / scaled),
    );
  }
  return converted;
}

function fusePhi3(weights: Map<string, Weights>, layers: number): void {
  for (let layer = 0; layer < layers; layer++) {
    const fuse = (fused: string, names: readonly string[]) => {
      const parts = names.map((name) => weights.get(`blk.${layer}.${name}.weight`)!);
      for (const name of names) weights.delete(`blk.${layer}.${name}.weight`);
      const rows = parts.reduce((sum, { shape }) => sum + shape[0]!, 0);
      const values = Float32Array.from(parts.flatMap((part) => [...part.values]));
      weights.set(`blk.${layer}.${fused}.weight`, { shape: [rows, parts[0]!.shape[1]!], values });
    };
    fuse('attn_qkv', ['attn_q', 'attn_k', 'attn_v']);
    fuse('ffn_up', ['ffn_gate', 'ffn_up']);
  }
}

/** Within each head, row i and its partner i + headDim / 2 become rows 2i and 2i + 1. */
export function interleaveRows(values: Float32Array, headDim: number, shape: readonly number[]): Float32Array {
  const rows = shape[0]!;
  const cols = shape[1] ?? 1;
  const ordered = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    const inHead = row % headDim;
    const half = headDim / 2;
    const target = row - inHead + 2 * (inHead % half) + (inHead < half ? 0 : 1);
    ordered.set(values.subarray(row * cols, (row + 1) * cols), target * cols);
  }
  return ordered;
}

const GGUF_NAMES: readonly [RegExp, string][] = [
  [/^model\.embed_tokens/, 'token_embd'],
  [/^model\.norm/, 'output_norm'],
  [/^lm_head/, 'output'],
  [/^model\.layers/, 'blk'],
  [/input_layernorm/, 'attn_norm'],
  [/pre_feedforward_layernorm/, 'ffn_norm'],
  [/post_feedforward_layernorm/, 'post_ffw_norm'],
  [/self_attn\.o_proj/, 'attn_output'],
  [/self_attn\.(.)_(proj|norm)/, 'attn_$1_$2'],
  [/_proj/, ''],
  [/mlp\./, 'ffn_'],
];

function ggufName(name: string, norms: LlamaConfig['norms']): string {
  const behindAttention = norms === 'before' ? 'ffn_norm' : 'post_attention_norm';
  const plain = name.replace('post_attention_layernorm', behindAttention);
  return GGUF_NAMES.reduce((text, [from, to]) => text.replace(from, to), plain);
}
