// Pieces of rows of a cache in q8: the blocks that share a scale.
//! include kv-scale-write
//! param KV_BLOCK u32 8 16 32
@group(0) @binding(6) var<storage, read_write> kv: array<u32>; // [slot][k, v][kvHead][position][HEAD_STRIDE] int8
const UNIT = KV_BLOCK;
const UNIT_WORDS = UNIT / 4u;

fn load_scale_bits(block: u32) -> u32 {
  return (atomicLoad(&kv_scales[block / 2u]) >> (block % 2u * 16u)) & 0xffffu;
}

fn move_unit(from_place: u32, to_place: u32, unit: u32) {
  let from_block = from_place / UNIT + unit;
  let to_block = to_place / UNIT + unit;
  for (var i = 0u; i < UNIT_WORDS; i++) {
    kv[to_block * UNIT_WORDS + i] = kv[from_block * UNIT_WORDS + i];
  }
  store_scale_bits(to_block, load_scale_bits(from_block));
}

fn load_unit(place: u32, unit: u32) -> array<f32, UNIT> {
  let block = place / UNIT + unit;
  let scale = unpack2x16float(load_scale_bits(block)).x;
  var values = array<f32, UNIT>();
  for (var i = 0u; i < UNIT_WORDS; i++) {
    let four = scale * vec4<f32>(unpack4xI8(kv[block * UNIT_WORDS + i]));
    values[4u * i] = four.x;
    values[4u * i + 1u] = four.y;
    values[4u * i + 2u] = four.z;
    values[4u * i + 3u] = four.w;
  }
  return values;
}

fn store_unit(place: u32, unit: u32, values: array<f32, UNIT>) {
  let block = place / UNIT + unit;
  var own = values;
  var largest = 0.0;
  for (var i = 0u; i < UNIT; i++) {
    largest = max(largest, abs(own[i]));
  }
  let scale = scale_for(largest);
  for (var i = 0u; i < UNIT_WORDS; i++) {
    let four = vec4<f32>(own[4u * i], own[4u * i + 1u], own[4u * i + 2u], own[4u * i + 3u]);
    kv[block * UNIT_WORDS + i] = four_codes_of(four, scale);
  }
  store_scale(block, scale);
}
