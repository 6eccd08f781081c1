// The entry point where the device lets a shader ask for its subgroup size.
//! enable subgroups
//! enable subgroup_size_control
@compute @workgroup_size(THREADS) @subgroup_size(SG)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  run(group, thread, lane);
}
