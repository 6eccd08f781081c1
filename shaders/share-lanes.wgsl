// LANES neighbouring lanes of a subgroup share a head; MERGED such teams of one subgroup join their results at the end.
// Distances of shuffles are constants, not a loop's variable: drivers have an instruction for those.
//! enable subgroups
//! diagnostic off subgroup_uniformity
//! param LANES u32 1 2 4 8 16 32
//! param MERGED u32 1 2 4 8 16 32
const APART_16 = LANES * 16u % 128u; // a branch that is never taken must not name a larger distance either
const APART_8 = LANES * 8u % 128u;
const APART_4 = LANES * 4u % 128u;
fn team_sum(value: f32) -> f32 {
  var sum = value;
  if (LANES > 16u) { sum += subgroupShuffleXor(sum, 16u); }
  if (LANES > 8u) { sum += subgroupShuffleXor(sum, 8u); }
  if (LANES > 4u) { sum += subgroupShuffleXor(sum, 4u); }
  if (LANES > 2u) { sum += subgroupShuffleXor(sum, 2u); }
  if (LANES > 1u) { sum += subgroupShuffleXor(sum, 1u); }
  return sum;
}

fn merged_max(value: f32) -> f32 {
  var largest = value;
  if (MERGED > 16u) { largest = max(largest, subgroupShuffleXor(largest, APART_16)); }
  if (MERGED > 8u) { largest = max(largest, subgroupShuffleXor(largest, APART_8)); }
  if (MERGED > 4u) { largest = max(largest, subgroupShuffleXor(largest, APART_4)); }
  if (MERGED > 2u) { largest = max(largest, subgroupShuffleXor(largest, LANES * 2u)); }
  if (MERGED > 1u) { largest = max(largest, subgroupShuffleXor(largest, LANES)); }
  return largest;
}

fn merged_sum(value: f32) -> f32 {
  var sum = value;
  if (MERGED > 16u) { sum += subgroupShuffleXor(sum, APART_16); }
  if (MERGED > 8u) { sum += subgroupShuffleXor(sum, APART_8); }
  if (MERGED > 4u) { sum += subgroupShuffleXor(sum, APART_4); }
  if (MERGED > 2u) { sum += subgroupShuffleXor(sum, LANES * 2u); }
  if (MERGED > 1u) { sum += subgroupShuffleXor(sum, LANES); }
  return sum;
}

fn merged_sum_4(value: vec4<f32>) -> vec4<f32> {
  var sum = value;
  if (MERGED > 16u) { sum += subgroupShuffleXor(sum, APART_16); }
  if (MERGED > 8u) { sum += subgroupShuffleXor(sum, APART_8); }
  if (MERGED > 4u) { sum += subgroupShuffleXor(sum, APART_4); }
  if (MERGED > 2u) { sum += subgroupShuffleXor(sum, LANES * 2u); }
  if (MERGED > 1u) { sum += subgroupShuffleXor(sum, LANES); }
  return sum;
}
