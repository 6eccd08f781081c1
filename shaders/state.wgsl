// What changes from pass to pass. It lives in one buffer, so that bind groups never change.
struct Place {
  position: u32, // in its sequence
  slot: u32,     // the sequence's part of the KV cache, its sampler and its ring of chosen tokens
  output: u32,   // places[i].output is the column that output i comes from
  pad: u32,
}

struct State {
  columns: u32,  // tokens in this pass
  outputs: u32,  // columns whose logits are wanted
  capacity: u32, // positions that a slot of the KV cache holds
  advance: u32,  // 1: choosing a token prepares the next pass, of one column for every output
  places: array<Place>, // [column]
}
