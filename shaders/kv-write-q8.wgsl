// KV cache in int8 with an f16 scale for every KV_BLOCK elements: d = largest / 127, code = round(value / d).
//! include kv-place blocks
//! param KV_BLOCK u32 8 16 32
@group(0) @binding(6) var<storage, read_write> kv: array<u32>;                 // [slot][k, v][kvHead][position][HEAD_STRIDE] int8
@group(0) @binding(11) var<storage, read_write> kv_scales: array<atomic<u32>>; // [...][HEAD_STRIDE / KV_BLOCK] f16
var<workgroup> kv_values: array<f32, 32u * BLOCKS_AT_ONCE>;

// The other half of the word belongs to a block of another workgroup.
fn store_scale(block: u32, half: u32) {
  let shift = block % 2u * 16u;
  atomicAnd(&kv_scales[block / 2u], ~(0xffffu << shift));
  atomicOr(&kv_scales[block / 2u], half << shift);
}

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
  let half = pack2x16float(vec2<f32>(largest * (1.0 / 127.0), 0.0));
  let scale = unpack2x16float(half).x; // as it will be read
  let inverse = select(0.0, 1.0 / scale, scale > 0.0);
  let four = vec4<f32>(kv_values[thread], kv_values[thread + 1u], kv_values[thread + 2u], kv_values[thread + 3u]);
  let codes = clamp(round(four * inverse), vec4<f32>(-127.0), vec4<f32>(127.0));
  kv[(place + dim) / 4u] = pack4xI8(vec4<i32>(codes));
  if (thread == first) {
    store_scale((place + dim) / KV_BLOCK, half);
  }
}
