// The TOP best logits of an output in order, of equals the lower id first.
// The best 64 logits lie within the 64 blocks of 32 rows with the best peaks, so only 2048 logits are looked at.
//! param VOCAB u32
//! param THREADS u32 64 256 1024
const TOP = 64u;
const CANDIDATES = TOP * 32u;
@group(0) @binding(5) var<storage, read> logits: array<f32>;      // [output][VOCAB padded to 32]
@group(0) @binding(6) var<storage, read> peaks: array<vec2<f32>>; // [output][block of 32 rows]: best logit, its id as bits
var<workgroup> keys: array<u32, CANDIDATES>;   // candidate logits as ordered bits
var<workgroup> blocks: array<u32, TOP>;
var<workgroup> top_values: array<f32, TOP>;
var<workgroup> top_ids: array<u32, TOP>;
var<workgroup> sorted_values: array<f32, TOP>;
var<workgroup> sorted_ids: array<u32, TOP>;
var<workgroup> bins: array<atomic<u32>, 256>;
var<workgroup> found: atomic<u32>;
var<workgroup> ties: atomic<u32>;
var<workgroup> prefix: u32;
var<workgroup> rest: u32;

// Bits that sort as the numbers do.
fn ordered(value: f32) -> u32 {
  let bits = bitcast<u32>(value);
  return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}

fn unordered(key: u32) -> f32 {
  return bitcast<f32>(select(~key, key & 0x7fffffffu, key >= 0x80000000u));
}

fn peak_key(result: u32, i: u32) -> u32 {
  return ordered(peaks[result * VOCAB_BLOCKS + i].x);
}

// One round of a radix selection from the top: counts byte `shift` of the keys that agree with the prefix so far, then
// extends the prefix by the byte in which the TOP-th largest key lies.
fn begin_round(thread: u32) {
  for (var i = thread; i < 256u; i += THREADS) {
    atomicStore(&bins[i], 0u);
  }
  workgroupBarrier();
}

fn count_key(key: u32, shift: u32) {
  let above = select(0xffffffffu << (shift + 8u), 0u, shift == 24u);
  if ((key & above) == (prefix & above)) {
    atomicAdd(&bins[(key >> shift) & 255u], 1u);
  }
}

fn end_round(thread: u32, shift: u32) {
  workgroupBarrier();
  if (thread == 0u) {
    var byte = 255u;
    var left = rest;
    loop {
      let count = atomicLoad(&bins[byte]);
      if (count >= left || byte == 0u) {
        break;
      }
      left -= count;
      byte -= 1u;
    }
    rest = left;
    prefix |= byte << shift;
  }
  workgroupBarrier();
}

fn begin_selection(thread: u32, count: u32) {
  workgroupBarrier();
  if (thread == 0u) {
    prefix = 0u;
    rest = min(count, TOP);
    atomicStore(&found, 0u);
    atomicStore(&ties, 0u);
  }
  workgroupBarrier();
}

// After the rounds `prefix` is the TOP-th largest key, and `rest` of those equal to it are to be taken. The place among the
// selected, or TOP when the key is not one of them.
fn place_of(key: u32) -> u32 {
  if (key > prefix) {
    return atomicAdd(&found, 1u);
  }
  if (key == prefix && atomicAdd(&ties, 1u) < rest) {
    return atomicAdd(&found, 1u);
  }
  return TOP;
}

// Called by the whole workgroup; how many there are, at most TOP. They lie in sorted_values and sorted_ids behind a barrier.
fn sort_top(result: u32, thread: u32) -> u32 {
  for (var i = thread; i < TOP; i += THREADS) {
    blocks[i] = VOCAB_BLOCKS;
    top_values[i] = -3.4e38;
  }
  begin_selection(thread, VOCAB_BLOCKS);
  for (var round = 0u; round < 4u; round++) {
    let shift = 24u - 8u * round;
    begin_round(thread);
    for (var i = thread; i < VOCAB_BLOCKS; i += THREADS) {
      count_key(peak_key(result, i), shift);
    }
    end_round(thread, shift);
  }
  for (var i = thread; i < VOCAB_BLOCKS; i += THREADS) {
    let place = place_of(peak_key(result, i));
    if (place < TOP) {
      blocks[place] = i;
    }
  }
  workgroupBarrier();
  for (var i = thread; i < CANDIDATES; i += THREADS) {
    let block = blocks[i / 32u];
    let id = block * 32u + i % 32u;
    keys[i] = 0u;
    if (block < VOCAB_BLOCKS && id < VOCAB) {
      keys[i] = ordered(logits[result * VOCAB_BLOCKS * 32u + id]);
    }
  }
  begin_selection(thread, VOCAB);
  for (var round = 0u; round < 4u; round++) {
    let shift = 24u - 8u * round;
    begin_round(thread);
    for (var i = thread; i < CANDIDATES; i += THREADS) {
      count_key(keys[i], shift);
    }
    end_round(thread, shift);
  }
  for (var i = thread; i < CANDIDATES; i += THREADS) {
    let place = place_of(keys[i]);
    if (place < TOP) {
      top_values[place] = unordered(keys[i]);
      top_ids[place] = blocks[i / 32u] * 32u + i % 32u;
    }
  }
  workgroupBarrier();
  // sort by counting how many come before; equal logits by id, so that the order does not depend on the race above
  let count = min(atomicLoad(&found), TOP);
  for (var i = thread; i < count; i += THREADS) {
    let value = top_values[i];
    let id = top_ids[i];
    var before = 0u;
    for (var j = 0u; j < count; j++) {
      before += select(0u, 1u, top_values[j] > value || (top_values[j] == value && top_ids[j] < id));
    }
    sorted_values[before] = value;
    sorted_ids[before] = id;
  }
  workgroupBarrier();
  return count;
}
