// Into how many parts attention of one column is cut, by the keys that it sees. CPU and GPU count alike: engine/plan.ts.
//! param SPLITS u32
//! param PART_KEYS u32

// Keys of a part: at least PART_KEYS, and at most SPLITS parts.
fn share_of(keys: u32) -> u32 {
  return max(PART_KEYS, (keys + SPLITS - 1u) / SPLITS);
}

fn parts_of(keys: u32) -> u32 {
  let share = share_of(keys);
  return (keys + share - 1u) / share;
}
