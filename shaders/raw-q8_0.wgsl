// Q8_0: f16 scale, int8 codes.
//! include raw
const BLOCK_BYTES = 34u;

fn take(row: u32, block: u32) -> Taken {
  let at = row + block * BLOCK_BYTES;
  var taken = Taken();
  taken.d = half_at(at);
  for (var k = 0u; k < 8u; k++) {
    taken.codes[k] = word_at(at + 2u + 4u * k);
  }
  return taken;
}
