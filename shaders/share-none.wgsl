// One thread has a whole head: nothing to share, and no subgroups needed.
//! param LANES u32 1
fn team_sum(value: f32) -> f32 {
  return value;
}
