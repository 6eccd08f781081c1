// LANES neighbouring lanes of a subgroup share a head.
//! enable subgroups
//! diagnostic off subgroup_uniformity
//! param LANES u32 2 4 8 16 32
fn team_sum(value: f32) -> f32 {
  var sum = value;
  for (var offset = LANES / 2u; offset > 0u; offset /= 2u) {
    sum += subgroupShuffleXor(sum, offset);
  }
  return sum;
}
