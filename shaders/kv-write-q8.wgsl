// KV cache in int8 with an f16 scale for every KV_BLOCK elements: d = largest / 127, code = round(value / d).
//! include kv-place kv-scale-write blocks
//! param KV_BLOCK u32 8 16 32
@group(0) @binding(6) var<storage, read_write> kv: array<u32>;                 // [slot][k, v][kvHead][position][HEAD_STRIDE] int8
var<workgroup> kv_values: array<f32, 32u * BLOCKS_AT_ONCE>;

// As in kv-pairs.wgsl. Called by the whole workgroup; another call needs a barrier in between.
fn keep_kv(place: u32, dim: u32, thread: u32, value: f32, neighbour: f32, live: bool) {
  if (thread < 32u * BLOCKS_AT_ONCE) {
    kv_values[thread] = value;
  }
  workgroupBarrier();
  if (!live || thread % 4u > 0u) {
    return;
  }
  let first = thread / KV_BLOCK * KV_BLOCK;
  var largest = 0.0;
  for (var i = 0u; i < opaque_count(KV_BLOCK); i++) {
    largest = max(largest, abs(kv_values[first + i]));
  }
  let scale = scale_for(largest);
  let four = vec4<f32>(kv_values[thread], kv_values[thread + 1u], kv_values[thread + 2u], kv_values[thread + 3u]);
  kv[(place + dim) / 4u] = four_codes_of(four, scale);
  if (thread == first) {
    store_scale((place + dim) / KV_BLOCK, scale);
  }
}
