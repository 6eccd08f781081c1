// Brings rows of file blocks into the device layout of quant/layout.ts: codes and row-quad scales apart, rows reordered. A
// thread has 32 weights of four rows. Rows beyond the last stay zero, as the buffers were made.
//! include raw-$RAW
//! param CODE_BITS u32 2 3 4 5 6 8
//! param SCALE_BLOCKS u32 1 2 4 8
//! param OWN bool
//! param PAIRED bool
//! param WIDE bool

// Planes that a code is kept in: four bits, then two, then one. Blocks whose planes would leave loads in pieces lie together.
const NIBBLES = CODE_BITS >= 4u && CODE_BITS < 8u;
const PAIRS = CODE_BITS == 2u || CODE_BITS == 3u || CODE_BITS == 6u;
const SINGLES = CODE_BITS == 3u || CODE_BITS == 5u;
const CODE_BLOCKS = select(select(1u, 2u, CODE_BITS == 3u || CODE_BITS == 6u), 4u, CODE_BITS == 5u);

struct Slice {
  rows: u32,      // rows of the file that this slice brings to the device
  blocks: u32,    // blocks in a row
  first_row: u32, // of the matrix part, before alternating
  lead: u32,      // rows of an unfinished head in front of the first one
  head: u32,      // rows of a head whose RoPE pairs are half-split in the file; 0: rows stay in order
  rope_dim: u32,
  alternate: u32, // 0: rows lie one after another; 1, 2: they are the first or second 32 rows of every 64
  row_bytes: u32, // of the file
}

@group(0) @binding(0) var<uniform> slice: Slice;
@group(0) @binding(2) var<storage, read_write> codes: array<u32>;        // [row][block / CODE_BLOCKS][CODE_BLOCKS * CODE_BITS]
@group(0) @binding(3) var<storage, read_write> scales: array<vec2<u32>>; // [row / 4][block / SCALE_BLOCKS], as in scales-*.wgsl

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

fn put_codes(row: u32, block: u32, c: array<u32, 8>) {
  let units = (slice.blocks + CODE_BLOCKS - 1u) / CODE_BLOCKS;
  let nth = block % CODE_BLOCKS;
  var at = (row * units + block / CODE_BLOCKS) * CODE_BLOCKS * CODE_BITS;
  var kept = c;
  if (CODE_BITS == 8u) {
    for (var k = 0u; k < 8u; k++) {
      codes[at + k] = kept[k];
    }
  }
  if (NIBBLES) {
    for (var k = 0u; k < 4u; k++) {
      codes[at + 4u * nth + k] = (kept[k] & LOWER) | ((kept[k + 4u] & LOWER) << 4u);
    }
    at += 4u * CODE_BLOCKS;
  }
  if (PAIRS) {
    const SHIFT = select(0u, 4u, NIBBLES);
    for (var w = 0u; w < 2u; w++) {
      var word = 0u;
      for (var k = 0u; k < 4u; k++) {
        word |= ((kept[4u * w + k] >> SHIFT) & 0x03030303u) << (2u * k);
      }
      codes[at + 2u * nth + w] = word;
    }
    at += 2u * CODE_BLOCKS;
  }
  if (SINGLES) {
    var word = 0u;
    for (var k = 0u; k < 8u; k++) {
      word |= ((kept[k] >> (CODE_BITS - 1u)) & 0x01010101u) << k;
    }
    codes[at + nth] = word;
  }
}

fn pack_halves(h: vec4<u32>) -> vec2<u32> {
  return vec2<u32>(h.x | (h.y << 16u), h.z | (h.w << 16u));
}

fn pack_bytes(b: vec4<u32>) -> u32 {
  return b.x | (b.y << 8u) | (b.z << 16u) | (b.w << 24u);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let index = id.y * groups.x * 64u + id.x;
  let quad = index / slice.blocks;
  let block = index % slice.blocks;
  if (quad * 4u >= slice.rows) {
    return;
  }
  var d = vec4<u32>();
  var m = vec4<u32>();
  var first = vec4<u32>();
  var second = vec4<u32>();
  for (var j = 0u; j < 4u; j++) {
    let i = quad * 4u + j;
    if (i < slice.rows) {
      let taken = take(file_row(i) * slice.row_bytes, block);
      d[j] = taken.d;
      m[j] = taken.m;
      first[j] = taken.first;
      second[j] = taken.second;
      put_codes(device_row(i), block, taken.codes);
    }
  }
  let target_quad = device_row(quad * 4u) / 4u;
  // OWN: two bytes of each block; then what a unit shares: scales, PAIRED with minima or zeros; or WIDE, f32 scales
  const UNIT = select(0u, SCALE_BLOCKS, OWN) + select(1u, 2u, PAIRED || WIDE);
  let units = (slice.blocks + SCALE_BLOCKS - 1u) / SCALE_BLOCKS;
  var at = (target_quad * units + block / SCALE_BLOCKS) * UNIT;
  if (OWN) {
    scales[at + block % SCALE_BLOCKS] = vec2<u32>(pack_bytes(first), pack_bytes(second));
    at += SCALE_BLOCKS;
  }
  if (block % SCALE_BLOCKS != 0u) {
    return;
  }
  if (WIDE) {
    scales[at] = d.xy;
    scales[at + 1u] = d.zw;
    return;
  }
  scales[at] = pack_halves(d);
  if (PAIRED) {
    scales[at + 1u] = pack_halves(m);
  }
}
