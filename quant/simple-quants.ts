/** GGML's types of 32 weights with an f16 scale each: https://github.com/ggml-org/ggml, ggml-quants.c. */
import { uint16At } from './bytes.ts';
import type { TakenApart } from './taken-apart.ts';

const BLOCK = 32;

function nibbles(bytes: Uint8Array, at: number, codes: Int8Array): void {
  for (let i = 0; i < BLOCK / 2; i++) {
    const byte = bytes[at + i]!;
    codes[i] = byte & 15;
    codes[i + 16] = byte >> 4;
  }
}

/** A word whose bit i is the fifth of code i. */
function fifthBits(bytes: Uint8Array, at: number, codes: Int8Array): void {
  for (let i = 0; i < BLOCK; i++) codes[i] = codes[i]! | (((bytes[at + (i >> 3)]! >> (i & 7)) & 1) << 4);
}

/** f16 scale, 16 bytes of codes: Q4_0, IQ4_NL. */
export function takeQ4_0(bytes: Uint8Array, at: number, block: TakenApart): void {
  block.d = uint16At(bytes, at);
  nibbles(bytes, at + 2, block.codes);
}

/** f16 scale, f16 minimum, 16 bytes of codes. */
export function takeQ4_1(bytes: Uint8Array, at: number, block: TakenApart): void {
  block.d = uint16At(bytes, at);
  block.m = uint16At(bytes, at + 2);
  nibbles(bytes, at + 4, block.codes);
}

/** f16 scale, 4 bytes of fifth bits, 16 bytes of codes. */
export function takeQ5_0(bytes: Uint8Array, at: number, block: TakenApart): void {
  block.d = uint16At(bytes, at);
  nibbles(bytes, at + 6, block.codes);
  fifthBits(bytes, at + 2, block.codes);
}

/** f16 scale, f16 minimum, 4 bytes of fifth bits, 16 bytes of codes. */
export function takeQ5_1(bytes: Uint8Array, at: number, block: TakenApart): void {
  block.d = uint16At(bytes, at);
  block.m = uint16At(bytes, at + 2);
  nibbles(bytes, at + 8, block.codes);
  fifthBits(bytes, at + 4, block.codes);
}

/** f16 scale, 32 int8. */
export function takeQ8_0(bytes: Uint8Array, at: number, block: TakenApart): void {
  block.d = uint16At(bytes, at);
  for (let i = 0; i < BLOCK; i++) block.codes[i] = bytes[at + 2 + i]!; // wraps to int8
}
