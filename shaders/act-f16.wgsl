// One activation block of 32 values in f16, in the order in which the nibbles of a 4-bit block come out as f16 pairs:
// word 2w + j of each half holds the values 4w + j (low) and 4w + j + 2 (high) of that half.
//! enable f16
@group(0) @binding(3) var<storage, read> x_codes: array<vec4<u32>>; // [column][block][4]
@group(0) @binding(4) var<storage, read> x_meta: array<vec4<f32>>;  // [column][block]: 1, sum of values, sum of squares before the gain

struct X {
  low: array<vec4<u32>, 2>,
  high: array<vec4<u32>, 2>,
  sum: f32,
  squares: f32,
}

fn load_x(column: u32, block: u32) -> X {
  let at = column * BLOCKS + block;
  let note = x_meta[at];
  return X(
    array<vec4<u32>, 2>(x_codes[4u * at], x_codes[4u * at + 1u]),
    array<vec4<u32>, 2>(x_codes[4u * at + 2u], x_codes[4u * at + 3u]),
    note.y,
    note.z,
  );
}
