//! include state
@group(0) @binding(0) var<storage, read> state: State;

// `count`, but hidden from compilers (capacity is at least 1): they would unroll short loops around large bodies, and CPU
// drivers then take seconds to compile them.
fn opaque_count(count: u32) -> u32 {
  return min(count, state.capacity * count);
}
