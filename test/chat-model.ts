/** A tiny chat model with random weights: it babbles, but always the same. */
import { openFolder } from '../loaders/checkpoint.ts';
import type { Checkpoint, LlamaConfig } from '../loaders/types.ts';
import { byteLevelJson } from './pure/small-tokenizers.ts';
import { memoryFolder, randomWeights, SMALL_LLAMA, safetensorsFolder } from './random-model.ts';

export const CHAT_LLAMA: LlamaConfig = { ...SMALL_LLAMA, vocab: 271, context: 512 };

const TEMPLATE =
  '{% if tools %}<|bos|>tools\n{{ tools | tojson }}<|end|>\n{% endif %}' +
  '{% for message in messages %}<|bos|>{{ message.role }}\n{{ message.content }}<|end|>\n{% endfor %}' +
  '{% if add_generation_prompt %}<|bos|>assistant\n{% endif %}';

interface ChatModelOptions {
  /** Other seeds make other models. */
  readonly seed?: number;
  /** False: without a chat template. */
  readonly chat?: boolean;
}

/** The files of the model. */
export function chatModelFiles({ seed = 1, chat = true }: ChatModelOptions = {}): Map<string, Uint8Array> {
  const files = safetensorsFolder(CHAT_LLAMA, randomWeights(CHAT_LLAMA, seed));
  const settings = { bos_token: '<|bos|>', eos_token: '<|end|>', ...(chat && { chat_template: TEMPLATE }) };
  files.set('tokenizer.json', Buffer.from(JSON.stringify(byteLevelJson())));
  files.set('tokenizer_config.json', Buffer.from(JSON.stringify(settings)));
  return files;
}

export function openChatModel(options: ChatModelOptions = {}): Promise<Checkpoint> {
  return openFolder({ ...memoryFolder(chatModelFiles(options)), path: '/a secret/place' });
}
