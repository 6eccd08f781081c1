// Writes one activation block for the next product, in f16 and in the pair order that act-f16.wgsl describes.
//! enable f16
//! include state-read
//! param Y_BLOCKS u32
@group(0) @binding(7) var<storage, read_write> y_codes: array<u32>;      // [column][block][16]
@group(0) @binding(8) var<storage, read_write> y_meta: array<vec4<f32>>; // [column][block]: 1, sum of values, sum of squares before the gain
var<workgroup> block_halves: array<u32, 32>;                             // f16 bits: rounded for good
var<workgroup> block_squares: array<f32, 32>;

const BLOCKS_AT_ONCE = 1u;

// Called by the whole workgroup; threads 0..31 bring the values. Another call needs a barrier in between.
fn store_block(column: u32, block: u32, thread: u32, value: f32, square: f32, live: bool) {
  if (thread < 32u) {
    block_halves[thread] = bitcast<u32>(vec2<f16>(f16(value), 0.0h));
    block_squares[thread] = square;
  }
  workgroupBarrier();
  if (!live) {
    return;
  }
  let at = column * Y_BLOCKS + block;
  if (thread < 16u) {
    let first = 16u * (thread / 8u) + 4u * (thread % 8u / 2u) + thread % 2u;
    y_codes[at * 16u + thread] = block_halves[first] | (block_halves[first + 2u] << 16u);
  }
  if (thread == 0u) {
    var sums = vec2<f32>();
    for (var i = 0u; i < opaque_count(32u); i++) {
      sums += vec2<f32>(f32(bitcast<vec2<f16>>(block_halves[i]).x), block_squares[i]);
    }
    y_meta[at] = vec4<f32>(1.0, sums, 0.0);
  }
}
