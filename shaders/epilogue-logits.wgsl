// Ends the output matrix: logits, and the best of every 32 rows for the choice of the next token.
//! include state-read rows cap-$CAPPED
//! param VOCAB u32
@group(0) @binding(5) var<storage, read_write> logits: array<f32>;        // [column][VOCAB padded to 32]
@group(0) @binding(6) var<storage, read_write> peaks: array<vec2<f32>>;   // [column][block of 32 rows]: best logit, its id as bits

// What finish.wgsl asks for before the product, so that it is there when the sums are.
fn early(row_block: u32, column: u32, lane: u32) -> vec2<f32> {
  return vec2<f32>();
}

fn epilogue(block: u32, column: u32, nth: u32, lane: u32, factor: f32, loaded: vec2<f32>) {
  const VOCAB_BLOCKS = (VOCAB + 31u) / 32u;
  if (lane < 32u) {
    logits[column * VOCAB_BLOCKS * 32u + block * 32u + lane] = soft_cap(y_rows[nth * TILE + lane] * factor);
  }
  if (lane == 0u) {
    var best = vec2<f32>(y_rows[nth * TILE] * factor, bitcast<f32>(block * 32u));
    for (var i = 1u; i < opaque_count(32u) && block * 32u + i < VOCAB; i++) {
      let value = y_rows[nth * TILE + i] * factor;
      if (value > best.x) {
        best = vec2<f32>(value, bitcast<f32>(block * 32u + i));
      }
    }
    peaks[column * VOCAB_BLOCKS + block] = vec2<f32>(soft_cap(best.x), best.y);
  }
}
