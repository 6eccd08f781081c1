// Q3_K: third bits, lower two bits, 6-bit scales for each 16, f16 d.
//! include raw raw-k
const BLOCK_BYTES = 110u;

fn take(row: u32, block: u32) -> Taken {
  let at = row + block / 8u * BLOCK_BYTES;
  let b = block % 8u;
  var taken = Taken();
  taken.d = half_at(at + 108u);
  taken.first = scale_at(at + 96u, 2u * b);
  taken.second = scale_at(at + 96u, 2u * b + 1u);
  take_bits(&taken, at + 32u + 32u * (b / 4u), 2u * (b % 4u), 0x03030303u);
  add_bits(&taken, at, b, 0x01010101u, 2u);
  return taken;
}

// Scale i of 16, as int8: lower four bits in 8 bytes, upper two in 4.
fn scale_at(byte: u32, i: u32) -> u32 {
  let lower = (byte_at(byte + i % 8u) >> (4u * (i / 8u))) & 15u;
  let upper = (byte_at(byte + 8u + i % 4u) >> (2u * (i / 4u))) & 3u;
  return ((lower | (upper << 4u)) - 32u) & 0xffu;
}
