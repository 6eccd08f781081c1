// Writes one activation block for the next product, in f32.
//! include state-read
//! param Y_BLOCKS u32
@group(0) @binding(7) var<storage, read_write> y_codes: array<f32>;      // [column][block][32]
@group(0) @binding(8) var<storage, read_write> y_meta: array<vec4<f32>>; // [column][block]: 1, sum of values, sum of squares before the gain
var<workgroup> block_values: array<vec2<f32>, 32>;                       // value, square

const BLOCKS_AT_ONCE = 1u;

// Called by the whole workgroup; threads 0..31 bring the values. Another call needs a barrier in between.
fn store_block(column: u32, block: u32, thread: u32, value: f32, square: f32, live: bool) {
  if (thread < 32u) {
    block_values[thread] = vec2<f32>(value, square);
  }
  workgroupBarrier();
  if (!live) {
    return;
  }
  let at = column * Y_BLOCKS + block;
  if (thread < 32u) {
    y_codes[at * 32u + thread] = value;
  }
  if (thread == 0u) {
    var sums = vec2<f32>();
    for (var i = 0u; i < opaque_count(32u); i++) {
      sums += block_values[i];
    }
    y_meta[at] = vec4<f32>(1.0, sums, 0.0);
  }
}
