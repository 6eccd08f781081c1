// A pass in which outputs are chosen in several ways, by a step for each: every step takes those whose samplers ask for it.
//! include sampler
var<workgroup> wanted: u32;

fn takes(slot: u32, thread: u32) -> bool {
  if (thread == 0u) {
    wanted = samplers[slot].choice;
  }
  return workgroupUniformLoad(&wanted) == CHOICE_CODE;
}
