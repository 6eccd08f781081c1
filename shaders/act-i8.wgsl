// One activation block of 32 values as int8: value = d * code.
@group(0) @binding(3) var<storage, read> x_codes: array<vec4<u32>>; // [column][block][2], 16 int8 each
@group(0) @binding(4) var<storage, read> x_meta: array<vec4<f32>>;  // [column][block]: d, d * sum of codes, sum of squares before the gain

struct X {
  low: vec4<u32>,  // values 0..15
  high: vec4<u32>, // values 16..31
  d: f32,
  sum: f32,
  squares: f32,
}

fn load_x(column: u32, block: u32) -> X {
  let at = column * BLOCKS + block;
  let note = x_meta[at];
  return X(x_codes[2u * at], x_codes[2u * at + 1u], note.x, note.y, note.z);
}

fn prepare_inputs(column: u32, thread: u32) {
}
