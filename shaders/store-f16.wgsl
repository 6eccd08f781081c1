// Writes activation blocks for the next product, in f16 and in the pair order that act-f16.wgsl describes.
//! enable f16
//! include state-read blocks
//! param Y_BLOCKS u32
@group(0) @binding(7) var<storage, read_write> y_codes: array<u32>;      // [column][block][16]
@group(0) @binding(8) var<storage, read_write> y_meta: array<vec4<f32>>; // [column][block]: 1, sum of values, sum of squares before the gain
var<workgroup> block_halves: array<u32, 32u * BLOCKS_AT_ONCE>;                    // f16 bits: rounded for good
var<workgroup> block_squares: array<f32, 32u * BLOCKS_AT_ONCE>;

// As in store-f32.wgsl.
fn store_block(column: u32, block: u32, thread: u32, value: f32, square: f32, live: bool) {
  if (thread < 32u * BLOCKS_AT_ONCE) {
    block_halves[thread] = bitcast<u32>(vec2<f16>(f16(value), 0.0h));
    block_squares[thread] = square;
  }
  workgroupBarrier();
  let lane = thread % 32u;
  if (!live || lane >= 16u) {
    return;
  }
  let at = column * Y_BLOCKS + block;
  let first = thread - lane + 16u * (lane / 8u) + 4u * (lane % 8u / 2u) + lane % 2u;
  y_codes[at * 16u + lane] = block_halves[first] | (block_halves[first + 2u] << 16u);
  if (lane == 0u) {
    var sums = vec2<f32>();
    for (var i = 0u; i < opaque_count(32u); i++) {
      sums += vec2<f32>(f32(bitcast<vec2<f16>>(block_halves[thread + i]).x), block_squares[thread + i]);
    }
    y_meta[at] = vec4<f32>(1.0, sums, 0.0);
  }
}
