// Q4_K: f16 d, f16 dmin, 6-bit scales and minima, codes.
//! include raw raw-k
const BLOCK_BYTES = 144u;

fn take(row: u32, block: u32) -> Taken {
  let at = row + block / 8u * BLOCK_BYTES;
  let b = block % 8u;
  var taken = Taken();
  taken.d = half_at(at);
  taken.m = half_at(at + 2u) ^ SIGN;
  take_six_bits(&taken, at + 4u, b);
  take_bits(&taken, at + 16u + 32u * (b / 2u), 4u * (b % 2u), LOWER);
  return taken;
}
