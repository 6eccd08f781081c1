// Scales of a q8 cache, written one at a time: the other half of a word belongs to another thread.
@group(0) @binding(11) var<storage, read_write> kv_scales: array<atomic<u32>>; // [...][HEAD_STRIDE / KV_BLOCK] f16

fn store_scale(block: u32, half: u32) {
  let shift = block % 2u * 16u;
  atomicAnd(&kv_scales[block / 2u], ~(0xffffu << shift));
  atomicOr(&kv_scales[block / 2u], half << shift);
}

// The f16 bits of the scale of a block whose largest magnitude this is.
fn scale_bits(largest: f32) -> u32 {
  return pack2x16float(vec2<f32>(largest * (1.0 / 127.0), 0.0));
}

// Four codes of a block by the scale as it will be read.
fn four_codes_of(four: vec4<f32>, bits: u32) -> u32 {
  let scale = unpack2x16float(bits).x;
  let inverse = select(0.0, 1.0 / scale, scale > 0.0);
  return pack4xI8(vec4<i32>(clamp(round(four * inverse), vec4<f32>(-127.0), vec4<f32>(127.0))));
}
