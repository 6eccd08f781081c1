// Blocks as they lie in a file, at even bytes. Every raw-*.wgsl answers the codes of 32 weights as load_codes would (eight words
// of four bytes), and their scales.
@group(0) @binding(1) var<storage, read> raw: array<u32>; // rows of blocks

struct Taken {
  codes: array<u32, 8>,
  d: u32,      // f16, or f32 where it is WIDE
  m: u32,      // f16, where there are minima or zeros
  first: u32,  // the two bytes that scales-*.wgsl reads for a block, where it reads any
  second: u32,
}

const LOWER = 0x0f0f0f0fu;
const SIGN = 0x8000u; // K quants subtract their minima

fn word_at(byte: u32) -> u32 {
  let low = raw[byte / 4u];
  if (byte % 4u == 0u) {
    return low;
  }
  return (low >> 16u) | (raw[byte / 4u + 1u] << 16u);
}

fn half_at(byte: u32) -> u32 {
  return (raw[byte / 4u] >> (8u * (byte % 4u))) & 0xffffu;
}

fn byte_at(byte: u32) -> u32 {
  return (raw[byte / 4u] >> (8u * (byte % 4u))) & 0xffu;
}

// 16 bytes: the codes of the weights i in their lower halves, of i + 16 in the upper ones.
fn take_nibbles(taken: ptr<function, Taken>, byte: u32) {
  for (var k = 0u; k < 4u; k++) {
    let word = word_at(byte + 4u * k);
    (*taken).codes[k] = word & LOWER;
    (*taken).codes[k + 4u] = (word >> 4u) & LOWER;
  }
}
