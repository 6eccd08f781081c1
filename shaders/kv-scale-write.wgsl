// Scales of a q8 cache, written one at a time: the other half of a word belongs to another thread.
@group(0) @binding(11) var<storage, read_write> kv_scales: array<atomic<u32>>; // [...][HEAD_STRIDE / KV_BLOCK] f16

fn store_scale(block: u32, scale: f32) {
  store_scale_bits(block, pack2x16float(vec2<f32>(scale, 0.0)));
}

fn store_scale_bits(block: u32, half: u32) {
  let shift = block % 2u * 16u;
  atomicAnd(&kv_scales[block / 2u], ~(0xffffu << shift));
  atomicOr(&kv_scales[block / 2u], half << shift);
}

// The scale of a block whose largest magnitude this is, as f16 holds it. Rounded by hand: pack2x16float cuts the rest off on
// RADV, and where its result is unpacked again lavapipe's compiler takes both away, so that codes and scale would not match.
fn scale_for(largest: f32) -> f32 {
  let scale = largest * (1.0 / 127.0);
  let step = max(bitcast<f32>(bitcast<u32>(scale) & 0x7f800000u) * 0x1p-10, 0x1p-24); // from one f16 to the next
  return round(scale / step) * step;
}

// Four codes of a block.
fn four_codes_of(four: vec4<f32>, scale: f32) -> u32 {
  let inverse = select(0.0, 1.0 / scale, scale > 0.0);
  return pack4xI8(vec4<i32>(clamp(round(four * inverse), vec4<f32>(-127.0), vec4<f32>(127.0))));
}
