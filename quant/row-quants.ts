/**
 * Types whose codes and scales lie in planes, as MLC, GPTQ and AWQ store them: a row is the codes of all its weights, weight i
 * in bits 4(i % 8).. of word i / 8, and behind them what belongs to its groups.
 */
import { uint16At } from './bytes.ts';
import type { TakenApart } from './taken-apart.ts';

function nibbles(bytes: Uint8Array, at: number, count: number, offset: number, codes: Int8Array): void {
  for (let i = 0; i < count; i++) codes[i] = ((bytes[at + (i >> 1)]! >> (4 * (i & 1))) & 15) + offset;
}

/** MLC's q4f16: weight = scale * (code - 7) with codes up to 14, which is code + 1 where 8 is zero; an f16 scale for 32. */
export function takeMlc4(bytes: Uint8Array, row: number, cols: number, nth: number, block: TakenApart): void {
  nibbles(bytes, row + 16 * nth, 32, 1, block.codes);
  block.d = uint16At(bytes, row + cols / 2 + 2 * nth);
}

const wide = new Uint8Array(4);
const wideValue = new Float32Array(wide.buffer);

/** MLC's q4f32: the same with an f32 scale. */
export function takeMlc4Wide(bytes: Uint8Array, row: number, cols: number, nth: number, block: TakenApart): void {
  nibbles(bytes, row + 16 * nth, 32, 1, block.codes);
  wide.set(bytes.subarray(row + cols / 2 + 4 * nth, row + cols / 2 + 4 * nth + 4));
  block.wide = wideValue[0]!;
}

/** GPTQ's and AWQ's groups: weight = scale * (code - zero); f16 scales of all groups, then f16 zeros of all groups. */
export function takeGroup4(group: number) {
  return (bytes: Uint8Array, row: number, cols: number, nth: number, block: TakenApart): void => {
    nibbles(bytes, row + (group / 2) * nth, group, 0, block.codes);
    const groups = cols / group;
    block.d = uint16At(bytes, row + cols / 2 + 2 * nth);
    block.m = uint16At(bytes, row + cols / 2 + 2 * (groups + nth));
  };
}
