// As store-i8.wgsl, for subgroups of 32 and more: no workgroup memory, no barrier.
//! enable subgroups
//! diagnostic off subgroup_uniformity
//! include blocks
//! param Y_BLOCKS u32
@group(0) @binding(7) var<storage, read_write> y_codes: array<u32>;      // [column][block][8], four int8 a word
@group(0) @binding(8) var<storage, read_write> y_meta: array<vec4<f32>>; // [column][block]: d, d * sum of codes, sum of squares before the gain

fn largest_of_32(value: f32) -> f32 {
  var largest = value;
  largest = max(largest, subgroupShuffleXor(largest, 16u));
  largest = max(largest, subgroupShuffleXor(largest, 8u));
  largest = max(largest, subgroupShuffleXor(largest, 4u));
  largest = max(largest, subgroupShuffleXor(largest, 2u));
  return max(largest, subgroupShuffleXor(largest, 1u));
}

fn sum_of_32(value: vec2<f32>) -> vec2<f32> {
  var sum = value;
  sum += subgroupShuffleXor(sum, 16u);
  sum += subgroupShuffleXor(sum, 8u);
  sum += subgroupShuffleXor(sum, 4u);
  sum += subgroupShuffleXor(sum, 2u);
  return sum + subgroupShuffleXor(sum, 1u);
}

// Called by whole subgroups; only teams with `live` store.
fn store_block(column: u32, block: u32, thread: u32, value: f32, square: f32, live: bool) {
  let lane = thread % 32u;
  let largest = largest_of_32(abs(value));
  let inverse = select(0.0, 127.0 / largest, largest > 0.0);
  let d = largest * (1.0 / 127.0);
  let code = round(value * inverse);
  let sums = sum_of_32(vec2<f32>(code, square));
  // four lanes' codes into a word
  let byte = (u32(i32(code)) & 0xffu) << (8u * (lane % 4u));
  let half = byte | subgroupShuffleXor(byte, 1u);
  let word = half | subgroupShuffleXor(half, 2u);
  let at = column * Y_BLOCKS + block;
  if (live && lane % 4u == 0u) {
    y_codes[at * 8u + lane / 4u] = word;
  }
  if (live && lane == 0u) {
    y_meta[at] = vec4<f32>(d, d * sums.x, sums.y, 0.0);
  }
}
