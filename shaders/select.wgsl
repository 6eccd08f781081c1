// Ends a pass: chooses the next token of every output, a workgroup each, and leaves it for the next pass and for the CPU.
//! include state ring choose-$CHOICE takes-$TAKES=all
//! param VOCAB u32
//! param THREADS u32 64 256 1024
const VOCAB_BLOCKS = (VOCAB + 31u) / 32u;
@group(0) @binding(0) var<storage, read_write> state: State;
@group(0) @binding(1) var<storage, read_write> tokens: array<u32>; // [column]
@group(0) @binding(2) var<storage, read_write> picked: array<u32>; // see ring.wgsl

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let result = group.y;
  let source = state.places[state.places[result].output];
  let position = source.position + 1u; // of the token that is chosen
  if (!takes(source.slot, thread)) {
    return;
  }
  let id = choose(result, source.slot, position, thread);
  if (thread > 0u) {
    return;
  }
  picked[ring_place(source.slot, position)] = id;
  // Only where every workgroup has its place to itself: one output, or one for every column.
  if (state.advance == 1u) {
    tokens[result] = id;
    state.places[result] = Place(position, source.slot, result, 0u);
    if (result == 0u) {
      state.columns = state.outputs;
    }
  }
}
