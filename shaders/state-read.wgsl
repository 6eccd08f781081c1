//! include state
//! param OPAQUE bool =false
@group(0) @binding(0) var<storage, read> state: State;

// `count`; with OPAQUE hidden from compilers (capacity is at least 1). CPU drivers would unroll short loops around large
// bodies and then take seconds to compile them; GPUs want them unrolled.
fn opaque_count(count: u32) -> u32 {
  if (OPAQUE) {
    return min(count, state.capacity * count);
  }
  return count;
}

fn position_of(column: u32) -> u32 {
  return state.places[column].position;
}

fn slot_of(column: u32) -> u32 {
  return state.places[column].slot;
}
