// The fifth bits of 32 codes in a word, bit i for weight i.
fn add_fifth_bits(taken: ptr<function, Taken>, bits: u32) {
  for (var k = 0u; k < 8u; k++) {
    let four = bits >> (4u * k);
    let spread = (four & 1u) | ((four & 2u) << 7u) | ((four & 4u) << 14u) | ((four & 8u) << 21u);
    (*taken).codes[k] |= spread << 4u;
  }
}
