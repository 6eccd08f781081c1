/**
 * Templates: `{name}` is replaced by what `look` says (which may hold templates itself), `[one|two|three]` by one of
 * its choices, `a~` by `a` or `an`. Nested choices are allowed.
 */
import { assert } from '../../../quant/errors.ts';
import type { Random } from './random.ts';

/** Says what a slot stands for. */
export type Look = (slot: string) => string;

const INNERMOST_CHOICE = /\[([^[\]]*)\]/;
const SLOT = /\{([^{}]+)\}/;

// After `!"` and `?"` only a verb of speech goes on with the sentence.
const SENTENCE_AFTER_CALL =
  /([!?]" )(t(?=he )|h(?=is |er ))(?=[a-z]+ [a-z]+ (?!asked|shouted|said|cried|called|whispered)[a-z]+)/g;

/** Fills a template completely; throws when templates refer to each other without end. */
export function fill(template: string, look: Look, random: Random): string {
  let text = template;
  for (let round = 0; ; round++) {
    assert(round < 400, `template does not end: ${template}`);
    // Choices first: slots of a branch not taken must not be looked up.
    const choice = INNERMOST_CHOICE.exec(text);
    if (choice) {
      text = splice(text, choice, random.pick(choice[1]!.split('|')));
      continue;
    }
    const slot = SLOT.exec(text);
    if (!slot) return text;
    text = splice(text, slot, look(slot[1]!));
  }
}

/** Articles, spaces and capitals, once all the words are there. */
export function polish(text: string): string {
  return text
    .replace(/\b([Aa])~ (["']?)([A-Za-z])/g, (_, article: string, quote: string, letter: string) => {
      return `${article}${/[aeiou]/i.test(letter) ? 'n' : ''} ${quote}${letter}`;
    })
    .replace(/ +/g, ' ')
    .replace(/(^"?|[.!?] "?|[.]" "?|\n"?)([a-z])/g, (_, before: string, letter: string) => {
      return before + letter.toUpperCase();
    })
    .replace(SENTENCE_AFTER_CALL, (_, before: string, letter: string) => before + letter.toUpperCase())
    .trim();
}

function splice(text: string, match: RegExpExecArray, replacement: string): string {
  return text.slice(0, match.index) + replacement + text.slice(match.index + match[0].length);
}
