// Results of attention over parts of the keys: [column][head][SPLITS][HEAD_STRIDE + 2], the output of one part and then
// its largest score and its sum of exp(score - largest).
//! include kv-place
//! param SPLITS u32
fn partial_place(column: u32, head: u32, split: u32) -> u32 {
  return ((column * KV_HEADS * GROUP + head) * SPLITS + split) * (HEAD_STRIDE + 2u);
}
