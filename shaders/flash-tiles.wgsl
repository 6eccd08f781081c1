// Causal attention over the KV cache for many columns at once, without matrix units (FlashAttention, Dao et al. 2022). A
// workgroup has one query head of COLS columns and goes through the keys KEYS at a time: keys to workgroup memory, scores and
// softmax in registers, the weights and then the values to workgroup memory, and what these add up to in registers again.
// Products are of f16, sums are f32.
//! include state-read kv-read-$KV runs cap-$CAPPED store-$STORE
//! param HEAD_DIM u32 64 96 128
//! param GROUP u32
//! param Q_ROWS u32
//! param WINDOW u32

const THREADS = 128u;
const COLS = 64u;
const KEYS = 32u;
const CHUNKS = HEAD_DIM / 8u; // a head in eights: what a load brings
const QUADS = COLS / 4u;      // a thread has the scores of four columns, a quad, with every eighth key
const DIM_LANES = select(CHUNKS, 16u, CHUNKS > 8u); // it adds up eight elements of a head
const EACH = COLS * DIM_LANES / THREADS;            // of so many columns
const STEP_COLUMNS = 16u;                           // whose outputs go through workgroup memory at once
const LOWEST = -1.0e30;
const LOG2_E = 1.4426950408889634;

@group(0) @binding(5) var<storage, read> q: array<vec4<u32>>; // [column][Q_ROWS padded to 32] f16, times the scale
var<workgroup> queries: array<array<vec4<u32>, COLS>, CHUNKS>; // [chunk][column % 4][column / 4]
var<workgroup> rows: array<vec4<u32>, CHUNKS * (KEYS + 1u)>;   // keys [chunk][key], padded by one; values [key][chunk]; outputs [column][element / 4]
var<workgroup> weights: array<array<vec2<u32>, QUADS + 1u>, KEYS>; // [key][quad], padded by one: four f16
var<workgroup> parts: array<array<vec4<f32>, QUADS>, 8>;       // [key % 8][quad]: highest scores; at the end sums of weights
var<workgroup> factors: array<vec4<f32>, QUADS>;               // [quad]: what sums are to be multiplied by

// Of a quad, [column][key / 8].
alias Scores = array<vec4<f32>, 4>;
// Eight elements of a head for EACH columns, [column][element / 4].
alias Sums = array<vec4<f32>, EACH * 2u>;

fn dot8(a: vec4<u32>, b: vec4<u32>, sum: f32) -> f32 {
  var s = sum;
  for (var i = 0u; i < 4u; i++) {
    let x = unpack2x16float(a[i]);
    let y = unpack2x16float(b[i]);
    s = fma(x.x, y.x, s);
    s = fma(x.y, y.y, s);
  }
  return s;
}

// Four columns of a chunk with four keys.
fn add_scores(quad: u32, k: u32, chunk: u32, scores: ptr<function, Scores>) {
  let a = queries[chunk][quad];
  let b = queries[chunk][QUADS + quad];
  let c = queries[chunk][2u * QUADS + quad];
  let d = queries[chunk][3u * QUADS + quad];
  for (var n = 0u; n < 4u; n++) {
    let key = rows[chunk * (KEYS + 1u) + k + 8u * n];
    (*scores)[0][n] = dot8(a, key, (*scores)[0][n]);
    (*scores)[1][n] = dot8(b, key, (*scores)[1][n]);
    (*scores)[2][n] = dot8(c, key, (*scores)[2][n]);
    (*scores)[3][n] = dot8(d, key, (*scores)[3][n]);
  }
}

// Adds a value times the weights of four columns to their sums, which begin at `at`.
fn add_value(weights: vec2<u32>, a: vec4<f32>, b: vec4<f32>, at: u32, sums: ptr<function, Sums>) {
  let four = vec4<f32>(unpack2x16float(weights.x), unpack2x16float(weights.y));
  for (var j = 0u; j < 4u; j++) {
    (*sums)[at + 2u * j] = fma(vec4<f32>(four[j]), a, (*sums)[at + 2u * j]);
    (*sums)[at + 2u * j + 1u] = fma(vec4<f32>(four[j]), b, (*sums)[at + 2u * j + 1u]);
  }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let head = group.x;
  let first = group.y * COLS;
  let count = min(state.columns - first, COLS);
  let k = thread % 8u; // this thread's scores are those of keys k + 8 n
  let quad = thread / 8u;
  var positions = vec4<u32>();
  for (var j = 0u; j < 4u; j++) {
    positions[j] = position_of(first + min(4u * quad + j, count - 1u));
  }
  let lane = min(thread % DIM_LANES, CHUNKS - 1u); // whose eight elements it adds up
  let mine = thread / DIM_LANES * EACH;            // of columns from this on
  for (var i = thread; i < COLS * CHUNKS; i += THREADS) {
    let column = i / CHUNKS;
    let at = (first + min(column, count - 1u)) * ((Q_ROWS + 31u) / 32u * 32u) + head * HEAD_DIM;
    queries[i % CHUNKS][column % 4u * QUADS + column / 4u] = q[at / 8u + i % CHUNKS];
  }
  var sums = Sums();
  var references = vec4<f32>(LOWEST); // of the quad: scores are taken relative to these
  var totals = vec4<f32>();           // of this thread's weights

  for (var start = 0u; start < count; ) {
    let end = run_end(first, start, count);
    let slot = slot_of(first + start);
    let keys = kv_place(slot, 0u, head / GROUP, 0u);
    let values = kv_place(slot, 1u, head / GROUP, 0u);
    let last_key = position_of(first + end - 1u);
    let oldest = position_of(first + start) + 1u;
    for (var base = select(0u, oldest - min(WINDOW, oldest), WINDOW > 0u); base <= last_key; base += KEYS) {
      workgroupBarrier(); // the values before have been added
      for (var i = thread; i < KEYS * CHUNKS; i += THREADS) {
        let key = min(base + i / CHUNKS, last_key);
        rows[i % CHUNKS * (KEYS + 1u) + i / CHUNKS] = load_halves(keys + key * HEAD_STRIDE, i % CHUNKS);
      }
      workgroupBarrier();
      var scores = Scores();
      for (var chunk = 0u; chunk < opaque_count(CHUNKS); chunk++) {
        add_scores(quad, k, chunk, &scores);
      }
      var tops = vec4<f32>(LOWEST);
      for (var j = 0u; j < 4u; j++) {
        let column = 4u * quad + j;
        for (var n = 0u; n < 4u; n++) {
          let key = base + k + 8u * n;
          let in_window = WINDOW == 0u || key + WINDOW > positions[j];
          let seen = column >= start && column < end && key <= positions[j] && in_window;
          scores[j][n] = select(LOWEST, soft_cap(scores[j][n]) * LOG2_E, seen);
          tops[j] = max(tops[j], scores[j][n]);
        }
      }
      parts[k][quad] = tops;
      workgroupBarrier();
      for (var i = thread; i < KEYS * CHUNKS; i += THREADS) {
        let key = min(base + i / CHUNKS, last_key);
        rows[i] = load_halves(values + key * HEAD_STRIDE, i % CHUNKS);
      }
      let before = references;
      for (var i = 0u; i < 8u; i++) {
        references = max(references, parts[i][quad]);
      }
      let keep = exp2(before - references);
      totals *= keep;
      for (var n = 0u; n < 4u; n++) {
        let four = vec4<f32>(scores[0][n], scores[1][n], scores[2][n], scores[3][n]);
        let weight = select(vec4<f32>(), exp2(four - references), four > vec4<f32>(LOWEST));
        let rounded = vec2<u32>(pack2x16float(weight.xy), pack2x16float(weight.zw));
        weights[k + 8u * n][quad] = rounded;
        totals += vec4<f32>(unpack2x16float(rounded.x), unpack2x16float(rounded.y));
      }
      if (k == 0u) {
        factors[quad] = keep;
      }
      workgroupBarrier();
      for (var j = 0u; j < EACH; j++) {
        sums[2u * j] *= factors[mine / 4u + j / 4u][j % 4u];
        sums[2u * j + 1u] *= factors[mine / 4u + j / 4u][j % 4u];
      }
      for (var key = 0u; key < opaque_count(KEYS); key++) {
        let words = rows[key * CHUNKS + lane];
        let a = vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y));
        let b = vec4<f32>(unpack2x16float(words.z), unpack2x16float(words.w));
        for (var n = 0u; n < EACH / 4u; n++) {
          add_value(weights[key][mine / 4u + n], a, b, 8u * n, &sums);
        }
      }
    }
    start = end;
  }

  parts[k][quad] = totals;
  workgroupBarrier();
  if (thread < QUADS) {
    var whole = vec4<f32>();
    for (var i = 0u; i < 8u; i++) {
      whole += parts[i][thread];
    }
    factors[thread] = 1.0 / whole;
  }
  const HEAD_BLOCKS = HEAD_DIM / 32u;
  for (var step = 0u; step < COLS; step += STEP_COLUMNS) {
    workgroupBarrier(); // the factors are there, or the step before has been stored
    if (mine / STEP_COLUMNS * STEP_COLUMNS == step && thread % DIM_LANES < CHUNKS) {
      for (var i = 0u; i < EACH * 2u; i++) {
        let factor = factors[mine / 4u + i / 8u][i / 2u % 4u];
        rows[(mine - step + i / 2u) * (HEAD_DIM / 4u) + 2u * lane + i % 2u] = bitcast<vec4<u32>>(sums[i] * factor);
      }
    }
    workgroupBarrier();
    for (var base = 0u; base < STEP_COLUMNS * HEAD_BLOCKS; base += BLOCKS_AT_ONCE) {
      let nth = base + thread / 32u;
      let column = step + nth / HEAD_BLOCKS;
      let value = bitcast<f32>(rows[(nth * 32u + thread % 32u) / 4u][thread % 4u]);
      store_block(first + column, head * HEAD_BLOCKS + nth % HEAD_BLOCKS, thread, value, 0.0, column < count);
      workgroupBarrier(); // what it shares has been used
    }
  }
}
