// Causal attention over the KV cache for many columns at once, on the matrix units (FlashAttention, Dao et al. 2022). A
// workgroup has one query head of COLS columns, 16 of them to a subgroup, and goes through the keys 64 at a time: scores to
// workgroup memory, softmax there, and the weights back to the matrix units. The output stays on the units: it is scaled anew
// only when a score exceeds the reference by so much that f16 would suffer, which hardly happens after the first keys.
//! enable f16
//! enable subgroups
//! enable chromium_experimental_subgroup_matrix
//! diagnostic off chromium.subgroup_matrix_uniformity
//! diagnostic off subgroup_uniformity
//! include state-read kv-place runs cap-$CAPPED store-$STORE size-$SIZE
//! param HEAD_DIM u32 32 64 96 128
//! param GROUP u32
//! param Q_ROWS u32
//! param WINDOW u32
//! param SG u32 32
//! param THREADS u32 128

const COLS = THREADS / 2u;
const KEYS = 64u;
const DIM_TILES = HEAD_DIM / 16u;
const SCORE_STRIDE = 68u;  // whole 16 bytes, and rows in different banks
const WEIGHT_STRIDE = 72u;
const LOWEST = -1.0e30;
const MOST_ABOVE = 8.0;    // the largest weight is 2 to this power
const LOG2_E = 1.4426950408889634;

@group(0) @binding(5) var<storage, read> q: array<f16>;  // [column padded to COLS][Q_ROWS padded to 32], times the scale
@group(0) @binding(6) var<storage, read> kv: array<f16>; // see kv-place.wgsl
var<workgroup> scores: array<f32, COLS * SCORE_STRIDE>;   // [column][key]
var<workgroup> weights: array<f16, COLS * WEIGHT_STRIDE>; // [column][key]
var<workgroup> factors: array<f32, COLS>;                 // [column]
var<workgroup> rescaling: array<u32, THREADS / 32u>;      // [subgroup]

alias Left = subgroup_matrix_left<f16, 16, 16>;
alias Right = subgroup_matrix_right<f16, 16, 16>;
alias Acc = subgroup_matrix_result<f32, 16, 16>;

// The functions below do nothing for tiles beyond HEAD_DIM; which tile is meant is always a constant.
fn query_tile(at: u32, n: u32) -> Left {
  if (n < DIM_TILES) {
    return subgroupMatrixLoad<Left, row_major>(&q, at + 16u * n, (Q_ROWS + 31u) / 32u * 32u);
  }
  return Left();
}

// Adds to the scores of 16 keys, whose rows start at `place`, what 16 of a head's elements contribute.
fn add_score(x: Left, place: u32, n: u32, sum: Acc) -> Acc {
  if (n < DIM_TILES) {
    let key = subgroupMatrixLoad<Right, col_major>(&kv, place + 16u * n, HEAD_STRIDE);
    return subgroupMatrixMultiplyAccumulate(x, key, sum);
  }
  return sum;
}

// Adds 16 elements of 16 values, whose rows start at `place`.
fn add_value(weight: Left, place: u32, n: u32, sum: Acc) -> Acc {
  if (n < DIM_TILES) {
    let value = subgroupMatrixLoad<Right, row_major>(&kv, place + 16u * n, HEAD_STRIDE);
    return subgroupMatrixMultiplyAccumulate(weight, value, sum);
  }
  return sum;
}

fn scaled(base: u32, factor: f32, sum: Acc, n: u32, lane: u32) -> Acc {
  if (n >= DIM_TILES) {
    return sum;
  }
  subgroupMatrixStore<row_major>(&scores, base, sum, SCORE_STRIDE);
  workgroupBarrier();
  for (var i = 0u; i < 8u; i++) {
    scores[base + lane / 2u * SCORE_STRIDE + 2u * i + lane % 2u] *= factor;
  }
  workgroupBarrier();
  return subgroupMatrixLoad<Acc, row_major>(&scores, base, SCORE_STRIDE);
}

fn store_pair(a: Acc, b: Acc, n: u32, base: u32, column: u32, head: u32, team: u32, thread: u32) {
  if (2u * n >= DIM_TILES) {
    return;
  }
  workgroupBarrier(); // what was there has been stored
  subgroupMatrixStore<row_major>(&scores, base, a, SCORE_STRIDE);
  subgroupMatrixStore<row_major>(&scores, base + 16u, b, SCORE_STRIDE);
  workgroupBarrier();
  for (var i = 0u; i < 16u; i++) {
    let value = scores[base + i * SCORE_STRIDE + thread % 32u] * factors[team * 16u + i];
    let live = column + i < state.columns;
    store_block(min(column + i, state.columns - 1u), head * (HEAD_DIM / 32u) + n, thread, value, 0.0, live);
  }
}

fn run(group: vec3<u32>, thread: u32, lane: u32) {
  let team = subgroupBroadcastFirst(thread / 32u);
  let first = group.y * COLS;
  let count = min(state.columns - first, COLS);
  let head = group.x;
  let own = team * 16u + lane / 2u; // two lanes have a column
  let own_position = position_of(first + min(own, count - 1u));
  let score_base = team * 16u * SCORE_STRIDE;
  let weight_base = team * 16u * WEIGHT_STRIDE;
  // written out, here and below: drivers keep arrays and structures of matrices in memory
  let query = (first + team * 16u) * ((Q_ROWS + 31u) / 32u * 32u) + head * HEAD_DIM;
  let query_a = query_tile(query, 0u);
  let query_b = query_tile(query, 1u);
  let query_c = query_tile(query, 2u);
  let query_d = query_tile(query, 3u);
  let query_e = query_tile(query, 4u);
  let query_f = query_tile(query, 5u);
  let query_g = query_tile(query, 6u);
  let query_h = query_tile(query, 7u);
  var out_a = Acc();
  var out_b = Acc();
  var out_c = Acc();
  var out_d = Acc();
  var out_e = Acc();
  var out_f = Acc();
  var out_g = Acc();
  var out_h = Acc();
  var reference = LOWEST; // of this lane's column
  var total = 0.0;

  for (var start = 0u; start < count; ) {
    let end = run_end(first, start, count);
    let keys = kv_place(slot_of(first + start), 0u, head / GROUP, 0u);
    let values = kv_place(slot_of(first + start), 1u, head / GROUP, 0u);
    let in_run = own >= start && own < end;
    let last_key = position_of(first + end - 1u);
    // what this subgroup's last column sees
    let team_end = select(0u, position_of(first + min(team * 16u + 15u, end - 1u)) + 1u, team * 16u < end && team * 16u + 16u > start);
    let oldest = position_of(first + start);
    for (var base = select(0u, oldest + 1u - min(WINDOW, oldest + 1u), WINDOW > 0u); base <= last_key; base += KEYS) {
      let busy = base < team_end;
      if (busy) {
        for (var j = 0u; j < KEYS; j += 16u) {
          let place = keys + (base + j) * HEAD_STRIDE;
          var sum = Acc();
          sum = add_score(query_a, place, 0u, sum);
          sum = add_score(query_b, place, 1u, sum);
          sum = add_score(query_c, place, 2u, sum);
          sum = add_score(query_d, place, 3u, sum);
          sum = add_score(query_e, place, 4u, sum);
          sum = add_score(query_f, place, 5u, sum);
          sum = add_score(query_g, place, 6u, sum);
          sum = add_score(query_h, place, 7u, sum);
          subgroupMatrixStore<row_major>(&scores, score_base + j, sum, SCORE_STRIDE);
        }
      }
      workgroupBarrier();
      var keep = 1.0;
      if (busy) {
        let row = score_base + lane / 2u * SCORE_STRIDE + lane % 2u;
        var top = LOWEST;
        for (var i = 0u; i < KEYS / 2u; i++) {
          let key = base + 2u * i + lane % 2u;
          let seen = in_run && key <= own_position && (WINDOW == 0u || key + WINDOW > own_position);
          let score = select(LOWEST, soft_cap(scores[row + 2u * i]) * LOG2_E, seen);
          scores[row + 2u * i] = score;
          top = max(top, score);
        }
        top = max(top, subgroupShuffleXor(top, 1u));
        if (top > reference + MOST_ABOVE) {
          keep = select(0.0, exp2(reference - top), total > 0.0);
          reference = top;
        }
        total *= keep;
        for (var i = 0u; i < KEYS / 2u; i++) {
          let score = scores[row + 2u * i];
          let weight = f16(select(0.0, exp2(score - reference), score > LOWEST));
          weights[weight_base + lane / 2u * WEIGHT_STRIDE + 2u * i + lane % 2u] = weight;
          total += f32(weight);
        }
      }
      let anyone = subgroupAny(keep != 1.0 && total > 0.0 && base > 0u);
      if (lane == 0u) {
        rescaling[team] = select(0u, 1u, anyone);
      }
      let wanted = workgroupUniformLoad(&rescaling);
      var rescale = false;
      for (var i = 0u; i < THREADS / 32u; i++) {
        rescale = rescale || wanted[i] == 1u;
      }
      if (rescale) {
        out_a = scaled(score_base, keep, out_a, 0u, lane);
        out_b = scaled(score_base, keep, out_b, 1u, lane);
        out_c = scaled(score_base, keep, out_c, 2u, lane);
        out_d = scaled(score_base, keep, out_d, 3u, lane);
        out_e = scaled(score_base, keep, out_e, 4u, lane);
        out_f = scaled(score_base, keep, out_f, 5u, lane);
        out_g = scaled(score_base, keep, out_g, 6u, lane);
        out_h = scaled(score_base, keep, out_h, 7u, lane);
      }
      if (busy) {
        for (var j = 0u; j < KEYS; j += 16u) {
          let weight = subgroupMatrixLoad<Left, row_major>(&weights, weight_base + j, WEIGHT_STRIDE);
          let place = values + (base + j) * HEAD_STRIDE;
          out_a = add_value(weight, place, 0u, out_a);
          out_b = add_value(weight, place, 1u, out_b);
          out_c = add_value(weight, place, 2u, out_c);
          out_d = add_value(weight, place, 3u, out_d);
          out_e = add_value(weight, place, 4u, out_e);
          out_f = add_value(weight, place, 5u, out_f);
          out_g = add_value(weight, place, 6u, out_g);
          out_h = add_value(weight, place, 7u, out_h);
        }
      }
    }
    start = end;
  }

  let whole = total + subgroupShuffleXor(total, 1u);
  if (lane % 2u == 0u) {
    factors[own] = select(0.0, 1.0 / whole, whole > 0.0);
  }
  let column = first + team * 16u;
  store_pair(out_a, out_b, 0u, score_base, column, head, team, thread);
  store_pair(out_c, out_d, 1u, score_base, column, head, team, thread);
  store_pair(out_e, out_f, 2u, score_base, column, head, team, thread);
  store_pair(out_g, out_h, 3u, score_base, column, head, team, thread);
}
