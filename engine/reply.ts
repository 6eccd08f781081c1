/** What a chat model's text says: its reasoning, what it answers, and which functions it wants called. */

export type ReplyPart =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'reasoning'; readonly text: string }
  /** `input` is JSON. */
  | { readonly kind: 'call'; readonly name: string; readonly input: string };

export interface ReplyOptions {
  /** The prompt has already opened the reasoning. Default false. */
  readonly thinking?: boolean | undefined;
  /** Names of the functions that the model was told of; calls of others stay text. Default none. */
  readonly functions?: ReadonlySet<string> | undefined;
}

/** Takes the text piece by piece; what `push` and `end` answer is the whole of it, in order. */
export interface ReplyReader {
  push(text: string): ReplyPart[];
  end(): ReplyPart[];
}

const THINK = '<think>';
const THINK_END = '</think>';
const CALL = '<tool_call>';
const CALL_END = '</tool_call>';

/**
 * Reads the reasoning of models that write it in <think> tags, and calls of functions in the two ways that are usual: JSON in
 * <tool_call> tags (Qwen, Hermes), and a text that is nothing but JSON (Llama 3 an object, Mistral a list).
 */
export function createReplyReader({ thinking = false, functions = new Set() }: ReplyOptions = {}): ReplyReader {
  let state: 'start' | 'reasoning' | 'text' | 'call' | 'json' = thinking ? 'reasoning' : 'start';
  let held = ''; // not yet understood
  let trims = false; // white space behind reasoning or a call is not shown
  const calls = functions.size > 0;

  function* read(ended: boolean): Generator<ReplyPart> {
    for (;;) {
      if (trims) held = held.trimStart();
      if (held !== '') trims = false;
      if (state === 'start') {
        const begun = held.trimStart();
        if (begun === '' || (!ended && THINK.startsWith(begun))) break;
        if (begun.startsWith(THINK)) {
          held = begun.slice(THINK.length);
          state = 'reasoning';
        } else if (calls && /^[[{]/.test(begun)) state = 'json';
        else state = 'text';
      } else if (state === 'reasoning') {
        const { before, found } = split(THINK_END, ended);
        if (before !== '') yield { kind: 'reasoning', text: before };
        if (!found) break;
        trims = true;
        state = 'start';
      } else if (state === 'text') {
        const { before, found } = calls ? split(CALL, ended, true) : take();
        if (before !== '') yield { kind: 'text', text: before };
        if (!found) break;
        state = 'call';
      } else if (state === 'call') {
        const at = held.indexOf(CALL_END);
        if (at < 0 && !ended) break;
        const body = at < 0 ? held : held.slice(0, at);
        held = at < 0 ? '' : held.slice(at + CALL_END.length);
        const found = callsOf(body);
        yield* found ?? [{ kind: 'text', text: CALL + body + (at < 0 ? '' : CALL_END) }];
        trims = found !== undefined;
        state = 'text';
      } else {
        if (!ended) break;
        yield* callsOf(held) ?? [{ kind: 'text', text: held }];
        held = '';
        break;
      }
    }
  }

  function take(): { before: string; found: boolean } {
    const before = held;
    held = '';
    return { before, found: false };
  }

  /**
   * What stands before a mark; takes it and the mark, or all that cannot be the mark's beginning. With `spaced` the white
   * space before the mark belongs to it.
   */
  function split(mark: string, ended: boolean, spaced = false): { before: string; found: boolean } {
    const at = held.indexOf(mark);
    const end = at < 0 ? held.length - (ended ? 0 : openingLength(held, mark)) : at;
    const text = held.slice(0, end);
    const before = spaced && !(ended && at < 0) ? text.trimEnd() : text;
    held = at < 0 ? held.slice(before.length) : held.slice(at + mark.length);
    return { before, found: at >= 0 };
  }

  /** Undefined for a text that is no call of the functions. */
  function callsOf(text: string): ReplyPart[] | undefined {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      return undefined;
    }
    const found: ReplyPart[] = [];
    for (const one of Array.isArray(value) ? value : [value]) {
      if (typeof one !== 'object' || one === null) return undefined;
      const { name, arguments: given, parameters } = one as Record<string, unknown>;
      if (typeof name !== 'string' || !functions.has(name)) return undefined;
      const input = given ?? parameters ?? {};
      found.push({ kind: 'call', name, input: typeof input === 'string' ? input : JSON.stringify(input) });
    }
    return found.length > 0 ? found : undefined;
  }

  return {
    push(text) {
      held += text;
      return [...read(false)];
    },
    end() {
      const parts = [...read(true)];
      const rest = state === 'start' && held.trim() !== '' ? held : '';
      held = '';
      return rest === '' ? parts : [...parts, { kind: 'text', text: rest }];
    },
  };
}

/** How many characters at the end of `text` are the beginning of `mark`. */
function openingLength(text: string, mark: string): number {
  for (let length = Math.min(mark.length - 1, text.length); length > 0; length--)
    if (text.endsWith(mark.slice(0, length))) return length;
  return 0;
}
