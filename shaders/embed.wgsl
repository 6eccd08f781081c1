// Starts a pass: the embedding rows of the tokens into the residual stream (times SCALE in Gemma), and g * x in
// activation blocks, g being the gain of the first norm. A workgroup has one block of one column. The matrix may be one of several parts by rows.
//! include state-read ring weight-$WEIGHT gain-$GAIN residual-$RESIDUAL=f32 store-$STORE
//! param BLOCKS u32
//! param FIRST_ROW u32
//! param PART_ROWS u32
//! param SCALE f32
@group(0) @binding(3) var<storage, read> tokens: array<u32>;         // [column], an id or FROM_RING
@group(0) @binding(9) var<storage, read> picked: array<u32>;         // see ring.wgsl

const THREADS = 32u;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  prepare_codes(lane);
  let block = group.x;
  let column = group.y;
  var id = tokens[column];
  if (id == FROM_RING) {
    id = picked[ring_place(slot_of(column), position_of(column))];
  }
  let row = id - FIRST_ROW; // wraps round to a large number for rows before this part
  let live = column < state.columns && row < PART_ROWS;
  let value = SCALE * weight(min(row, PART_ROWS - 1u), block, lane);
  if (live) {
    keep_residual((column * BLOCKS + block) * 32u + lane, value);
  }
  store_block(column, block, lane, gain_of(block * 32u + lane) * value, value * value, live);
}
