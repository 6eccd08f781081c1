// Changes logits before a token is chosen: a list of edits by id for each sequence, and a mask of the ids that it may choose.
// A thread takes 32 rows, and finds its edits by bisection, so that all can be at work without getting into each other's way.
//! include state-read
//! param VOCAB u32
//! param THREADS u32 64 256
//! param MOST_EDITS u32
const VOCAB_BLOCKS = (VOCAB + 31u) / 32u;
const FORBIDDEN = -1e30;

struct Edit {
  id: u32,
  divisor: f32, // of logits above 0; others are multiplied by it
  bias: f32,    // added then
}

struct Edits {
  count: u32,
  masked: u32,
  list: array<Edit, MOST_EDITS>, // ascending by id
}

@group(0) @binding(1) var<storage, read> edits: array<Edits>;           // [slot]
@group(0) @binding(2) var<storage, read> masks: array<u32>;             // [slot][block of 32 rows], a bit for each row
@group(0) @binding(5) var<storage, read_write> logits: array<f32>;      // [output][VOCAB padded to 32]
@group(0) @binding(6) var<storage, read_write> peaks: array<vec2<f32>>; // [output][block of 32 rows]: best logit, its id as bits

// The first edit whose id is not below `id`.
fn find_edit(slot: u32, id: u32) -> u32 {
  var low = 0u;
  var high = edits[slot].count;
  while (low < high) {
    let middle = (low + high) / 2u;
    if (edits[slot].list[middle].id < id) {
      low = middle + 1u;
    } else {
      high = middle;
    }
  }
  return low;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let result = group.y;
  let block = group.x * THREADS + thread;
  if (block >= VOCAB_BLOCKS) {
    return;
  }
  let slot = slot_of(state.places[result].output);
  let mask = select(0xffffffffu, masks[slot * VOCAB_BLOCKS + block], edits[slot].masked == 1u);
  var next = find_edit(slot, block * 32u);
  let count = edits[slot].count;
  let touched = next < count && edits[slot].list[next].id < block * 32u + 32u;
  if (mask == 0xffffffffu && !touched) {
    return;
  }
  let first = result * VOCAB_BLOCKS * 32u;
  var best = vec2<f32>(-3.4e38, bitcast<f32>(block * 32u));
  for (var i = 0u; i < opaque_count(32u); i++) {
    let id = block * 32u + i;
    if (id >= VOCAB) {
      break;
    }
    var value = logits[first + id];
    if (next < count && edits[slot].list[next].id == id) {
      let edit = edits[slot].list[next];
      value = select(value * edit.divisor, value / edit.divisor, value > 0.0) + edit.bias;
      next += 1u;
    }
    if ((mask & (1u << i)) == 0u) {
      value = FORBIDDEN;
    }
    logits[first + id] = value;
    if (value > best.x) {
      best = vec2<f32>(value, bitcast<f32>(id));
    }
  }
  peaks[result * VOCAB_BLOCKS + block] = best;
}
