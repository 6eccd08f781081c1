/**
 * SentencePiece's normalisation rules (`precompiled_charsmap`): u32 length and bytes of a double-array trie of UTF-8
 * keys, then the texts that its values point at, each with a NUL behind it. A unit of the trie (32 bits) is a node:
 * bits 0-7 the byte that leads here, 8 whether a value lies at its base, 10-31 (with bit 9 in units of 256) the offset
 * to its base; or, where bit 31 is set, a value. A child lies at base ^ byte. As in Darts-clone
 * (https://github.com/s-yata/darts-clone).
 */
import { FirstlightError } from '../quant/errors.ts';
import type { NormalizationRules } from './types.ts';

/** The longest text of Unicode's own rules has an eighth of it. */
const MAX_TEXT_BYTES = 256;

/**
 * @param file for messages
 * @throws `bad-tokenizer` when the bytes are no such rules
 */
export function readCharsMap(bytes: Uint8Array, file: string): NormalizationRules {
  if (bytes.length < 4) throw damaged(file);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const trieBytes = view.getUint32(0, true);
  if (trieBytes === 0 || trieBytes % 4 !== 0 || trieBytes > bytes.length - 4) throw damaged(file);
  const units = new Uint32Array(trieBytes / 4);
  for (let i = 0; i < units.length; i++) units[i] = view.getUint32(4 + 4 * i, true);
  const texts = readTexts(bytes.subarray(4 + trieBytes), file);

  /** The node that a byte leads to; -1 where there is none. */
  const next = (node: number, byte: number): number => {
    const child = baseOf(units, node) ^ byte;
    return (units[child]! & 0x800000ff) === byte && child < units.length ? child : -1;
  };

  return {
    find(text, start, longest) {
      let found: { length: number; text: string } | undefined;
      let node = 0;
      for (let at = start; at < text.length && node >= 0; ) {
        const code = text.codePointAt(at)!;
        at += code > 0xffff ? 2 : 1;
        if (code < 0x80) node = next(node, code);
        else for (const byte of utf8(code)) node = node < 0 ? node : next(node, byte);
        if (node < 0 || (units[node]! & 0x100) === 0) continue;
        const replacement = texts.get(units[baseOf(units, node)]! & 0x7fffffff);
        if (replacement === undefined) throw damaged(file);
        found = { length: at - start, text: replacement };
        if (!longest) break;
      }
      return found;
    },
  };
}

function baseOf(units: Uint32Array, node: number): number {
  const unit = units[node]!;
  return node ^ ((unit >>> 10) << ((unit & 0x200) >>> 6));
}

/** The texts by the place where they begin. */
function readTexts(bytes: Uint8Array, file: string): ReadonlyMap<number, string> {
  const texts = new Map<number, string>();
  for (let start = 0; start < bytes.length; ) {
    const end = bytes.indexOf(0, start);
    if (end < 0 || end - start > MAX_TEXT_BYTES) throw damaged(file);
    texts.set(start, Buffer.from(bytes.subarray(start, end)).toString());
    start = end + 1;
  }
  return texts;
}

/** The bytes of a character beyond ASCII. */
function utf8(code: number): number[] {
  const tail = (shift: number) => 0x80 | ((code >>> shift) & 0x3f);
  if (code < 0x800) return [0xc0 | (code >>> 6), tail(0)];
  if (code < 0x10000) return [0xe0 | (code >>> 12), tail(6), tail(0)];
  return [0xf0 | (code >>> 18), tail(12), tail(6), tail(0)];
}

function damaged(file: string): FirstlightError {
  return new FirstlightError(
    'bad-tokenizer',
    `${file} has damaged normalisation rules (precompiled_charsmap): get the file again`,
  );
}
