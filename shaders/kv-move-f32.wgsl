// Pieces of rows of a cache in f32.
@group(0) @binding(6) var<storage, read_write> kv: array<vec2<f32>>; // [slot][k, v][kvHead][position][HEAD_STRIDE] f32
const UNIT = 2u;

fn move_unit(from_place: u32, to_place: u32, unit: u32) {
  kv[to_place / UNIT + unit] = kv[from_place / UNIT + unit];
}

fn load_unit(place: u32, unit: u32) -> array<f32, UNIT> {
  let pair = kv[place / UNIT + unit];
  return array<f32, UNIT>(pair.x, pair.y);
}

fn store_unit(place: u32, unit: u32, values: array<f32, UNIT>) {
  kv[place / UNIT + unit] = vec2<f32>(values[0], values[1]);
}
