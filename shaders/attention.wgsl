// Causal attention of one column over the KV cache, softmax done on the way (flash attention). A workgroup takes one kv
// head (or KV_GROUP of them, so that whole blocks of 32 outputs come out for any head size) with all query heads that
// share it: K and V are read once. A team of LANES lanes takes every TEAMS-th key, KEYS at once; the teams' results meet at the end.
// Long contexts are split between the workgroups of the grid's third dimension (attention-partial.wgsl); combine.wgsl or the
// product behind attention (act-i8-joined.wgsl) joins the parts. In attention-projected.wgsl a workgroup has one query head.
//! include state-read kv-read-$KV share-$SHARE cap-$CAPPED attention-$OUT
//! param HEAD_DIM u32
//! param Q_ROWS u32
//! param WINDOW u32
//! param SCALE f32
//! param KEYS u32 1 2 4
//! param THREADS u32
//! param TOGETHER u32

const CHUNKS = HEAD_STRIDE / 8u;
const MINE = (CHUNKS + LANES - 1u) / LANES; // chunks of eight elements in each lane
const TEAMS = THREADS / LANES;
const GATHERED = TEAMS / MERGED; // teams left after those of one subgroup have joined
const ROUNDS = (GROUP + TOGETHER - 1u) / TOGETHER; // query heads meet TOGETHER at once, as workgroup memory allows
const LOWEST = -1.0e30;

@group(0) @binding(5) var<storage, read> q: array<vec4<f32>>; // [column][Q_ROWS padded to 32]
var<workgroup> team_best: array<f32, TOGETHER * GATHERED>;                     // [query head][team]
var<workgroup> team_total: array<f32, TOGETHER * GATHERED>;                    // [query head][team]
var<workgroup> team_out: array<vec4<f32>, TOGETHER * GATHERED * CHUNKS * 2u>; // [query head][team][HEAD_STRIDE]

fn load_q(column: u32, head: u32, chunk: u32) -> Eight {
  let at = column * ((Q_ROWS + 31u) / 32u * 32u) + head * HEAD_DIM + chunk * 8u;
  if (chunk >= CHUNKS) {
    return Eight();
  }
  if (HEAD_DIM % 8u == 0u) {
    return Eight(q[at / 4u] * SCALE, q[at / 4u + 1u] * SCALE);
  }
  var values = array<f32, 8>();
  for (var i = 0u; i < 8u; i++) {
    if (chunk * 8u + i < HEAD_DIM) {
      values[i] = q[(at + i) / 4u][(at + i) % 4u] * SCALE;
    }
  }
  return Eight(
    vec4<f32>(values[0], values[1], values[2], values[3]),
    vec4<f32>(values[4], values[5], values[6], values[7]),
  );
}

// Keys and values of a team's turn, as they lie in the cache.
struct Rows {
  keys: array<RawEight, KEYS * MINE>,
  values: array<RawEight, KEYS * MINE>,
}

// Those of keys `base`, `base` + TEAMS, ..., none beyond `last`.
fn fetch_rows(keys: u32, values: u32, base: u32, last: u32, lane: u32) -> Rows {
  var rows = Rows();
  for (var n = 0u; n < KEYS; n++) {
    let place = min(base + n * TEAMS, last) * HEAD_STRIDE;
    for (var m = 0u; m < MINE; m++) {
      let chunk = min(m * LANES + lane, CHUNKS - 1u); // beyond the head the query is zero
      rows.keys[n * MINE + m] = fetch_kv(keys + place, chunk);
      rows.values[n * MINE + m] = fetch_kv(values + place, chunk);
    }
  }
  return rows;
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let column = group.y;
  let position = position_of(column);
  let slot = slot_of(column);
  let team = thread / LANES;
  let lane = thread % LANES;
  let gathered = opaque_count(GATHERED);
  let first_seen = select(0u, position + 1u - min(WINDOW, position + 1u), WINDOW > 0u);
  let part = part_of_keys(column, first_seen, group.z);
  let first_key = part.x;
  let end_key = part.y;
  // the same for all threads, whatever the keys of their team: shuffles and barriers want everybody in every turn
  let turns = (end_key - first_key + TEAMS * KEYS - 1u) / (TEAMS * KEYS);

  begin_output(group.x, thread);
  for (var k = 0u; k < KV_GROUP; k++) {
    let kv_head = kv_head_of(group.x, k);
    if (kv_head >= KV_HEADS) {
      break;
    }
    let keys = kv_place(slot, 0u, kv_head, 0u);
    let values = kv_place(slot, 1u, kv_head, 0u);
    var queries = array<Eight, GROUP * MINE>();
    for (var g = 0u; g < GROUP; g++) {
      for (var m = 0u; m < MINE; m++) {
        queries[g * MINE + m] = load_q(column, query_head(group.x, kv_head, g), m * LANES + lane);
      }
    }
    var best = array<f32, GROUP>();
    var total = array<f32, GROUP>();
    var sums = array<Eight, GROUP * MINE>();
    for (var g = 0u; g < GROUP; g++) {
      best[g] = LOWEST;
    }

    // A turn's keys and values are asked for while those before are worked on: 5 % of a token behind 2048 others on an H100, and nothing
    // when the loop has the first turn's loads too, in a turn that only asks.
    var rows = fetch_rows(keys, values, first_key + team, end_key - 1u, lane);
    ask_ahead(group.x, thread);
    for (var turn = 0u; turn < turns; turn++) {
      let base = first_key + turn * TEAMS * KEYS + team;
      let next = fetch_rows(keys, values, base + TEAMS * KEYS, end_key - 1u, lane);
      for (var g = 0u; g < GROUP; g++) {
        var scores = array<f32, KEYS>();
        var top = best[g];
        for (var n = 0u; n < KEYS; n++) {
          var score = 0.0;
          for (var m = 0u; m < MINE; m++) {
            let query = queries[g * MINE + m];
            let row = eight_of(rows.keys[n * MINE + m]);
            score += dot(query.a, row.a) + dot(query.b, row.b);
          }
          scores[n] = select(LOWEST, soft_cap(team_sum(score)), base + n * TEAMS < end_key);
          top = max(top, scores[n]);
        }
        let keep = exp(best[g] - top);
        best[g] = top;
        total[g] *= keep;
        for (var m = 0u; m < MINE; m++) {
          sums[g * MINE + m].a *= keep;
          sums[g * MINE + m].b *= keep;
        }
        for (var n = 0u; n < KEYS; n++) {
          let weight = select(0.0, exp(scores[n] - top), base + n * TEAMS < end_key);
          total[g] += weight;
          for (var m = 0u; m < MINE; m++) {
            let row = eight_of(rows.values[n * MINE + m]);
            sums[g * MINE + m].a = fma(vec4<f32>(weight), row.a, sums[g * MINE + m].a);
            sums[g * MINE + m].b = fma(vec4<f32>(weight), row.b, sums[g * MINE + m].b);
          }
        }
      }
      rows = next;
    }

    for (var round = 0u; round < ROUNDS; round++) {
      if (k + round > 0u) {
        workgroupBarrier(); // what the heads before left has been read
      }
      for (var nth = 0u; nth < TOGETHER; nth++) {
        let g = min(round * TOGETHER + nth, GROUP - 1u);
        // the teams of a subgroup first
        let top_here = merged_max(best[g]);
        let keep = exp(best[g] - top_here);
        let total_here = merged_sum(total[g] * keep);
        let place = nth * GATHERED + team / MERGED;
        if (lane == 0u && team % MERGED == 0u) {
          team_best[place] = top_here;
          team_total[place] = total_here;
        }
        for (var m = 0u; m < MINE; m++) {
          let chunk = m * LANES + lane;
          let a = merged_sum_4(sums[g * MINE + m].a * keep);
          let b = merged_sum_4(sums[g * MINE + m].b * keep);
          if (chunk < CHUNKS && team % MERGED == 0u) {
            team_out[place * CHUNKS * 2u + chunk * 2u] = a;
            team_out[place * CHUNKS * 2u + chunk * 2u + 1u] = b;
          }
        }
      }
      workgroupBarrier();
      for (var i = thread; i < min(TOGETHER, GROUP - round * TOGETHER) * HEAD_DIM; i += THREADS) {
        let first = i / HEAD_DIM * GATHERED;
        let dim = i % HEAD_DIM;
        var top = LOWEST;
        for (var t = 0u; t < gathered; t++) {
          top = max(top, team_best[first + t]);
        }
        var whole = 0.0;
        var sum = 0.0;
        for (var t = 0u; t < gathered; t++) {
          let weight = exp(team_best[first + t] - top);
          whole = fma(team_total[first + t], weight, whole);
          sum = fma(team_out[(first + t) * CHUNKS * 2u + dim / 4u][dim % 4u], weight, sum);
        }
        output(column, group.z, k, kv_head, round * TOGETHER + i / HEAD_DIM, dim, sum, top, whole);
      }
    }
  }
  end_output(column, group.x, thread);
}
