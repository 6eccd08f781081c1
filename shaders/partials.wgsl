// Results of attention over parts of the keys: in `partials` the output of each part, in `shares` its largest score and its
// sum of exp(score - largest).
//! include state-read splits
//! param HEADS u32
//! param HEAD_STRIDE u32
//! param WINDOW u32

// partials: [column][head][SPLITS][HEAD_STRIDE], shares: [column][head][SPLITS]
fn part_index(column: u32, head: u32, part: u32) -> u32 {
  return (column * HEADS + head) * SPLITS + part;
}

// Keys that a column sees, itself included.
fn keys_seen(column: u32) -> u32 {
  let keys = position_of(column) + 1u;
  return select(keys, min(keys, WINDOW), WINDOW > 0u);
}
