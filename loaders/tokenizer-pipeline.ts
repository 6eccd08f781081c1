/**
 * What tokenizer.json does to a text around its BPE model: normalizer, pre_tokenizer, decoder, post_processor. Each is a
 * tree of typed steps; the ones that causal language models use become Vocab's plain lists, the others are refused by name.
 * Meaning of the steps: the documentation of Hugging Face tokenizers.
 */
import { FirstlightError } from '../quant/errors.ts';
import { convertRegex, literalPattern } from './split-regex.ts';
import type { Normalizer } from './types.ts';

export type Fields = Readonly<Record<string, unknown>>;

/** SentencePiece's sign for a space. */
export const SPACE_SIGN = '\u2581';

/** GPT-2's cut into words, which a ByteLevel step does by itself unless told not to. */
export const GPT2_SPLIT = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

const PUNCTUATION = '[\\p{P}!-/:-@\\[-`{-~]';

export interface Pipeline {
  readonly kind: 'spm' | 'bytes';
  readonly normalizers: readonly Normalizer[];
  readonly splits: readonly string[];
  readonly stripSpacePrefix: boolean;
  /** Ids put before the text; undefined when the post-processor does not say. */
  readonly before: readonly number[] | undefined;
}

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Reads the four steps of a parsed tokenizer.json.
 * @throws FirstlightError 'bad-tokenizer' naming the step that firstlight does not have
 */
export function readPipeline(json: Fields, file: string): Pipeline {
  const normalizers: Normalizer[] = [];
  const splits: string[] = [];
  let bytes = false;
  let metaspacePrefix = false;

  function refuse(where: string, what: string): never {
    throw new FirstlightError(
      'bad-tokenizer',
      `${file}: ${where} ${what} is not supported; use a GGUF file of this model`,
    );
  }

  /** The leaves of a step: Sequence steps hold others in `field`. */
  function flatten(step: unknown, where: string, field: string): Fields[] {
    if (step === undefined || step === null) return [];
    if (!isFields(step) || typeof step.type !== 'string') refuse(where, 'without a type');
    if (step.type !== 'Sequence') return [step];
    const inner = step[field];
    if (!Array.isArray(inner)) refuse(where, `Sequence without ${field}`);
    return inner.flatMap((one) => flatten(one, where, field));
  }

  function pattern(step: Fields, where: string): string {
    const value = isFields(step.pattern) ? step.pattern : {};
    if (typeof value.String === 'string') return literalPattern(value.String);
    if (typeof value.Regex === 'string') return convertRegex(value.Regex, file);
    return refuse(where, `${step.type} without a pattern`);
  }

  function text(step: Fields, field: string, where: string): string {
    const value = step[field];
    return typeof value === 'string' ? value : refuse(where, `${step.type} without ${field}`);
  }

  function normalize(step: Fields): void {
    const where = 'normalizer';
    const type = step.type;
    if (type === 'NFC' || type === 'NFD' || type === 'NFKC' || type === 'NFKD')
      normalizers.push({ kind: 'unicode', form: type });
    else if (type === 'Lowercase') normalizers.push({ kind: 'lowercase' });
    else if (type === 'Strip')
      normalizers.push({ kind: 'strip', left: step.strip_left !== false, right: step.strip_right !== false });
    else if (type === 'Prepend')
      normalizers.push({ kind: 'prepend', text: text(step, 'prepend', where), where: 'always' });
    else if (type === 'Replace')
      normalizers.push({ kind: 'replace', pattern: pattern(step, where), text: text(step, 'content', where) });
    else refuse(where, String(type));
  }

  function preTokenize(step: Fields): void {
    const where = 'pre_tokenizer';
    if (bytes) refuse(where, `${step.type} after ByteLevel`);
    if (step.type === 'ByteLevel') {
      bytes = true;
      if (step.add_prefix_space === true) {
        if (splits.length > 0) refuse(where, 'ByteLevel with add_prefix_space after another step');
        normalizers.push({ kind: 'prepend', text: ' ', where: 'missing' });
      }
      if (step.use_regex !== false) splits.push(convertRegex(GPT2_SPLIT, file));
    } else if (step.type === 'Metaspace') metaspace(step);
    else if (step.type === 'Digits') splits.push(step.individual_digits === true ? '\\p{N}' : '\\p{N}+');
    else if (step.type === 'Punctuation') {
      if (step.behavior !== undefined && step.behavior !== 'Isolated' && step.behavior !== 'Contiguous') {
        refuse(where, `Punctuation with behavior ${step.behavior}`);
      }
      splits.push(step.behavior === 'Contiguous' ? `${PUNCTUATION}+` : PUNCTUATION);
    } else if (step.type === 'Split') split(step);
    else refuse(where, String(step.type));
  }

  function metaspace(step: Fields): void {
    const sign = step.replacement === undefined ? SPACE_SIGN : text(step, 'replacement', 'pre_tokenizer');
    if (sign !== SPACE_SIGN) refuse('pre_tokenizer', `Metaspace with ${JSON.stringify(sign)} for a space`);
    if (splits.length > 0) refuse('pre_tokenizer', 'Metaspace after another step');
    // Files from before prepend_scheme have add_prefix_space (default true) instead.
    const scheme = step.prepend_scheme ?? (step.add_prefix_space === false ? 'never' : 'always');
    if (scheme !== 'always' && scheme !== 'first' && scheme !== 'never')
      refuse('pre_tokenizer', `Metaspace with prepend_scheme ${scheme}`);
    normalizers.push({ kind: 'replace', pattern: ' ', text: sign });
    if (scheme !== 'never')
      normalizers.push({ kind: 'prepend', text: sign, where: scheme === 'first' ? 'first' : 'missing' });
    metaspacePrefix = scheme !== 'never';
    if (step.split !== false) splits.push(cutBefore(sign));
  }

  function split(step: Fields): void {
    const source = pattern(step, 'pre_tokenizer');
    const behaviour = step.behavior;
    // tiktoken's regular expressions are given as "remove what does not match"; they match every character.
    if (step.invert === true ? behaviour === 'Removed' : behaviour === 'Isolated') splits.push(source);
    else if (step.invert !== true && behaviour === 'Contiguous') splits.push(`(?:${source})+`);
    else if (step.invert !== true && isSingle(step) && behaviour === 'MergedWithPrevious')
      splits.push(cutAfter(source));
    else if (step.invert !== true && isSingle(step) && behaviour === 'MergedWithNext') splits.push(cutBefore(source));
    else refuse('pre_tokenizer', `Split with behavior ${behaviour}${step.invert === true ? ', inverted,' : ''}`);
  }

  for (const step of flatten(json.normalizer, 'normalizer', 'normalizers')) normalize(step);
  for (const step of flatten(json.pre_tokenizer, 'pre_tokenizer', 'pretokenizers')) preTokenize(step);
  const decoders = flatten(json.decoder, 'decoder', 'decoders').map((step) => step.type);
  const spm = normalizers.some((step) => step.kind === 'replace' && step.text === SPACE_SIGN);
  if (bytes === spm)
    refuse('pre_tokenizer', bytes ? 'ByteLevel together with U+2581 for spaces' : 'without ByteLevel or Metaspace');
  return {
    kind: bytes ? 'bytes' : 'spm',
    normalizers,
    splits,
    stripSpacePrefix: spm && (decoders.includes('Strip') || metaspacePrefix),
    before: readPostProcessor(flatten(json.post_processor, 'post_processor', 'processors'), refuse),
  };
}

/** A one-character pattern, for which "merge the match with its neighbour" is a regular expression too. */
function isSingle(step: Fields): boolean {
  return isFields(step.pattern) && typeof step.pattern.String === 'string' && [...step.pattern.String].length === 1;
}

function cutBefore(character: string): string {
  return `${character}?[^${character}]+|${character}`;
}

function cutAfter(character: string): string {
  return `[^${character}]+${character}?|${character}`;
}

function readPostProcessor(
  steps: readonly Fields[],
  refuse: (where: string, what: string) => never,
): number[] | undefined {
  let before: number[] | undefined;
  for (const step of steps) {
    if (step.type === 'ByteLevel') continue; // offsets only
    if (step.type !== 'TemplateProcessing' || !Array.isArray(step.single) || !isFields(step.special_tokens)) {
      refuse('post_processor', String(step.type));
    }
    before = [];
    for (const part of step.single) {
      const name = isFields(part) && isFields(part.SpecialToken) ? part.SpecialToken.id : undefined;
      if (typeof name !== 'string') break; // the text itself; what follows it ends a text, and a prompt has no end
      const token = step.special_tokens[name];
      if (!isFields(token) || !Array.isArray(token.ids)) refuse('post_processor', `with an undefined token ${name}`);
      before.push(...token.ids);
    }
    if (before.length > 1) refuse('post_processor', 'that puts several tokens before the text');
  }
  return before;
}
