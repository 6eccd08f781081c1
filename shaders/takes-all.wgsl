// A pass in which all outputs are chosen in one way.
fn takes(slot: u32, thread: u32) -> bool {
  return true;
}
