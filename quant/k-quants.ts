/**
 * GGML's types of 256 weights ("super-blocks") whose scales are quantised themselves: https://github.com/ggml-org/ggml,
 * ggml-quants.c. Minima are subtracted there and added here, so their f16 changes its sign.
 */
import { uint16At } from './bytes.ts';
import type { TakenApart } from './taken-apart.ts';

const SUPER = 256;
const SIGN = 0x8000;

/** Q2_K: 16 bytes of 4-bit scales and minima, 64 bytes of codes, f16 d, f16 dmin. */
export function takeQ2_K(bytes: Uint8Array, at: number, block: TakenApart): void {
  const { codes, scales, minima } = block;
  for (let i = 0; i < 16; i++) {
    scales[i] = bytes[at + i]! & 15;
    minima[i] = bytes[at + i]! >> 4;
  }
  twoBits(bytes, at + 16, codes);
  block.d = uint16At(bytes, at + 80);
  block.m = uint16At(bytes, at + 82) ^ SIGN;
}

/** 128 weights to 32 bytes: weight 32j + l of them in bits 2j, 2j + 1 of byte l. Q2_K and Q3_K. */
function twoBits(bytes: Uint8Array, at: number, codes: Int8Array): void {
  for (let i = 0; i < SUPER; i++) {
    const byte = bytes[at + ((i >> 7) << 5) + (i & 31)]!;
    codes[i] = (byte >> (2 * ((i >> 5) & 3))) & 3;
  }
}

/** Q3_K: 32 bytes of third bits, 64 bytes of lower two, 12 bytes of 6-bit scales, f16 d. */
export function takeQ3_K(bytes: Uint8Array, at: number, block: TakenApart): void {
  const { codes, scales } = block;
  twoBits(bytes, at + 32, codes);
  for (let i = 0; i < SUPER; i++) codes[i] = codes[i]! | (((bytes[at + (i & 31)]! >> (i >> 5)) & 1) << 2);
  const packed = at + 96; // lower four bits of 16 scales in 8 bytes, then the upper two of scale i in byte 8 + i % 4
  for (let i = 0; i < 16; i++) {
    const low = i < 8 ? bytes[packed + i]! & 15 : bytes[packed + i - 8]! >> 4;
    const high = (bytes[packed + 8 + (i & 3)]! >> (2 * (i >> 2))) & 3;
    scales[i] = (low | (high << 4)) - 32;
  }
  block.d = uint16At(bytes, at + 108);
}

/** Q4_K: f16 d, f16 dmin, 12 bytes of 6-bit scales and minima, 128 bytes of codes. */
export function takeQ4_K(bytes: Uint8Array, at: number, block: TakenApart): void {
  block.d = uint16At(bytes, at);
  block.m = uint16At(bytes, at + 2) ^ SIGN;
  sixBits(bytes, at + 4, block);
  byPairs(bytes, at + 16, block.codes);
}

/** Q5_K: as Q4_K, with 32 bytes of fifth bits before the codes. */
export function takeQ5_K(bytes: Uint8Array, at: number, block: TakenApart): void {
  const { codes } = block;
  block.d = uint16At(bytes, at);
  block.m = uint16At(bytes, at + 2) ^ SIGN;
  sixBits(bytes, at + 4, block);
  byPairs(bytes, at + 48, codes);
  for (let i = 0; i < SUPER; i++) codes[i] = codes[i]! | (((bytes[at + 16 + (i & 31)]! >> (i >> 5)) & 1) << 4);
}

/** Codes of 64 weights in 32 bytes: the first 32 in the lower halves, the others in the upper ones. */
function byPairs(bytes: Uint8Array, at: number, codes: Int8Array): void {
  for (let i = 0; i < SUPER; i++) {
    const byte = bytes[at + ((i >> 6) << 5) + (i & 31)]!;
    codes[i] = (i & 32) === 0 ? byte & 15 : byte >> 4;
  }
}

/** Eight scales and eight minima of 6 bits in 12 bytes, each for 32 weights. */
function sixBits(bytes: Uint8Array, at: number, { scales, minima }: TakenApart): void {
  for (let i = 0; i < 8; i++) {
    let scale: number;
    let minimum: number;
    if (i < 4) {
      scale = bytes[at + i]! & 63;
      minimum = bytes[at + i + 4]! & 63;
    } else {
      scale = (bytes[at + i + 4]! & 15) | ((bytes[at + i - 4]! >> 6) << 4);
      minimum = (bytes[at + i + 4]! >> 4) | ((bytes[at + i]! >> 6) << 4);
    }
    scales[2 * i] = scale;
    scales[2 * i + 1] = scale;
    minima[2 * i] = minimum;
    minima[2 * i + 1] = minimum;
  }
}

/** Q6_K: 128 bytes of lower four bits, 64 bytes of upper two, 16 int8 scales, f16 d. */
export function takeQ6_K(bytes: Uint8Array, at: number, block: TakenApart): void {
  const { codes, scales } = block;
  for (let i = 0; i < SUPER; i++) {
    const chunk = i >> 7; // of 128
    const quarter = (i >> 5) & 3;
    const l = i & 31;
    const byte = bytes[at + 64 * chunk + 32 * (quarter & 1) + l]!;
    const low = quarter < 2 ? byte & 15 : byte >> 4;
    const high = (bytes[at + 128 + 32 * chunk + l]! >> (2 * quarter)) & 3;
    codes[i] = low | (high << 4);
  }
  for (let i = 0; i < 16; i++) scales[i] = bytes[at + 192 + i]!; // wraps to int8
  block.d = uint16At(bytes, at + 208);
}

/** IQ4_XS: f16 d, upper two bits of eight 6-bit scales in a halfword, lower four in 4 bytes, 128 bytes of codes. */
export function takeIQ4_XS(bytes: Uint8Array, at: number, block: TakenApart): void {
  const { codes, scales } = block;
  block.d = uint16At(bytes, at);
  const upper = uint16At(bytes, at + 2);
  for (let i = 0; i < 8; i++) {
    const low = (bytes[at + 4 + (i >> 1)]! >> (4 * (i & 1))) & 15;
    const scale = (low | (((upper >> (2 * i)) & 3) << 4)) - 32;
    scales[2 * i] = scale;
    scales[2 * i + 1] = scale;
  }
  for (let i = 0; i < SUPER; i++) {
    const byte = bytes[at + 8 + ((i >> 5) << 4) + (i & 15)]!;
    codes[i] = (i & 16) === 0 ? byte & 15 : byte >> 4;
  }
}
