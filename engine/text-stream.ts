/** Token ids to text as it may be shown: whole characters, and never a part of a stop string. */
import { FirstlightError } from '../quant/errors.ts';
import type { DecodeOptions, Tokenizer } from './tokenizer.ts';

/** Options of createTextStream(). */
export interface TextStreamOptions extends DecodeOptions {
  /** Texts at which to stop; they are not shown themselves. Default none. */
  readonly stop?: readonly string[] | undefined;
}

/** Turns ids into text as it may be shown: made by createTextStream(). */
export interface TextStream {
  /** What can be shown once this id is there: '' while a character, or what may be a stop string, is incomplete. */
  push(id: number): string;
  /** What was held back, when no more ids come. */
  end(): string;
  /** The stop string that was met; nothing behind it is shown. */
  readonly stopped: string | undefined;
}

/** Throws `bad-argument` for an empty stop string. */
export function createTextStream(tokenizer: Tokenizer, options: TextStreamOptions = {}): TextStream {
  const { stop = [] } = options;
  if (stop.includes(''))
    throw new FirstlightError(
      'bad-argument',
      'a stop string is empty: leave it out, or give it at least one character',
    );
  const decoder = tokenizer.decoder(options);
  let held = ''; // may become a stop string
  let stopped: string | undefined;

  const take = (text: string): string => {
    if (stopped !== undefined) return '';
    held += text;
    const met = firstOf(stop, held);
    if (met) {
      stopped = met.text;
      const shown = held.slice(0, met.at);
      held = '';
      return shown;
    }
    const keep = longestOpening(stop, held);
    const shown = held.slice(0, held.length - keep);
    held = held.slice(held.length - keep);
    return shown;
  };

  return {
    push: (id) => take(decoder.push(id)),
    end() {
      const shown = take(decoder.end()) + held;
      held = '';
      return shown;
    },
    get stopped() {
      return stopped;
    },
  };
}

/** The text that is complete first in `where`, of several the longest: the same however the text came in pieces. */
function firstOf(texts: readonly string[], where: string): { text: string; at: number } | undefined {
  let first: { text: string; at: number } | undefined;
  for (const text of texts) {
    const at = where.indexOf(text);
    if (at < 0) continue;
    const [end, firstEnd] = [at + text.length, first ? first.at + first.text.length : Number.POSITIVE_INFINITY];
    if (end < firstEnd || (end === firstEnd && at < first!.at)) first = { text, at };
  }
  return first;
}

/** How many characters at the end of `where` are the beginning of one of the texts. */
function longestOpening(texts: readonly string[], where: string): number {
  let longest = 0;
  for (const text of texts)
    for (let length = Math.min(text.length - 1, where.length); length > longest; length--)
      if (where.endsWith(text.slice(0, length))) longest = length;
  return longest;
}
