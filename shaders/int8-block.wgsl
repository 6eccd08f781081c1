// A block of 32 values as int8, made by eight neighbouring threads that have four values each.
//! enable subgroups
//! diagnostic off subgroup_uniformity
struct Int8Part {
  word: u32, // this thread's codes
  d: f32,    // of the block
  sum: f32,  // d * sum of the block's codes
}

fn sum_of_eight(value: f32) -> f32 {
  var sum = value + subgroupShuffleXor(value, 1u);
  sum += subgroupShuffleXor(sum, 2u);
  return sum + subgroupShuffleXor(sum, 4u);
}

// Called by whole subgroups.
fn int8_part(values: vec4<f32>) -> Int8Part {
  let sizes = abs(values);
  var largest = max(max(sizes.x, sizes.y), max(sizes.z, sizes.w));
  largest = max(largest, subgroupShuffleXor(largest, 1u));
  largest = max(largest, subgroupShuffleXor(largest, 2u));
  largest = max(largest, subgroupShuffleXor(largest, 4u));
  let inverse = select(0.0, 127.0 / largest, largest > 0.0);
  let d = largest * (1.0 / 127.0);
  let codes = round(values * inverse);
  let total = sum_of_eight(codes.x + codes.y + codes.z + codes.w);
  return Int8Part(pack4xI8(vec4<i32>(codes)), d, d * total);
}
