/** GGUF's tensor names to Hugging Face's. */
import type { LlamaConfig } from './types.ts';

const OUTER: ReadonlyMap<string, string> = new Map([
  ['token_embd', 'model.embed_tokens'],
  ['output_norm', 'model.norm'],
  ['output', 'lm_head'],
]);

const IN_BLOCK: ReadonlyMap<string, string> = new Map([
  ['attn_norm', 'input_layernorm'],
  ['attn_q', 'self_attn.q_proj'],
  ['attn_k', 'self_attn.k_proj'],
  ['attn_v', 'self_attn.v_proj'],
  ['attn_qkv', 'self_attn.qkv_proj'],
  ['attn_output', 'self_attn.o_proj'],
  ['attn_q_norm', 'self_attn.q_norm'],
  ['attn_k_norm', 'self_attn.k_norm'],
  ['ffn_norm', 'post_attention_layernorm'],
  ['ffn_gate', 'mlp.gate_proj'],
  ['ffn_up', 'mlp.up_proj'],
  ['ffn_down', 'mlp.down_proj'],
  ['post_attention_norm', 'post_attention_layernorm'],
  ['post_ffw_norm', 'post_feedforward_layernorm'],
]);

/** Where another norm stands behind attention and has that name, the one before the feed-forward part needs its own. */
const BETWEEN_NORMS: ReadonlyMap<string, string> = new Map([['ffn_norm', 'pre_feedforward_layernorm']]);

/**
 * `blk.3.attn_q.weight` -> `model.layers.3.self_attn.q_proj.weight`; a name that means nothing to us stays as it is.
 *
 * @param norms of the model: Hugging Face's names depend on it
 */
export function huggingFaceName(name: string, norms: LlamaConfig['norms']): string {
  const [, block, part, kind] = /^(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)$/.exec(name) ?? [];
  if (part === undefined) return name;
  if (block === undefined) return OUTER.has(part) ? `${OUTER.get(part)}.${kind}` : name;
  const known = (norms === 'before' ? undefined : BETWEEN_NORMS.get(part)) ?? IN_BLOCK.get(part);
  return known === undefined ? name : `model.layers.${block}.${known}.${kind}`;
}
