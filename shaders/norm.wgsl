// Where products cannot fold the norm into their result: g * RMSNorm(residual) in activation blocks. A workgroup has a column.
//! enable subgroups
//! diagnostic off subgroup_uniformity
//! include state-read gain-$GAIN norm-$NORM store-$STORE
const THREADS = 256u;
const ROUNDS = (Y_BLOCKS * 32u + THREADS - 1u) / THREADS;

@group(0) @binding(5) var<storage, read> residual: array<f32>; // [column][Y_BLOCKS * 32]
var<workgroup> partial: array<f32, THREADS / 32u>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let column = group.y;
  let first = column * Y_BLOCKS * 32u;
  var values = array<f32, ROUNDS>();
  var squares = 0.0;
  for (var round = 0u; round < ROUNDS; round++) {
    let i = thread + round * THREADS;
    values[round] = select(0.0, residual[first + min(i, Y_BLOCKS * 32u - 1u)], i < Y_BLOCKS * 32u);
    squares = fma(values[round], values[round], squares);
  }
  for (var offset = 16u; offset > 0u; offset /= 2u) {
    squares += subgroupShuffleXor(squares, offset);
  }
  if (thread % 32u == 0u) {
    partial[thread / 32u] = squares;
  }
  workgroupBarrier();
  var total = 0.0;
  for (var i = 0u; i < THREADS / 32u; i++) {
    total += partial[i];
  }
  let factor = norm_factor(total);
  for (var round = 0u; round < ROUNDS; round++) {
    let block = round * BLOCKS_AT_ONCE + thread / 32u;
    let at = min(block, Y_BLOCKS - 1u) * 32u + thread % 32u;
    store_block(column, block, thread, gain_of(at) * values[round] * factor, 0.0, block < Y_BLOCKS);
  }
}
