// Codes of 32 weights in super-blocks: two or four bits of 32 neighbouring bytes, and a bit of 32 others.
fn take_bits(taken: ptr<function, Taken>, byte: u32, shift: u32, mask: u32) {
  for (var k = 0u; k < 8u; k++) {
    (*taken).codes[k] = (word_at(byte + 4u * k) >> shift) & mask;
  }
}

fn add_bits(taken: ptr<function, Taken>, byte: u32, shift: u32, mask: u32, to: u32) {
  for (var k = 0u; k < 8u; k++) {
    (*taken).codes[k] |= ((word_at(byte + 4u * k) >> shift) & mask) << to;
  }
}

// Scale and minimum of block `b` among eight of each, of 6 bits, in 12 bytes.
fn take_six_bits(taken: ptr<function, Taken>, byte: u32, b: u32) {
  if (b < 4u) {
    (*taken).first = byte_at(byte + b) & 63u;
    (*taken).second = byte_at(byte + b + 4u) & 63u;
  } else {
    let lower = byte_at(byte + b + 4u);
    (*taken).first = (lower & 15u) | ((byte_at(byte + b - 4u) >> 6u) << 4u);
    (*taken).second = (lower >> 4u) | ((byte_at(byte + b) >> 6u) << 4u);
  }
}
