// As store-i8.wgsl, for subgroups of 32 and more: no workgroup memory, no barrier.
//! enable subgroups
//! diagnostic off subgroup_uniformity
//! param Y_BLOCKS u32
@group(0) @binding(7) var<storage, read_write> y_codes: array<u32>;      // [column][block][8], four int8 a word
@group(0) @binding(8) var<storage, read_write> y_meta: array<vec4<f32>>; // [column][block]: d, d * sum of codes, sum of squares before the gain

// Called by the whole workgroup; lanes 0..31 bring the values.
fn store_block(column: u32, block: u32, lane: u32, value: f32, square: f32, live: bool) {
  if (lane >= 64u) { // whole subgroups leave: what is left is the first one (of 64) or the first two (of 32)
    return;
  }
  let mine = lane < 32u;
  let largest = subgroupMax(select(0.0, abs(value), mine));
  let inverse = select(0.0, 127.0 / largest, largest > 0.0);
  let d = largest * (1.0 / 127.0);
  let code = select(0.0, round(value * inverse), mine);
  let sum = subgroupAdd(code);
  let squares = subgroupAdd(select(0.0, square, mine));
  // lane i gathers codes 4i..4i+3
  let first = (4u * lane) & 31u;
  let four = vec4<f32>(
    subgroupShuffle(code, first),
    subgroupShuffle(code, first + 1u),
    subgroupShuffle(code, first + 2u),
    subgroupShuffle(code, first + 3u),
  );
  let at = column * Y_BLOCKS + block;
  if (live && lane < 8u) {
    y_codes[at * 8u + lane] = pack4xI8(vec4<i32>(four));
  }
  if (live && lane == 0u) {
    y_meta[at] = vec4<f32>(d, d * sum, squares, 0.0);
  }
}
