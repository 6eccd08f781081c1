/**
 * Chat templates of known families, for files that bring none, and how such a file's family is told. The forms are those
 * of the models' own cards; where a family has no system role its text goes before the user's first message.
 */
import type { Vocab } from '../loaders/types.ts';

/** Splits a system message off: `system`, and `turns` without it. */
const SYSTEM =
  "{% if messages and messages[0].role in ['system', 'developer'] %}{% set system = messages[0].content %}" +
  "{% set turns = messages[1:] %}{% else %}{% set system = '' %}{% set turns = messages %}{% endif %}";

/** For roles that a family has no form for. */
const REFUSE = "{{ raise_exception('the role ' + m.role + ' has no place in this template') }}";

const START = '{% if add_generation_prompt %}';

/** Jinja templates by family. */
export const CHAT_FAMILIES = {
  llama2:
    `${SYSTEM}{% for m in turns %}{% if m.role == 'user' %}` +
    "{% set text = ('<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' if loop.first and system else '') + m.content %}" +
    "{{ bos_token + '[INST] ' + text | trim + ' [/INST]' }}" +
    `{% elif m.role == 'assistant' %}{{ ' ' + m.content | trim + ' ' + eos_token }}{% else %}${REFUSE}{% endif %}{% endfor %}`,
  llama3:
    '{{ bos_token }}{% for m in messages %}' +
    "{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' + m.content | trim + '<|eot_id|>' }}{% endfor %}" +
    `${START}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}`,
  mistral:
    `${SYSTEM}{{ bos_token }}{% for m in turns %}{% if m.role == 'user' %}` +
    "{{ '[INST] ' + (system + '\\n\\n' if loop.first and system else '') + m.content + ' [/INST]' }}" +
    `{% elif m.role == 'assistant' %}{{ m.content + eos_token }}{% else %}${REFUSE}{% endif %}{% endfor %}`,
  chatml:
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}" +
    `${START}{{ '<|im_start|>assistant\\n' }}{% endif %}`,
  gemma:
    `${SYSTEM}{{ bos_token }}{% for m in turns %}{% if m.role == 'user' %}` +
    "{{ '<start_of_turn>user\\n' + (system + '\\n\\n' if loop.first and system else '') + m.content | trim + '<end_of_turn>\\n' }}" +
    "{% elif m.role == 'assistant' %}{{ '<start_of_turn>model\\n' + m.content | trim + '<end_of_turn>\\n' }}" +
    `{% else %}${REFUSE}{% endif %}{% endfor %}${START}{{ '<start_of_turn>model\\n' }}{% endif %}`,
  phi3:
    "{{ bos_token }}{% for m in messages %}{{ '<|' + m.role + '|>\\n' + m.content + '<|end|>\\n' }}{% endfor %}" +
    `${START}{{ '<|assistant|>\\n' }}{% endif %}`,
  zephyr:
    "{% for m in messages %}{{ '<|' + m.role + '|>\\n' + m.content + eos_token + '\\n' }}{% endfor %}" +
    `${START}{{ '<|assistant|>\\n' }}{% endif %}`,
} as const;

/** A name of CHAT_FAMILIES. */
export type ChatFamily = keyof typeof CHAT_FAMILIES;

/** Whether a model's names (of its file or folder, and within it) say that it was trained to answer. */
export function namesChat(names: readonly (string | undefined)[]): boolean {
  const word = /(^|[^a-z])(chat|instruct|it|assistant|sft|dpo|zephyr|hermes)($|[^a-z])/i;
  return names.some((name) => name !== undefined && word.test(name));
}

/**
 * The family of a model without a chat template, by its control tokens and names; undefined for base models, which share
 * the tokens, and for what is unknown.
 * @param names as for namesChat
 */
export function guessFamily(vocab: Vocab, names: readonly (string | undefined)[]): ChatFamily | undefined {
  const tokens = new Set(vocab.added.map((token) => token.text));
  if (tokens.has('<|user|>') && tokens.has('<|assistant|>') && tokens.has('<|end|>')) return 'phi3';
  if (!namesChat(names)) return undefined;
  if (tokens.has('<|im_start|>')) return 'chatml';
  if (tokens.has('<|start_header_id|>')) return 'llama3';
  if (tokens.has('<start_of_turn>')) return 'gemma';
  if (tokens.has('[INST]')) return 'mistral';
  const named = (pattern: RegExp) => names.some((name) => name !== undefined && pattern.test(name));
  if (named(/zephyr|tiny-?llama/i)) return 'zephyr';
  if (named(/mistral|mixtral/i)) return 'mistral';
  if (named(/llama-?2/i)) return 'llama2';
  return undefined;
}
