// Ends a pass: chooses the next token, feeds it to the next pass, and leaves it for the CPU to pick up.
//! include state choose-$CHOICE
//! param VOCAB u32
//! param THREADS u32 64 256 1024
const VOCAB_BLOCKS = (VOCAB + 31u) / 32u;
const RING = 64u;
@group(0) @binding(0) var<storage, read_write> state: State;
@group(0) @binding(1) var<storage, read_write> tokens: array<u32>; // [column]
@group(0) @binding(2) var<storage, read_write> picked: array<u32>; // [RING], slot = position % RING

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) thread: u32) {
  let id = choose(thread);
  if (thread == 0u) {
    let position = state.position + state.columns;
    tokens[0] = id;
    picked[position % RING] = id;
    state.position = position;
    state.columns = 1u;
    state.last = 0u;
  }
}
