// 4-bit indices into a table of int8: two to a byte, of weights i and i + 16. Workgroup memory holds what each of the 256
// bytes stands for, so that one look-up serves two weights.
//! include codes-signed
@group(0) @binding(1) var<storage, read> codes: array<vec4<u32>>; // [row][block]
var<workgroup> pairs: array<u32, 256>;                            // by byte: the lower index's value in byte 0, the upper one's in byte 2

const CENTRE = 0.0;
// IQ4_NL's, as in quant/layout.ts
const TABLE = array<i32, 16>(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);

// Called by the whole workgroup before any load_codes.
fn prepare_codes(thread: u32) {
  var table = TABLE;
  for (var i = thread; i < 256u; i += THREADS) {
    pairs[i] = (u32(table[i % 16u]) & 0xffu) | ((u32(table[i / 16u]) & 0xffu) << 16u);
  }
  workgroupBarrier();
}

// The values of four bytes: those of the lower indices, of the upper ones.
fn look_up(word: u32) -> vec2<u32> {
  let first = pairs[word & 0xffu] | (pairs[(word >> 8u) & 0xffu] << 8u);
  let last = pairs[(word >> 16u) & 0xffu] | (pairs[word >> 24u] << 8u);
  return vec2<u32>((first & 0xffffu) | (last << 16u), (first >> 16u) | (last & 0xffff0000u));
}

alias RawCodes = vec4<u32>;

fn fetch_codes(row: u32, block: u32) -> RawCodes {
  return codes[row * BLOCKS + block];
}

fn codes_of(q: RawCodes, block: u32) -> Codes {
  let a = look_up(q.x);
  let b = look_up(q.y);
  let c = look_up(q.z);
  let d = look_up(q.w);
  return Codes(vec4<u32>(a.x, b.x, c.x, d.x), vec4<u32>(a.y, b.y, c.y, d.y));
}
