// Adds the normalised states of a pass's columns, which are one sequence's, to the sum in its slot; the sequence's first pass
// begins it. A workgroup has 32 of the elements.
//! include state-read norm-rms
//! param BLOCKS u32
@group(0) @binding(4) var<storage, read> x_meta: array<vec4<f32>>;   // [column][block]: z is the sum of squares
@group(0) @binding(6) var<storage, read> gains: array<f32>;          // [BLOCKS * 32]
@group(0) @binding(5) var<storage, read> residual: array<f32>;       // [column][BLOCKS * 32]
@group(0) @binding(7) var<storage, read_write> pooled: array<f32>;   // [slot][BLOCKS * 32]

const THREADS = 32u;
var<workgroup> factors: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let element = group.x * 32u + thread;
  let gain = gains[element];
  let place = slot_of(0u) * BLOCKS * 32u + element;
  var sum = select(pooled[place], 0.0, position_of(0u) == 0u);
  let rounds = (opaque_count(state.columns) + THREADS - 1u) / THREADS;
  for (var round = 0u; round < rounds; round++) {
    let mine = round * THREADS + thread;
    var squares = 0.0;
    if (mine < state.columns) {
      for (var block = 0u; block < BLOCKS; block++) {
        squares += x_meta[mine * BLOCKS + block].z;
      }
    }
    workgroupBarrier(); // the factors of the round before have been read
    factors[thread] = norm_factor(squares);
    workgroupBarrier();
    let count = min(THREADS, state.columns - round * THREADS);
    for (var i = 0u; i < count; i++) {
      sum = fma(residual[(round * THREADS + i) * BLOCKS * 32u + element] * gain, factors[i], sum);
    }
  }
  pooled[place] = sum;
}
