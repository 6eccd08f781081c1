// Writes activation blocks for the next product as int8: d = largest / 127, code = round(value / d).
// Needs no subgroups; store-i8-lanes.wgsl does the same with them.
//! include state-read blocks
//! param Y_BLOCKS u32
@group(0) @binding(7) var<storage, read_write> y_codes: array<u32>;      // [column][block][8], four int8 a word
@group(0) @binding(8) var<storage, read_write> y_meta: array<vec4<f32>>; // [column][block]: d, d * sum of codes, sum of squares before the gain
var<workgroup> block_values: array<vec2<f32>, 32u * BLOCKS_AT_ONCE>;              // value, square

// As in store-f32.wgsl.
fn store_block(column: u32, block: u32, thread: u32, value: f32, square: f32, live: bool) {
  if (thread < 32u * BLOCKS_AT_ONCE) {
    block_values[thread] = vec2<f32>(value, square);
  }
  workgroupBarrier();
  let lane = thread % 32u;
  if (!live || lane >= 8u) {
    return;
  }
  let team = thread - lane;
  var largest = 0.0;
  for (var i = 0u; i < opaque_count(32u); i++) {
    largest = max(largest, abs(block_values[team + i].x));
  }
  let inverse = select(0.0, 127.0 / largest, largest > 0.0);
  let d = largest * (1.0 / 127.0);
  let at = column * Y_BLOCKS + block;
  let first = team + 4u * lane;
  let four = vec4<f32>(
    block_values[first].x,
    block_values[first + 1u].x,
    block_values[first + 2u].x,
    block_values[first + 3u].x,
  );
  y_codes[at * 8u + lane] = pack4xI8(vec4<i32>(round(four * inverse)));
  if (lane == 0u) {
    var sums = vec2<f32>();
    for (var i = 0u; i < opaque_count(32u); i++) {
      sums += vec2<f32>(round(block_values[team + i].x * inverse), block_values[team + i].y);
    }
    y_meta[at] = vec4<f32>(d, d * sums.x, sums.y, 0.0);
  }
}
