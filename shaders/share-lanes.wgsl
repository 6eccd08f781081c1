// LANES neighbouring lanes of a subgroup share a head; MERGED such teams of one subgroup join their results at the end.
//! enable subgroups
//! diagnostic off subgroup_uniformity
//! param LANES u32 1 2 4 8 16 32
//! param MERGED u32 1 2 4 8 16 32
fn team_sum(value: f32) -> f32 {
  var sum = value;
  for (var offset = LANES / 2u; offset > 0u; offset /= 2u) {
    sum += subgroupShuffleXor(sum, offset);
  }
  return sum;
}

fn merged_max(value: f32) -> f32 {
  var largest = value;
  for (var offset = LANES * MERGED / 2u; offset >= LANES; offset /= 2u) {
    largest = max(largest, subgroupShuffleXor(largest, offset));
  }
  return largest;
}

fn merged_sum(value: f32) -> f32 {
  var sum = value;
  for (var offset = LANES * MERGED / 2u; offset >= LANES; offset /= 2u) {
    sum += subgroupShuffleXor(sum, offset);
  }
  return sum;
}

fn merged_sum_4(value: vec4<f32>) -> vec4<f32> {
  var sum = value;
  for (var offset = LANES * MERGED / 2u; offset >= LANES; offset /= 2u) {
    sum += subgroupShuffleXor(sum, offset);
  }
  return sum;
}
