/** A small random model that has a chat template, as a GGUF file. */
import { byteLevelMetadata } from './pure/small-tokenizers.ts';
import { ggufFile, randomWeights, SMALL_LLAMA } from './random-model.ts';
import type { GgufEntry } from './write-gguf.ts';

/** Turns end with <|end|>, 269; white space around messages goes. */
export const SMALL_TEMPLATE =
  "{% for m in messages %}{{ m['role'] + ':' + m['content'] | trim + '<|end|>' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}";

export const SMALL_CHAT = { ...SMALL_LLAMA, vocab: 271, context: 512 };

/** @param template the model's, '' for none */
export function smallChatModel(template: string = SMALL_TEMPLATE): Uint8Array {
  const metadata: GgufEntry[] = Array.from(byteLevelMetadata(), ([key, value]): GgufEntry => {
    if (value instanceof Int32Array) return [key, 'i32[]', value];
    if (Array.isArray(value)) return [key, 'string[]', value as readonly string[]];
    return typeof value === 'number' ? [key, 'u32', value] : [key, 'string', String(value)];
  });
  if (template !== '') metadata.push(['tokenizer.chat_template', 'string', template]);
  return ggufFile(SMALL_CHAT, randomWeights(SMALL_CHAT), 'F32', { metadata });
}
