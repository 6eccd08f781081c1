// One thread has a whole head: nothing to share, and no subgroups needed.
//! param LANES u32 1
//! param MERGED u32 1
fn team_sum(value: f32) -> f32 {
  return value;
}

fn merged_max(value: f32) -> f32 {
  return value;
}

fn merged_sum(value: f32) -> f32 {
  return value;
}

fn merged_sum_4(value: vec4<f32>) -> vec4<f32> {
  return value;
}
