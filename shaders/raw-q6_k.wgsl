// Q6_K: lower four bits, upper two bits, int8 scales for each 16, f16 d.
//! include raw raw-k
const BLOCK_BYTES = 210u;

fn take(row: u32, block: u32) -> Taken {
  let at = row + block / 8u * BLOCK_BYTES;
  let b = block % 8u;
  var taken = Taken();
  taken.d = half_at(at + 208u);
  taken.first = byte_at(at + 192u + 2u * b);
  taken.second = byte_at(at + 193u + 2u * b);
  take_bits(&taken, at + 64u * (b / 4u) + 32u * (b % 2u), 4u * (b / 2u % 2u), LOWER);
  add_bits(&taken, at + 128u + 32u * (b / 4u), 2u * (b % 4u), 0x03030303u, 4u);
  return taken;
}
