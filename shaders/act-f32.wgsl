// One activation block of 32 values in f32.
@group(0) @binding(3) var<storage, read> x_codes: array<vec4<f32>>; // [column][block][8]
@group(0) @binding(4) var<storage, read> x_meta: array<vec4<f32>>;  // [column][block]: 1, sum of values, sum of squares before the gain

struct X {
  values: array<vec4<f32>, 8>,
  sum: f32,
  squares: f32,
}

fn load_x(column: u32, block: u32) -> X {
  let at = column * BLOCKS + block;
  let note = x_meta[at];
  var x = X(array<vec4<f32>, 8>(), note.y, note.z);
  for (var i = 0u; i < 8u; i++) {
    x.values[i] = x_codes[8u * at + i];
  }
  return x;
}
