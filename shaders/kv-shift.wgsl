// Drops positions from a sequence's keys and values: the rows behind places[0].position + places[1].position move up to
// places[0].position, as far as places[2].position. Keys are turned back by as many positions as they move, since a turn by
// p and one by -n make one by p - n. A thread takes rows that are a whole number of moves apart, in order, so that it alone reads and
// writes them. The slot is that of places[0].
//! include kv-place kv-move-$KV rope-$ROPE

const THREADS = 64u;
const ROWS = 16u; // as in engine/plan.ts
const UNITS = HEAD_STRIDE / UNIT;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let which = group.x / KV_HEADS;
  let head = group.x % KV_HEADS;
  let keep = position_of(0u);
  let count = position_of(1u);
  let end = position_of(2u);
  let base = kv_place(slot_of(0u), which, head, 0u);
  for (var i = thread; i < ROWS * UNITS; i += THREADS) {
    let nth = group.y * ROWS + i / UNITS;
    let unit = i % UNITS;
    if (nth >= count) {
      return;
    }
    for (var to = keep + nth; to + count < end; to += count) {
      let to_place = base + to * HEAD_STRIDE;
      let from_place = base + (to + count) * HEAD_STRIDE;
      if (which == 1u) {
        move_unit(from_place, to_place, unit);
        continue;
      }
      var values = load_unit(from_place, unit);
      for (var pair = 0u; pair < UNIT; pair += 2u) {
        let dim = unit * UNIT + pair;
        let turn = normalize(turn_of(count, dim)); // some models' tables have a magnitude
        let back = vec2<f32>(turn.x, -turn.y);
        let value = values[pair];
        values[pair] = rotate(back, dim, value, values[pair + 1u]);
        values[pair + 1u] = rotate(back, dim + 1u, values[pair + 1u], value);
      }
      store_unit(to_place, unit, values);
    }
  }
}
