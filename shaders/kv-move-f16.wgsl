// Pieces of rows of a cache in f16.
@group(0) @binding(6) var<storage, read_write> kv: array<vec4<u32>>; // [slot][k, v][kvHead][position][HEAD_STRIDE] f16
const UNIT = 8u;

fn move_unit(from_place: u32, to_place: u32, unit: u32) {
  kv[to_place / UNIT + unit] = kv[from_place / UNIT + unit];
}

fn load_unit(place: u32, unit: u32) -> array<f32, UNIT> {
  let words = kv[place / UNIT + unit];
  var values = array<f32, UNIT>();
  for (var i = 0u; i < 4u; i++) {
    let pair = unpack2x16float(words[i]);
    values[2u * i] = pair.x;
    values[2u * i + 1u] = pair.y;
  }
  return values;
}

fn store_unit(place: u32, unit: u32, values: array<f32, UNIT>) {
  kv[place / UNIT + unit] = vec4<u32>(
    pack2x16float(vec2<f32>(values[0], values[1])),
    pack2x16float(vec2<f32>(values[2], values[3])),
    pack2x16float(vec2<f32>(values[4], values[5])),
    pack2x16float(vec2<f32>(values[6], values[7])),
  );
}
