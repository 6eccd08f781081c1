// Rows whose codes lie one after another, weight i in bits 4(i % 8).. of word i / 8.
fn take_row_codes(taken: ptr<function, Taken>, byte: u32, offset: u32) {
  for (var k = 0u; k < 8u; k++) {
    var four = half_at(byte + 2u * k);
    four = (four | (four << 8u)) & 0x00ff00ffu;
    (*taken).codes[k] = ((four | (four << 4u)) & LOWER) + offset;
  }
}
