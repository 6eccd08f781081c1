// Writes one activation block for the next product, in f32.
//! param Y_BLOCKS u32
@group(0) @binding(7) var<storage, read_write> y_codes: array<f32>;      // [column][block][32]
@group(0) @binding(8) var<storage, read_write> y_meta: array<vec4<f32>>; // [column][block]: 1, sum of values, sum of squares before the gain
var<workgroup> block_values: array<vec2<f32>, 32>;                       // value, square

// Called by the whole workgroup; lanes 0..31 bring the values. Another call needs a barrier in between.
fn store_block(column: u32, block: u32, lane: u32, value: f32, square: f32, live: bool) {
  if (lane < 32u) {
    block_values[lane] = vec2<f32>(value, square);
  }
  workgroupBarrier();
  if (!live) {
    return;
  }
  let at = column * Y_BLOCKS + block;
  if (lane < 32u) {
    y_codes[at * 32u + lane] = value;
  }
  if (lane == 0u) {
    var sums = vec2<f32>();
    for (var i = 0u; i < 32u; i++) {
      sums += block_values[i];
    }
    y_meta[at] = vec4<f32>(1.0, sums, 0.0);
  }
}
