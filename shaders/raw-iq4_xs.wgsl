// IQ4_XS: f16 d, 6-bit scales, indices.
//! include raw
const BLOCK_BYTES = 136u;

fn take(row: u32, block: u32) -> Taken {
  let at = row + block / 8u * BLOCK_BYTES;
  let b = block % 8u;
  var taken = Taken();
  taken.d = half_at(at);
  let lower = (byte_at(at + 4u + b / 2u) >> (4u * (b % 2u))) & 15u;
  let upper = (half_at(at + 2u) >> (2u * b)) & 3u;
  taken.first = ((lower | (upper << 4u)) - 32u) & 0xffu;
  taken.second = taken.first;
  take_nibbles(&taken, at + 8u + 16u * b);
  return taken;
}
