/**
 * Tokenizer files write their regular expressions in Oniguruma's dialect (Hugging Face tokenizers are built on it).
 * This translates what such files use into JavaScript's dialect with the `u` flag and refuses the rest by name, so that
 * a pattern never means something else here than it did in training.
 */
import { FirstlightError } from '../quant/errors.ts';

const ESCAPES: Readonly<Record<string, string>> = {
  // Unicode's definitions; JavaScript's \s has U+FEFF and lacks U+0085, its \d is ASCII only.
  s: '\\p{White_Space}',
  S: '\\P{White_Space}',
  d: '\\p{Nd}',
  D: '\\P{Nd}',
  r: '\\r',
  n: '\\n',
  t: '\\t',
  f: '\\f',
  v: '\\v',
};
const SYNTAX = /[\^$\\.*+?()[\]{}|/]/;

/**
 * Translates an Oniguruma pattern into the source of a JavaScript regular expression (flags 'gu').
 * @param source the pattern as the file has it
 * @param file for messages
 * @throws FirstlightError 'bad-tokenizer' naming the first construct that has no translation here
 */
export function convertRegex(source: string, file: string): string {
  const groups: { readonly start: number; readonly ignoreCase: boolean }[] = [];
  let out = '';
  let at = 0;
  let atomStart = -1; // where in `out` the thing begins that a quantifier would repeat
  let ignoreCase = false;
  let atomics = 0;

  function refuse(construct: string): never {
    throw new FirstlightError(
      'bad-tokenizer',
      `${file}: the regular expression ${JSON.stringify(source)} uses ${construct}, which firstlight does not translate; use a GGUF file of this model`,
    );
  }

  function take(pattern: RegExp): string | undefined {
    pattern.lastIndex = at;
    const found = pattern.exec(source)?.[0];
    if (found !== undefined) at += found.length;
    return found;
  }

  /** An escape that means the same inside and outside a class. */
  function readEscape(inClass: boolean): string {
    const property = take(/\\[pP]\{\^?[\w ]+\}/y);
    if (property !== undefined) return convertProperty(property, refuse);
    const hex = take(/\\(?:x\{[0-9A-Fa-f]{1,6}\}|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4})/y);
    if (hex !== undefined) return `\\u{${hex.slice(2).replace(/[{}]/g, '')}}`;
    const letter = source[at + 1];
    if (letter === undefined) refuse('a backslash at its end');
    at += 2;
    const known = ESCAPES[letter];
    if (known !== undefined) return known;
    if (/[0-9A-Za-z]/.test(letter)) refuse(`\\${letter}`);
    return SYNTAX.test(letter) || (inClass && letter === '-') ? `\\${letter}` : letter;
  }

  function literal(): string {
    const character = String.fromCodePoint(source.codePointAt(at) ?? 0);
    at += character.length;
    return character;
  }

  function characterClass(): string {
    let text = take(/\[\^?/y) ?? '';
    if (source[at] === ']') refuse('a class that begins with ]');
    while (source[at] !== ']') {
      if (at >= source.length) refuse('a class without end');
      if (source[at] === '[') refuse(source[at + 1] === ':' ? 'a POSIX class' : 'a class within a class');
      if (source.startsWith('&&', at)) refuse('an intersection of classes (&&)');
      if (source[at] === '\\') text += readEscape(true);
      else if (!ignoreCase) text += literal();
      else if (source[at] === '-') refuse('a range within (?i:...)');
      else text += caseVariants(literal()).join('');
    }
    at++;
    return `${text}]`;
  }

  function quantifier(text: string): void {
    if (atomStart < 0) refuse(`${text} with nothing before it`);
    const atom = out.slice(atomStart);
    const counted = text.startsWith('{');
    if (counted && text.startsWith('{,')) text = `{0${text.slice(1)}`;
    out = `${out.slice(0, atomStart)}${atom}${text}`;
    if (source[at] === '?') {
      if (counted) refuse(`${text}?`);
      at++;
      out += '?';
    } else if (source[at] === '+' && counted) {
      // Not possessive in this dialect: the counted thing, repeated.
      at++;
      out = `${out.slice(0, atomStart)}(?:${atom}${text})+`;
    } else if (source[at] === '+') {
      // A possessive match is never given back. JavaScript has that for what a lookahead found.
      at++;
      const name = `atomic${atomics++}`;
      out = `${out.slice(0, atomStart)}(?=(?<${name}>${atom}${text}))\\k<${name}>`;
    }
    atomStart = -1;
  }

  while (at < source.length) {
    const repeat = take(/[*+?]|\{\d+(?:,\d*)?\}|\{,\d+\}/y);
    if (repeat !== undefined) {
      quantifier(repeat);
      continue;
    }
    const start = out.length;
    const open = take(/\((?:\?(?:[:=!]|<[=!]|i:))?/y);
    if (open !== undefined) {
      if (source[at] === '?') refuse(`(${source.slice(at, at + 2)}`);
      groups.push({ start, ignoreCase });
      if (open === '(?i:') ignoreCase = true;
      out += open === '(' || open === '(?i:' ? '(?:' : open; // nothing refers back to a group
      atomStart = -1;
      continue;
    }
    const character = source[at];
    atomStart = start;
    if (character === ')') {
      const group = groups.pop();
      if (group === undefined) refuse('a ) without its (');
      at++;
      out += ')';
      ignoreCase = group.ignoreCase;
      atomStart = group.start;
    } else if (character === '|') {
      at++;
      out += '|';
      atomStart = -1;
    } else if (character === '[') out += characterClass();
    else if (character === '\\') out += readEscape(false);
    else if (character === '.') out += take(/\./y) && '[^\\n]';
    else if (character === '^') out += take(/\^/y) && '(?<![^\\n])';
    else if (character === '$') out += take(/\$/y) && '(?![^\\n])';
    else {
      const variants = ignoreCase ? caseVariants(literal()) : [literal()];
      const [only = ''] = variants;
      out += variants.length > 1 ? `[${variants.join('')}]` : SYNTAX.test(only) ? `\\${only}` : only;
    }
  }
  if (groups.length > 0) refuse('a ( without its )');
  try {
    new RegExp(out, 'gu');
  } catch {
    refuse(`a construct that translates to ${out}`);
  }
  return out;
}

/** A character in both cases, and with the one further character that Unicode folds to it. */
function caseVariants(character: string): string[] {
  const lower = character.toLowerCase();
  const further = lower === 's' ? ['\u017f'] : lower === 'k' ? ['\u212a'] : [];
  return [...new Set([character, lower, character.toUpperCase(), ...further])].filter(
    (variant) => [...variant].length === 1,
  );
}

/** `\p{L}`, `\p{Lu}` and the like stay; `\p{Han}` is a script. */
function convertProperty(property: string, refuse: (construct: string) => never): string {
  const negated = property.startsWith('\\P') !== property.includes('^');
  const name = property.replace(/^\\[pP]\{\^?|\}$/g, '');
  const javascript = /^[CLMNPSZ][a-z]?$/.test(name) ? name : `Script=${name}`;
  const converted = `\\${negated ? 'P' : 'p'}{${javascript}}`;
  try {
    new RegExp(converted, 'u');
  } catch {
    refuse(property);
  }
  return converted;
}

/** The source of a regular expression that matches `text` itself. */
export function literalPattern(text: string): string {
  return text.replace(new RegExp(SYNTAX, 'g'), '\\$&');
}
