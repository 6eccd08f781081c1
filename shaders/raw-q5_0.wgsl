// Q5_0: f16 scale, fifth bits, codes.
//! include raw raw-fifth
const BLOCK_BYTES = 22u;

fn take(row: u32, block: u32) -> Taken {
  let at = row + block * BLOCK_BYTES;
  var taken = Taken();
  taken.d = half_at(at);
  take_nibbles(&taken, at + 6u);
  add_fifth_bits(&taken, word_at(at + 2u));
  return taken;
}
