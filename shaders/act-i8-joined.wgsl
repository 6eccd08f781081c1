// Activation blocks as act-i8.wgsl has them, of attention whose parts this workgroup joins for itself: a few thousand values,
// and one dispatch less. One column only.
//! enable subgroups
//! diagnostic off subgroup_uniformity
//! include partials x-i8
//! param HEAD_DIM u32
//! param THREADS u32
@group(0) @binding(3) var<storage, read> partials: array<vec4<f32>>; // see partials.wgsl
@group(0) @binding(4) var<storage, read> shares: array<vec2<f32>>;
var<workgroup> joined_low: array<vec4<u32>, BLOCKS>;  // values 0..15
var<workgroup> joined_high: array<vec4<u32>, BLOCKS>; // values 16..31
var<workgroup> joined_meta: array<vec2<f32>, BLOCKS>; // d, d * sum of codes

const AT_ONCE = 4u;
const LOWEST = -1.0e30;

// Called by the whole workgroup. A thread joins eight values, four neighbouring threads have a block.
fn prepare_inputs(column: u32, thread: u32) {
  let parts = parts_of(keys_seen(column));
  for (var turn = 0u; turn < (4u * BLOCKS + THREADS - 1u) / THREADS; turn++) {
    let wanted = turn * THREADS + thread;
    let live = wanted < 4u * BLOCKS;
    let item = min(wanted, 4u * BLOCKS - 1u);
    let block = item / 4u;
    let dim = item * 8u % HEAD_DIM;
    let first = part_index(column, item * 8u / HEAD_DIM, 0u);
    var top = LOWEST;
    var whole = 0.0;
    var a = vec4<f32>();
    var b = vec4<f32>();
    // several parts at once, so that their loads do not wait for one another
    for (var next = 0u; next < parts; next += AT_ONCE) {
      var values = array<vec4<f32>, 2u * AT_ONCE>();
      var some = array<vec2<f32>, AT_ONCE>();
      for (var n = 0u; n < AT_ONCE; n++) {
        let part = first + min(next + n, parts - 1u);
        let at = (part * HEAD_STRIDE + dim) / 4u;
        some[n] = select(vec2<f32>(LOWEST, 0.0), shares[part], next + n < parts);
        values[2u * n] = partials[at];
        values[2u * n + 1u] = partials[at + 1u];
      }
      for (var n = 0u; n < AT_ONCE; n++) {
        let best = max(top, some[n].x);
        let keep = exp(top - best);
        let weight = some[n].y * exp(some[n].x - best);
        top = best;
        whole = fma(whole, keep, weight);
        a = fma(a, vec4<f32>(keep), weight * values[2u * n]);
        b = fma(b, vec4<f32>(keep), weight * values[2u * n + 1u]);
      }
    }
    a /= whole;
    b /= whole;
    let most = max(abs(a), abs(b));
    var largest = max(max(most.x, most.y), max(most.z, most.w));
    largest = max(largest, subgroupShuffleXor(largest, 1u));
    largest = max(largest, subgroupShuffleXor(largest, 2u));
    let inverse = select(0.0, 127.0 / largest, largest > 0.0);
    let d = largest * (1.0 / 127.0);
    let codes_a = vec4<i32>(round(a * inverse));
    let codes_b = vec4<i32>(round(b * inverse));
    let four = codes_a + codes_b;
    var sum = four.x + four.y + four.z + four.w;
    sum += subgroupShuffleXor(sum, 1u);
    sum += subgroupShuffleXor(sum, 2u);
    let words = vec2<u32>(pack4xI8(codes_a), pack4xI8(codes_b));
    let pair = 2u * (item % 2u);
    if (live && item % 4u < 2u) {
      joined_low[block][pair] = words.x;
      joined_low[block][pair + 1u] = words.y;
    } else if (live) {
      joined_high[block][pair] = words.x;
      joined_high[block][pair + 1u] = words.y;
    }
    if (live && item % 4u == 0u) {
      joined_meta[block] = vec2<f32>(d, d * f32(sum));
    }
  }
  workgroupBarrier();
}

fn load_x(column: u32, block: u32) -> X {
  let note = joined_meta[block];
  return X(joined_low[block], joined_high[block], note.x, note.y, 0.0);
}
