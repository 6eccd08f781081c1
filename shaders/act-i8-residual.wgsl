// The input of a product where steps are merged: g * x of the residual stream, which workgroups before have only now added up. Each
// makes its blocks for itself. One column only.
//! include fixed act-i8-shared added-$ADDED=none
//! param THREADS u32
@group(0) @binding(3) var<storage, read> residual: array<vec4<i32>>; // [block][high, low][32], see residual-fixed.wgsl
@group(0) @binding(4) var<storage, read> gains: array<vec4<f32>>;    // [BLOCKS * 32]
const SHARED_BLOCKS = BLOCKS;
const TURNS = (8u * BLOCKS + THREADS - 1u) / THREADS;

// Called by the whole workgroup.
fn prepare_inputs(column: u32, thread: u32) {
  var high = array<vec4<i32>, TURNS>();
  var low = array<vec4<i32>, TURNS>();
  var gain = array<vec4<f32>, TURNS>();
  for (var turn = 0u; turn < TURNS; turn++) {
    let i = min(turn * THREADS + thread, 8u * BLOCKS - 1u);
    let at = i / 8u * 16u + i % 8u;
    high[turn] = residual[at] + added_at(at);
    low[turn] = residual[at + 8u] + added_at(at + 8u);
    gain[turn] = gains[i];
  }
  for (var turn = 0u; turn < TURNS; turn++) {
    let i = turn * THREADS + thread;
    let x = value_of(high[turn], low[turn]);
    share_four(i, gain[turn] * x, sum_of_eight(dot(x, x)), i < 8u * BLOCKS);
  }
  workgroupBarrier();
}
