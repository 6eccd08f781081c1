/**
 * What tokenizer.json does to a text around its BPE model: normalizer, pre_tokenizer, decoder, post_processor. Each is a
 * tree of typed steps; the ones that causal language models use become Vocab's plain lists, the others are refused by name.
 * Meaning of the steps: the documentation of Hugging Face tokenizers.
 */
import { FirstlightError } from '../quant/errors.ts';
import { readCharsMap } from './charsmap.ts';
import { isJsonObject, type JsonObject } from './json.ts';
import { convertRegex, literalPattern } from './split-regex.ts';
import type { Normalizer, PreTokenizer, Vocab } from './types.ts';

/** SentencePiece's sign for a space. */
export const SPACE_SIGN = '\u2581';

/** GPT-2's cut into words, which a ByteLevel step does by itself unless told not to. */
export const GPT2_SPLIT = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

const PUNCTUATION = '[\\p{P}!-/:-@\\[-`{-~]';

export interface Pipeline {
  readonly kind: 'spm' | 'bytes';
  readonly normalizers: readonly Normalizer[];
  readonly preTokenizers: readonly PreTokenizer[];
  readonly stripSpacePrefix: Vocab['stripSpacePrefix'];
  /** Ids put before the text; undefined when the post-processor does not say. */
  readonly before: readonly number[] | undefined;
}

/** Names of what becomes of a Split's matches. */
const BEHAVIORS: ReadonlyMap<unknown, Split['matches']> = new Map([
  ['Isolated', 'isolated'],
  ['Removed', 'removed'],
  ['Contiguous', 'joined'],
  ['MergedWithPrevious', 'with-previous'],
  ['MergedWithNext', 'with-next'],
]);

type Split = Extract<PreTokenizer, { readonly kind: 'split' }>;

/** Cuts a text at the matches of a pattern, which become pieces too. */
export function isolate(pattern: string): PreTokenizer {
  return { kind: 'split', pattern, matches: 'isolated', invert: false };
}

/**
 * Reads the four steps of a parsed tokenizer.json.
 * @throws FirstlightError 'bad-tokenizer' naming the step that firstlight does not have
 */
export function readPipeline(json: JsonObject, file: string): Pipeline {
  const normalizers: Normalizer[] = [];
  const preTokenizers: PreTokenizer[] = [];
  let bytes = false;
  let signs = false; // spaces become U+2581

  function refuse(where: string, what: string): never {
    throw new FirstlightError(
      'bad-tokenizer',
      `${file}: ${where} ${what} is not supported; use a GGUF file of this model`,
    );
  }

  /** The leaves of a step: Sequence steps hold others in `field`. */
  function flatten(step: unknown, where: string, field: string): JsonObject[] {
    if (step === undefined || step === null) return [];
    if (!isJsonObject(step) || typeof step.type !== 'string') refuse(where, 'without a type');
    if (step.type !== 'Sequence') return [step];
    const inner = step[field];
    if (!Array.isArray(inner)) refuse(where, `Sequence without ${field}`);
    return inner.flatMap((one) => flatten(one, where, field));
  }

  function pattern(step: JsonObject, where: string): string {
    const value = isJsonObject(step.pattern) ? step.pattern : {};
    if (typeof value.String === 'string') return literalPattern(value.String);
    if (typeof value.Regex === 'string') return convertRegex(value.Regex, file);
    return refuse(where, `${step.type} without a pattern`);
  }

  function text(step: JsonObject, field: string, where: string): string {
    const value = step[field];
    return typeof value === 'string' ? value : refuse(where, `${step.type} without ${field}`);
  }

  function normalize(step: JsonObject): void {
    const where = 'normalizer';
    const type = step.type;
    if (type === 'NFC' || type === 'NFD' || type === 'NFKC' || type === 'NFKD')
      normalizers.push({ kind: 'unicode', form: type });
    else if (type === 'Lowercase') normalizers.push({ kind: 'lowercase' });
    else if (type === 'Strip')
      normalizers.push({ kind: 'strip', left: step.strip_left !== false, right: step.strip_right !== false });
    else if (type === 'Prepend') normalizers.push({ kind: 'prepend', text: text(step, 'prepend', where) });
    else if (type === 'Replace') {
      const content = text(step, 'content', where);
      signs ||= content === SPACE_SIGN;
      normalizers.push({ kind: 'replace', pattern: pattern(step, where), text: content });
    } else if (type === 'Precompiled') {
      const rules = Buffer.from(text(step, 'precompiled_charsmap', where), 'base64');
      normalizers.push({ kind: 'graphemes', rules: readCharsMap(rules, file) });
    } else refuse(where, String(type));
  }

  function preTokenize(step: JsonObject): void {
    const where = 'pre_tokenizer';
    if (bytes) refuse(where, `${step.type} after ByteLevel`);
    if (step.type === 'ByteLevel') {
      bytes = true;
      if (step.add_prefix_space === true) preTokenizers.push({ kind: 'prefix', text: ' ', where: 'all' });
      if (step.use_regex !== false) preTokenizers.push(isolate(convertRegex(GPT2_SPLIT, file)));
    } else if (step.type === 'Metaspace') metaspace(step);
    else if (step.type === 'Digits')
      preTokenizers.push(isolate(step.individual_digits === true ? '\\p{N}' : '\\p{N}+'));
    else if (step.type === 'Punctuation') split(step, PUNCTUATION, step.behavior ?? 'Isolated');
    else if (step.type === 'WhitespaceSplit') split(step, '\\p{White_Space}', 'Removed');
    else if (step.type === 'Split') split(step, pattern(step, where), step.behavior);
    else refuse(where, String(step.type));
  }

  function metaspace(step: JsonObject): void {
    const sign = step.replacement === undefined ? SPACE_SIGN : text(step, 'replacement', 'pre_tokenizer');
    if (sign !== SPACE_SIGN) refuse('pre_tokenizer', `Metaspace with ${JSON.stringify(sign)} for a space`);
    const scheme = prependScheme(step);
    if (scheme !== 'always' && scheme !== 'first' && scheme !== 'never')
      refuse('pre_tokenizer', `Metaspace with prepend_scheme ${scheme}`);
    signs = true;
    preTokenizers.push({ kind: 'replace', pattern: ' ', text: sign });
    if (scheme !== 'never')
      preTokenizers.push({ kind: 'prefix', text: sign, where: scheme === 'first' ? 'first' : 'all' });
    if (step.split !== false) preTokenizers.push({ kind: 'split', pattern: sign, matches: 'with-next', invert: false });
  }

  function split(step: JsonObject, source: string, behavior: unknown): void {
    const matches = BEHAVIORS.get(behavior);
    if (matches === undefined) refuse('pre_tokenizer', `${step.type} with behavior ${behavior}`);
    preTokenizers.push({ kind: 'split', pattern: source, matches, invert: step.invert === true });
  }

  for (const step of flatten(json.normalizer, 'normalizer', 'normalizers')) normalize(step);
  for (const step of flatten(json.pre_tokenizer, 'pre_tokenizer', 'pretokenizers')) preTokenize(step);
  const decoders = flatten(json.decoder, 'decoder', 'decoders');
  if (bytes === signs)
    refuse('pre_tokenizer', bytes ? 'ByteLevel together with U+2581 for spaces' : 'without ByteLevel or Metaspace');
  return {
    kind: bytes ? 'bytes' : 'spm',
    normalizers,
    preTokenizers,
    stripSpacePrefix: signs && decoders.some(takesSpaceOff) ? 'first-token' : 'none',
    before: readPostProcessor(flatten(json.post_processor, 'post_processor', 'processors'), refuse),
  };
}

/** Files from before prepend_scheme have add_prefix_space, true by default, instead. */
function prependScheme(metaspace: JsonObject): unknown {
  return metaspace.prepend_scheme ?? (metaspace.add_prefix_space === false ? 'never' : 'always');
}

function takesSpaceOff(decoder: JsonObject): boolean {
  return decoder.type === 'Strip' || (decoder.type === 'Metaspace' && prependScheme(decoder) !== 'never');
}

function readPostProcessor(
  steps: readonly JsonObject[],
  refuse: (where: string, what: string) => never,
): number[] | undefined {
  let before: number[] | undefined;
  for (const step of steps) {
    if (step.type === 'ByteLevel') continue; // offsets only
    if (step.type !== 'TemplateProcessing' || !Array.isArray(step.single) || !isJsonObject(step.special_tokens)) {
      refuse('post_processor', String(step.type));
    }
    before = [];
    for (const part of step.single) {
      const name = isJsonObject(part) && isJsonObject(part.SpecialToken) ? part.SpecialToken.id : undefined;
      if (typeof name !== 'string') break; // the text itself; what follows it ends a text, and a prompt has no end
      const token = step.special_tokens[name];
      if (!isJsonObject(token) || !Array.isArray(token.ids))
        refuse('post_processor', `with an undefined token ${name}`);
      before.push(...token.ids);
    }
    if (before.length > 1) refuse('post_processor', 'that puts several tokens before the text');
  }
  return before;
}
