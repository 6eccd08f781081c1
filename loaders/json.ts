/** JSON from files that nobody has checked. */
import { FirstlightError } from '../quant/errors.ts';

/** Deeper than any configuration or tokenizer; JSON.parse itself would take memory for millions of open brackets. */
const MAX_DEPTH = 64;

export type JsonObject = Readonly<Record<string, unknown>>;

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Parses a whole JSON text in UTF-8.
 *
 * @param name what the bytes are, for messages
 * @throws `bad-file` for wrong UTF-8, wrong JSON, more than 64 levels, or a key that stands twice in the outermost object
 */
export function parseJson(bytes: Uint8Array, name: string): unknown {
  const text = decodeUtf8(bytes, name);
  try {
    checkStructure(text);
    return JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new FirstlightError('bad-file', `${name} is no valid JSON (${oneLine(reason)}): get the file again`, {
      cause: error,
    });
  }
}

/** @throws `bad-file` for bytes that are no UTF-8; a byte order mark is left out */
export function decodeUtf8(bytes: Uint8Array, name: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new FirstlightError('bad-file', `${name} is no UTF-8 text: get the file again`, { cause: error });
  }
}

/** Finds what JSON.parse lets pass, in one walk over the text. Wrong JSON is left to JSON.parse. */
function checkStructure(text: string): void {
  const keys = new Set<string>();
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (char === '{' || char === '[') {
      if (++depth > MAX_DEPTH) throw new Error(`nested more than ${MAX_DEPTH} deep`);
    } else if (char === '}' || char === ']') {
      depth--;
    } else if (char === '"') {
      const end = stringEnd(text, i);
      if (depth === 1 && isColonNext(text, end)) {
        const key: string = JSON.parse(text.slice(i, end));
        if (keys.has(key)) throw new Error(`key ${JSON.stringify(key)} appears twice`);
        keys.add(key);
      }
      i = end - 1;
    }
  }
}

/** Index behind the closing quote of the string that begins at `start`. */
function stringEnd(text: string, start: number): number {
  let i = start + 1;
  while (i < text.length && text[i] !== '"') i += text[i] === '\\' ? 2 : 1;
  return i + 1;
}

function isColonNext(text: string, start: number): boolean {
  let i = start;
  while (/\s/.test(text[i] ?? '')) i++;
  return text[i] === ':';
}

/** V8 quotes the text around an error, line breaks included. */
function oneLine(message: string): string {
  return message.replace(/\s+/g, ' ').slice(0, 200);
}
