// Brings rows of file blocks (an f16 scale, then codes) into the device layout of quant/layout.ts: codes and row-quad scales
// apart, rows reordered. A thread has one block of four rows. Blocks of 18 or 34 bytes lie at even bytes only, so words are
// put together from two.
//! param BLOCK_BYTES u32 18 34
const CODE_WORDS = (BLOCK_BYTES - 2u) / 4u;

struct Slice {
  rows: u32,      // rows of the file that this slice brings to the device
  blocks: u32,    // blocks in a row
  first_row: u32, // of the matrix part, before alternating
  lead: u32,      // rows of an unfinished head in front of the first one
  head: u32,      // rows of a head whose RoPE pairs are half-split in the file; 0: rows stay in order
  rope_dim: u32,
  alternate: u32, // 0: rows lie one after another; 1, 2: they are the first or second 32 rows of every 64
  pad: u32,
}

@group(0) @binding(0) var<uniform> slice: Slice;
@group(0) @binding(1) var<storage, read> raw: array<u32>;                  // [row][block] of BLOCK_BYTES bytes
@group(0) @binding(2) var<storage, read_write> codes: array<u32>;          // [row][block][CODE_WORDS]
@group(0) @binding(3) var<storage, read_write> scales: array<vec2<u32>>;   // [row / 4][block], f16 pairs

fn word_at(byte: u32) -> u32 {
  let low = raw[byte / 4u];
  if (byte % 4u == 0u) {
    return low;
  }
  return (low >> 16u) | (raw[byte / 4u + 1u] << 16u);
}

// Where row i of this slice stands in the file's rows: pairs (2j, 2j + 1) come from (j, j + rope_dim / 2) of their head.
fn file_row(i: u32) -> u32 {
  if (slice.head == 0u) {
    return i;
  }
  let at = slice.lead + i;
  let in_head = at % slice.head;
  if (in_head >= slice.rope_dim) {
    return at;
  }
  return at - in_head + in_head % 2u * (slice.rope_dim / 2u) + in_head / 2u;
}

fn device_row(i: u32) -> u32 {
  let row = slice.first_row + i;
  if (slice.alternate == 0u) {
    return row;
  }
  return row / 32u * 64u + (slice.alternate - 1u) * 32u + row % 32u;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let index = id.y * groups.x * 64u + id.x;
  let quad = index / slice.blocks;
  let block = index % slice.blocks;
  if (quad * 4u >= slice.rows) {
    return;
  }
  var halves = vec4<u32>();
  for (var j = 0u; j < 4u; j++) {
    let i = quad * 4u + j;
    if (i < slice.rows) { // rows beyond stay zero, as the buffers were made: scale 0 is weight 0
      let source = (file_row(i) * slice.blocks + block) * BLOCK_BYTES;
      halves[j] = word_at(source) & 0xffffu;
      let to = (device_row(i) * slice.blocks + block) * CODE_WORDS;
      for (var word = 0u; word < CODE_WORDS; word++) {
        codes[to + word] = word_at(source + 2u + 4u * word);
      }
    }
  }
  scales[device_row(quad * 4u) / 4u * slice.blocks + block] = vec2<u32>(halves.x | (halves.y << 16u), halves.z | (halves.w << 16u));
}
