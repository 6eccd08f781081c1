// What every codes-*.wgsl answers: the codes of a block of 32 weights, four int8 a word, weight i in byte i % 4 of word i / 4.
struct Codes {
  low: vec4<u32>,  // weights 0..15
  high: vec4<u32>, // weights 16..31
}
