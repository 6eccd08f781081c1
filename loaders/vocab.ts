import { FirstlightError } from '../quant/errors.ts';
import type { GgufValue } from './gguf.ts';
import type { Vocab } from './types.ts';

export function vocabFromTokenizerJson(
  _tokenizerJson: unknown,
  _tokenizerConfig: unknown,
  _generationConfig: unknown,
  file: string,
): Vocab {
  throw new FirstlightError('bad-tokenizer', `${file}: tokenizers are not read yet`);
}

export function vocabFromGguf(_metadata: ReadonlyMap<string, GgufValue>, file: string): Vocab {
  throw new FirstlightError('bad-tokenizer', `${file}: tokenizers are not read yet`);
}
