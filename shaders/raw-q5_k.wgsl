// Q5_K: f16 d, f16 dmin, 6-bit scales and minima, fifth bits, codes.
//! include raw raw-k
const BLOCK_BYTES = 176u;

fn take(row: u32, block: u32) -> Taken {
  let at = row + block / 8u * BLOCK_BYTES;
  let b = block % 8u;
  var taken = Taken();
  taken.d = half_at(at);
  taken.m = half_at(at + 2u) ^ SIGN;
  take_six_bits(&taken, at + 4u, b);
  take_bits(&taken, at + 48u + 32u * (b / 2u), 4u * (b % 2u), LOWER);
  add_bits(&taken, at + 16u, b, 0x01010101u, 4u);
  return taken;
}
