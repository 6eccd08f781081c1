// Activation blocks as act-i8.wgsl has them, which this workgroup has made for itself.
//! include int8-block x-i8
var<workgroup> shared_words: array<array<vec4<u32>, 2>, SHARED_BLOCKS>; // [block][2], 16 int8 each
var<workgroup> shared_meta: array<vec3<f32>, SHARED_BLOCKS>;            // d, d * sum of codes, sum of squares before the gain

// Called by whole subgroups: values 4i..4i+3 of all that there are.
fn share_four(i: u32, values: vec4<f32>, squares: f32, live: bool) {
  let part = int8_part(values);
  if (live) {
    shared_words[i / 8u][i % 8u / 4u][i % 4u] = part.word;
  }
  if (live && i % 8u == 0u) {
    shared_meta[i / 8u] = vec3<f32>(part.d, part.sum, squares);
  }
}

fn load_x(column: u32, block: u32) -> X {
  let note = shared_meta[block];
  return X(shared_words[block][0], shared_words[block][1], note.x, note.y, note.z);
}
