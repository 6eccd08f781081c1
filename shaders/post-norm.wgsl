// Behind attention and feed-forward of models that normalise what these add (Gemma 2 and 3, OLMo 2): residual +=
// RMSNorm(raw), and g * x in activation blocks, g being the gain of the norm that comes next. A workgroup has one block of
// one column; each adds up what the product left of all blocks, a few hundred numbers at most.
//! include state-read gain-$GAIN store-$STORE
//! param HIDDEN u32
//! param EPSILON f32
const THREADS = 32u;

@group(0) @binding(1) var<storage, read> raw: array<f32>;            // [column][Y_BLOCKS * 32]
@group(0) @binding(2) var<storage, read> squares: array<f32>;        // [column][Y_BLOCKS]
@group(0) @binding(3) var<storage, read> post_gains: array<f32>;     // [Y_BLOCKS * 32]
@group(0) @binding(5) var<storage, read_write> residual: array<f32>; // [column][Y_BLOCKS * 32]
var<workgroup> partial: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let block = group.x;
  let column = group.y;
  let row = block * 32u + lane;
  let at = column * Y_BLOCKS * 32u + row;
  var sum = 0.0;
  for (var i = lane; i < Y_BLOCKS; i += THREADS) {
    sum += squares[column * Y_BLOCKS + i];
  }
  partial[lane] = sum;
  workgroupBarrier();
  var total = 0.0;
  for (var i = 0u; i < opaque_count(THREADS); i++) {
    total += partial[i];
  }
  let factor = inverseSqrt(total / f32(HIDDEN) + EPSILON);
  let value = fma(raw[at] * factor, post_gains[row], residual[at]);
  let live = column < state.columns;
  if (live) {
    residual[at] = value;
  }
  store_block(column, block, lane, gain_of(row) * value, value * value, live);
}
