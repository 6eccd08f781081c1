// One activation block of 32 values in f16, in the order in which the nibbles of a 4-bit block come out as f16 pairs:
// word 2w + j of each half holds the values 4w + j (low) and 4w + j + 2 (high) of that half.
//! enable f16
@group(0) @binding(3) var<storage, read> x_codes: array<vec4<u32>>; // [column][block][4]
@group(0) @binding(4) var<storage, read> x_meta: array<vec4<f32>>;  // [column][block]: 1, sum of values, sum of squares before the gain

struct X {
  low01: vec4<u32>,  // the pairs for words 0 and 1 of the weights' low nibbles
  low23: vec4<u32>,
  high01: vec4<u32>,
  high23: vec4<u32>,
  sum: f32,
  squares: f32,
}

fn load_x(column: u32, block: u32) -> X {
  let note = x_meta[column * BLOCKS + block];
  let at = 4u * (column * BLOCKS + block);
  return X(x_codes[at], x_codes[at + 1u], x_codes[at + 2u], x_codes[at + 3u], note.y, note.z);
}

fn prepare_inputs(column: u32, thread: u32) {
}
