// The feed-forward part of a layer in one step: gate, up, what joins them, and down. A workgroup makes SLICE blocks of the values
// between, with a subgroup for each row quad of gate and up; it then has the columns of down that belong to them, of all rows, and adds
// their product to what all workgroups add. One column only.
//! enable subgroups
//! diagnostic off subgroup_uniformity
//! include state-read fixed dot-$DOT quads activate-$ACTIVATION norm-rms size-$SIZE
//! twin down BLOCKS add-i8 quads
//! param BLOCKS u32
// blocks of the values between
//! param DOWN_BLOCKS u32
//! param SLICE u32 1 2 4
//! param SG u32 4 8 16 32 64
//! param THREADS u32
// row quads of down
//! param OUT_QUADS u32
@group(0) @binding(5) var<storage, read_write> added: array<atomic<i32>>; // as the residual stream, see residual-fixed.wgsl
var<workgroup> between: array<f32, SLICE * 32u>;

// SLICE neighbouring threads have a row quad of down, a block each, for so many turns
const TURNS_DOWN = (OUT_QUADS * SLICE + THREADS - 1u) / THREADS;

fn down_block(group: u32, n: u32) -> u32 {
  return min(group * SLICE + n, DOWN_BLOCKS - 1u);
}

fn out_quad(thread: u32, turn: u32) -> u32 {
  return (turn * THREADS + thread) / SLICE;
}

fn fetch_item(group: u32, thread: u32, turn: u32) -> down_Quad {
  return down_fetch_quad(min(out_quad(thread, turn), OUT_QUADS - 1u), down_block(group, thread % SLICE));
}

// Called by whole subgroups.
fn add_item(group: u32, thread: u32, turn: u32, x: X, item: down_Quad) {
  var sum = down_add_quad(item, down_block(group, thread % SLICE), x, vec4<f32>());
  if (SLICE > 2u) { sum += subgroupShuffleXor(sum, 2u); }
  if (SLICE > 1u) { sum += subgroupShuffleXor(sum, 1u); }
  let quad = out_quad(thread, turn);
  if (quad < OUT_QUADS) {
    for (var r = thread % SLICE; r < 4u; r += SLICE) {
      let at = quad / 8u * 64u + quad % 8u * 4u + r;
      let high = high_part(sum[r]);
      atomicAdd(&added[at], i32(high));
      atomicAdd(&added[at + 32u], i32(low_part(sum[r], high)));
    }
  }
}

fn run(group: vec3<u32>, thread: u32, lane: u32) {
  let quad = thread / SG;
  let block_row = down_block(group.x, quad / 8u);
  // the matrix has 32 gate rows and the same 32 up rows by turns
  let gate_quad = block_row * 16u + quad % 8u;
  let up_quad = gate_quad + 8u;
  prepare_codes(thread);
  down_prepare_codes(thread);
  prepare_inputs(0u, thread);
  var gate = vec4<f32>();
  var up = vec4<f32>();
  var squares = 0.0;
  if (lane < BLOCKS) {
    let x = load_x(0u, lane);
    squares = x.squares;
    gate = add_quad(fetch_quad(gate_quad, lane), lane, x, gate);
    up = add_quad(fetch_quad(up_quad, lane), lane, x, up);
  }
  let end = opaque_count(BLOCKS);
  for (var block = lane + SG; block < end; block += SG) {
    let x = load_x(0u, block);
    squares += x.squares;
    gate = add_quad(fetch_quad(gate_quad, block), block, x, gate);
    up = add_quad(fetch_quad(up_quad, block), block, x, up);
  }
  let factor = norm_factor(subgroupAdd(squares));
  gate = subgroupAdd(gate) * factor;
  up = subgroupAdd(up) * factor;
  if (lane < 4u) {
    let live = group.x * SLICE + quad / 8u < DOWN_BLOCKS;
    between[4u * quad + lane] = select(0.0, activate(gate[lane]) * up[lane], live);
  }
  workgroupBarrier();
  let i = min(thread, 8u * SLICE - 1u);
  let values = vec4<f32>(between[4u * i], between[4u * i + 1u], between[4u * i + 2u], between[4u * i + 3u]);
  share_four(i, values, 0.0, thread < 8u * SLICE);
  workgroupBarrier();
  let x = load_x(0u, thread % SLICE);
  add_item(group.x, thread, 0u, x, fetch_item(group.x, thread, 0u));
  if (TURNS_DOWN > 1u) {
    add_item(group.x, thread, 1u, x, fetch_item(group.x, thread, 1u));
  }
  for (var turn = 2u; turn < opaque_count(TURNS_DOWN); turn++) {
    add_item(group.x, thread, turn, x, fetch_item(group.x, thread, turn));
  }
}
