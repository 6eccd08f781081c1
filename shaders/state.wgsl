// What changes from token to token. It lives in one buffer, so that bind groups and recorded commands never change.
struct State {
  position: u32, // of column 0 of this pass in the context
  columns: u32,  // tokens in this pass
  last: u32,     // the column whose logits are wanted
  capacity: u32, // positions the KV cache holds
  // sampling
  seed: u32,
  top_k: u32,
  temperature: f32,
  top_p: f32,
  min_p: f32,
  pad_a: u32,
  pad_b: u32,
  pad_c: u32,
}
