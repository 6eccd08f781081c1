// Ends the output matrix: logits, and the best of every 32 rows for the choice of the next token.
//! include state-read rows cap-$CAPPED
//! param VOCAB u32
@group(0) @binding(5) var<storage, read_write> logits: array<f32>;        // [column][VOCAB padded to 32]
@group(0) @binding(6) var<storage, read_write> peaks: array<vec2<f32>>;   // [column][block of 32 rows]: best logit, its id as bits

// As in epilogue-gate.wgsl.
fn early(row_block: u32, column: u32, lane: u32) -> vec2<f32> {
  return vec2<f32>();
}

// As in epilogue-gate.wgsl.
fn epilogue(block: u32, column: u32, at: u32, thread: u32, live: bool, factor: f32, loaded: vec2<f32>) {
  const VOCAB_BLOCKS = (VOCAB + 31u) / 32u;
  let lane = thread % 32u;
  if (live) {
    logits[column * VOCAB_BLOCKS * 32u + block * 32u + lane] = soft_cap(y_rows[at + lane] * factor);
  }
  if (live && lane == 0u) {
    var best = vec2<f32>(y_rows[at] * factor, bitcast<f32>(block * 32u));
    for (var i = 1u; i < opaque_count(32u) && block * 32u + i < VOCAB; i++) {
      let value = y_rows[at + i] * factor;
      if (value > best.x) {
        best = vec2<f32>(value, bitcast<f32>(block * 32u + i));
      }
    }
    peaks[column * VOCAB_BLOCKS + block] = vec2<f32>(soft_cap(best.x), best.y);
  }
}
