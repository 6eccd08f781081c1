// Activation blocks as int8 where their producer has left them.
//! include x-i8
@group(0) @binding(3) var<storage, read> x_codes: array<vec4<u32>>; // [column][block][2], 16 int8 each
@group(0) @binding(4) var<storage, read> x_meta: array<vec4<f32>>;  // [column][block]: d, d * sum of codes, sum of squares before the gain

fn load_x(column: u32, block: u32) -> X {
  let at = column * BLOCKS + block;
  let note = x_meta[at];
  return X(x_codes[2u * at], x_codes[2u * at + 1u], note.x, note.y, note.z);
}

fn prepare_inputs(column: u32, thread: u32) {
}
