// Q2_K: 4-bit scales and minima for each 16, codes, f16 d, f16 dmin.
//! include raw raw-k
const BLOCK_BYTES = 84u;

fn take(row: u32, block: u32) -> Taken {
  let at = row + block / 8u * BLOCK_BYTES;
  let b = block % 8u;
  var taken = Taken();
  taken.d = half_at(at + 80u);
  taken.m = half_at(at + 82u) ^ SIGN;
  taken.first = byte_at(at + 2u * b);
  taken.second = byte_at(at + 2u * b + 1u);
  take_bits(&taken, at + 16u + 32u * (b / 4u), 2u * (b % 4u), 0x03030303u);
  return taken;
}
