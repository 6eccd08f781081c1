// One activation block of 32 values in f32. Fields instead of an array, here and in the weights: drivers that do not unroll
// early turn an indexed array into memory or into chains of selects.
@group(0) @binding(3) var<storage, read> x_codes: array<vec4<f32>>; // [column][block][8]
@group(0) @binding(4) var<storage, read> x_meta: array<vec4<f32>>;  // [column][block]: 1, sum of values, sum of squares before the gain

struct X {
  v0: vec4<f32>,
  v1: vec4<f32>,
  v2: vec4<f32>,
  v3: vec4<f32>,
  v4: vec4<f32>,
  v5: vec4<f32>,
  v6: vec4<f32>,
  v7: vec4<f32>,
  sum: f32,
  squares: f32,
}

fn load_x(column: u32, block: u32) -> X {
  let note = x_meta[column * BLOCKS + block];
  let at = 8u * (column * BLOCKS + block);
  return X(
    x_codes[at],
    x_codes[at + 1u],
    x_codes[at + 2u],
    x_codes[at + 3u],
    x_codes[at + 4u],
    x_codes[at + 5u],
    x_codes[at + 6u],
    x_codes[at + 7u],
    note.y,
    note.z,
  );
}

fn prepare_inputs(column: u32, thread: u32) {
}
