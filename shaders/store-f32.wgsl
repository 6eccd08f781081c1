// Writes activation blocks for the next product, in f32.
//! include state-read blocks
//! param Y_BLOCKS u32
@group(0) @binding(7) var<storage, read_write> y_codes: array<f32>;      // [column][block][32]
@group(0) @binding(8) var<storage, read_write> y_meta: array<vec4<f32>>; // [column][block]: 1, sum of values, sum of squares before the gain
var<workgroup> block_values: array<vec2<f32>, 32u * BLOCKS_AT_ONCE>;              // value, square

// Called by the whole workgroup; each team brings a block, and only teams with `live` store. Another call needs a barrier
// in between.
fn store_block(column: u32, block: u32, thread: u32, value: f32, square: f32, live: bool) {
  if (thread < 32u * BLOCKS_AT_ONCE) {
    block_values[thread] = vec2<f32>(value, square);
  }
  workgroupBarrier();
  if (!live) {
    return;
  }
  let at = column * Y_BLOCKS + block;
  y_codes[at * 32u + thread % 32u] = value;
  if (thread % 32u == 0u) {
    var sums = vec2<f32>();
    for (var i = 0u; i < opaque_count(32u); i++) {
      sums += block_values[thread + i];
    }
    y_meta[at] = vec4<f32>(1.0, sums, 0.0);
  }
}
