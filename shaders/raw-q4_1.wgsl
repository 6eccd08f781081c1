// Q4_1: f16 scale, f16 minimum, codes.
//! include raw
const BLOCK_BYTES = 20u;

fn take(row: u32, block: u32) -> Taken {
  let at = row + block * BLOCK_BYTES;
  var taken = Taken();
  taken.d = half_at(at);
  taken.m = half_at(at + 2u);
  take_nibbles(&taken, at + 4u);
  return taken;
}
