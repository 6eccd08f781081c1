// Q4_0 and IQ4_NL: f16 scale, codes.
//! include raw
const BLOCK_BYTES = 18u;

fn take(row: u32, block: u32) -> Taken {
  let at = row + block * BLOCK_BYTES;
  var taken = Taken();
  taken.d = half_at(at);
  take_nibbles(&taken, at + 2u);
  return taken;
}
