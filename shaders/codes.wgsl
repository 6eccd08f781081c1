// What every codes-*.wgsl answers: the codes of a block of 32 weights, four int8 a word, weight i in byte i % 4 of word i / 4.
struct Codes {
  low: vec4<u32>,  // weights 0..15
  high: vec4<u32>, // weights 16..31
}

// Loading is apart from unpacking, so that a kernel can do something else while a block is on its way: fetch_codes answers it
// as it lies in memory, codes_of what it holds.
fn load_codes(row: u32, block: u32) -> Codes {
  return codes_of(fetch_codes(row, block), block);
}
