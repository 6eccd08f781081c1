// Attention that goes through the output projection at once, which saves a dispatch, and weights are on their way while keys are. A
// workgroup has one query head and, of the projection, the columns that belong to it in one of ROW_SHARES shares of the rows; it
// adds their product to the residual stream. All workgroups of a head do its attention, each for itself: keys come from the cache.
// One column only.
//! include fixed dot-$DOT quads fold-$ADDED=none
//! enable subgroups
//! diagnostic off subgroup_uniformity
//! param HEAD_DIM u32
//! param THREADS u32
//! param BLOCKS u32
// query heads of a kv head
//! param SHARED_BY u32
//! param OUT_QUADS u32
//! param ROW_SHARES u32
@group(0) @binding(7) var<storage, read_write> residual: array<atomic<i32>>; // see residual-fixed.wgsl
var<workgroup> head_out: array<f32, HEAD_DIM>;

const GROUP = 1u;
const KV_GROUP = 1u;
const HEAD_BLOCKS = HEAD_DIM / 32u; // so many neighbouring threads have a row quad, a block each
const QUADS = (OUT_QUADS + ROW_SHARES - 1u) / ROW_SHARES;
const ITEMS = (QUADS * HEAD_BLOCKS + THREADS - 1u) / THREADS; // of a thread

// What is asked for while keys are on their way. Not an array: one with numbers that compilers cannot see would leave the registers.
var<private> item_0: Quad;
var<private> item_1: Quad;

fn kv_head_of(group: u32, k: u32) -> u32 {
  return group / ROW_SHARES / SHARED_BY;
}

fn query_head(group: u32, kv_head: u32, g: u32) -> u32 {
  return group / ROW_SHARES;
}

// Row quad of the n-th item of a thread, if there is one.
fn quad_of(group: u32, thread: u32, n: u32) -> u32 {
  return group % ROW_SHARES * QUADS + (n * THREADS + thread) / HEAD_BLOCKS;
}

fn is_live(group: u32, thread: u32, n: u32) -> bool {
  return (n * THREADS + thread) / HEAD_BLOCKS < QUADS && quad_of(group, thread, n) < OUT_QUADS;
}

fn block_of(group: u32, thread: u32) -> u32 {
  return group / ROW_SHARES * HEAD_BLOCKS + thread % HEAD_BLOCKS;
}

fn fetch_item(group: u32, thread: u32, n: u32) -> Quad {
  return fetch_quad(min(quad_of(group, thread, n), OUT_QUADS - 1u), block_of(group, thread));
}

fn add_item(group: u32, thread: u32, n: u32, item: Quad) {
  var sum = add_quad(item, block_of(group, thread), load_x(0u, thread % HEAD_BLOCKS), vec4<f32>());
  if (HEAD_BLOCKS > 4u) { sum += subgroupShuffleXor(sum, 4u); }
  if (HEAD_BLOCKS > 2u) { sum += subgroupShuffleXor(sum, 2u); }
  if (HEAD_BLOCKS > 1u) { sum += subgroupShuffleXor(sum, 1u); }
  if (is_live(group, thread, n)) {
    for (var r = thread % HEAD_BLOCKS; r < 4u; r += HEAD_BLOCKS) {
      let row = 4u * quad_of(group, thread, n) + r;
      let at = row / 32u * 64u + row % 32u;
      let high = high_part(sum[r]);
      atomicAdd(&residual[at], i32(high));
      atomicAdd(&residual[at + 32u], i32(low_part(sum[r], high)));
    }
  }
}

fn part_of_keys(column: u32, first_seen: u32, split: u32) -> vec2<u32> {
  return vec2<u32>(first_seen, position_of(column) + 1u);
}

fn begin_output(group: u32, thread: u32) {
  prepare_codes(thread);
  fold_added(group, thread);
}

fn ask_ahead(group: u32, thread: u32) {
  item_0 = fetch_item(group, thread, 0u);
  if (ITEMS > 1u) {
    item_1 = fetch_item(group, thread, 1u);
  }
}

fn output(column: u32, split: u32, k: u32, kv_head: u32, g: u32, dim: u32, sum: f32, top: f32, whole: f32) {
  head_out[dim] = sum / whole;
}

fn end_output(column: u32, group: u32, thread: u32) {
  workgroupBarrier();
  let i = min(thread, HEAD_DIM / 4u - 1u);
  let values = vec4<f32>(head_out[4u * i], head_out[4u * i + 1u], head_out[4u * i + 2u], head_out[4u * i + 3u]);
  share_four(i, values, 0.0, thread < HEAD_DIM / 4u);
  workgroupBarrier();
  add_item(group, thread, 0u, item_0);
  if (ITEMS > 1u) {
    add_item(group, thread, 1u, item_1);
  }
  for (var n = 2u; n < ITEMS; n++) {
    add_item(group, thread, n, fetch_item(group, thread, n));
  }
}
