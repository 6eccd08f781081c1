/** What is done to a text before it is cut into pieces. */
import type { NormalizationRules, Normalizer, SentencePieceNormalizer } from '../loaders/types.ts';
import { orderMarks } from './mark-order.ts';
import { createTrie } from './trie.ts';

const WHITE_SPACE = /\p{White_Space}/u;
const SPACE_SIGN = '\u2581';
/** Grapheme clusters that are remembered with what they become. */
const MOST_KNOWN = 1 << 14;

/** @returns a function that applies the steps in order; an empty text stays empty */
export function createNormalizer(steps: readonly Normalizer[]): (text: string) => string {
  const compiled = steps.map(compile);
  return (text) => compiled.reduce((soFar, step) => (soFar === '' ? '' : step(soFar)), text);
}

function compile(step: Normalizer): (text: string) => string {
  switch (step.kind) {
    case 'unicode':
      return (text) => orderMarks(text).normalize(step.form);
    case 'lowercase':
      // character by character, in which a sigma at a word's end is like any other
      return (text) => text.replaceAll('\u03a3', '\u03c3').toLowerCase();
    case 'strip':
      return (text) => {
        const rest = step.left ? text.replace(/^\p{White_Space}+/u, '') : text;
        return step.right ? trimEnd(rest) : rest;
      };
    case 'prepend':
      return (text) => step.text + text;
    case 'replace': {
      const pattern = new RegExp(step.pattern, 'gu');
      return (text) => text.replace(pattern, () => step.text);
    }
    case 'graphemes':
      return compileGraphemes(step.rules);
    case 'sentencepiece':
      return compileSentencePiece(step);
  }
}

/** Without white space at its end; a regular expression for this is quadratic in runs of white space. */
export function trimEnd(text: string): string {
  let end = text.length;
  while (end > 0 && WHITE_SPACE.test(text[end - 1]!)) end--;
  return text.slice(0, end);
}

/**
 * As the spm_precompiled crate has it: a rule for the beginning of a short cluster replaces all of it; in clusters
 * without one, and in those of six bytes and more, the characters are looked up one by one.
 */
function compileGraphemes(rules: NormalizationRules): (text: string) => string {
  const segmenter = new Intl.Segmenter('en', { granularity: 'grapheme' });
  const find = (text: string) => rules.find(text, 0, false)?.text;
  const replace = (cluster: string): string =>
    (Buffer.byteLength(cluster) < 6 ? find(cluster) : undefined) ??
    Array.from(cluster, (character) => find(character) ?? character).join('');
  const known = new Map<string, string>();
  return (text) => {
    let out = '';
    for (const { segment } of segmenter.segment(text)) {
      let replaced = known.get(segment);
      if (replaced === undefined) {
        replaced = replace(segment);
        if (segment.length <= 2 && known.size < MOST_KNOWN) known.set(segment, replaced);
      }
      out += replaced;
    }
    return out;
  };
}

function compileSentencePiece(step: SentencePieceNormalizer): (text: string) => string {
  const { trim, dummySpace, rules } = step;
  const kept = createTrie(step.kept.map((text) => [text, text.length]));
  const space = step.escape ? SPACE_SIGN : ' ';

  function keptLength(text: string, start: number): number {
    let length = 0;
    let node = kept.next(0, text.charCodeAt(start));
    for (let at = start + 1; node >= 0; node = kept.next(node, text.charCodeAt(at++))) {
      length = Math.max(length, kept.valueOf(node));
      if (at >= text.length) break;
    }
    return length;
  }

  /** With rules and kept texts applied; undefined for a text of spaces alone that are trimmed. */
  function apply(text: string): string | undefined {
    if (rules === undefined && step.kept.length === 0)
      return !trim ? text : /[^ ]/.test(text) ? text.replace(/^ +/, '').replace(/ {2,}/g, ' ') : undefined;
    const parts: string[] = [];
    let afterSpace = trim;
    let isBlank = true; // nothing but spaces so far
    for (let at = 0; at < text.length; ) {
      const length = keptLength(text, at);
      const rule = length > 0 ? undefined : rules?.find(text, at, true);
      let part = length > 0 ? text.slice(at, at + length) : (rule?.text ?? String.fromCodePoint(text.codePointAt(at)!));
      at += rule?.length ?? part.length;
      isBlank &&= part === ' ';
      if (afterSpace) part = part.replace(/^ +/, '');
      if (part !== '') {
        parts.push(part);
        afterSpace = part.endsWith(' ');
      }
      if (!trim) afterSpace = false;
    }
    return trim && isBlank ? undefined : parts.join('');
  }

  return (text) => {
    const applied = apply(text);
    if (applied === undefined) return '';
    let out = (dummySpace === 'start' ? ' ' : '') + applied;
    if (step.escape) out = out.replaceAll(' ', SPACE_SIGN);
    let end = out.length;
    while (trim && out[end - 1] === space) end--;
    out = out.slice(0, end);
    return dummySpace === 'end' ? out + space : out;
  };
}
