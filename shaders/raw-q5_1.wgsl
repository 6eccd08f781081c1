// Q5_1: f16 scale, f16 minimum, fifth bits, codes.
//! include raw raw-fifth
const BLOCK_BYTES = 24u;

fn take(row: u32, block: u32) -> Taken {
  let at = row + block * BLOCK_BYTES;
  var taken = Taken();
  taken.d = half_at(at);
  taken.m = half_at(at + 2u);
  take_nibbles(&taken, at + 8u);
  add_fifth_bits(&taken, word_at(at + 4u));
  return taken;
}
