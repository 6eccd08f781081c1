// KV cache in int8 with an f16 scale for every KV_BLOCK elements, eight elements a load.
//! include kv-place
//! param KV_BLOCK u32 8 16 32
@group(0) @binding(6) var<storage, read> kv: array<vec2<u32>>;   // [slot][k, v][kvHead][position][HEAD_STRIDE] int8
@group(0) @binding(11) var<storage, read> kv_scales: array<u32>; // [...][HEAD_STRIDE / KV_BLOCK] f16

struct Eight {
  a: vec4<f32>,
  b: vec4<f32>,
}

struct RawEight {
  codes: vec2<u32>,
  scale: f32,
}

// Elements 8 * chunk .. 8 * chunk + 7 of a row that starts at `place`, as they lie there.
fn fetch_kv(place: u32, chunk: u32) -> RawEight {
  let block = (place + 8u * chunk) / KV_BLOCK;
  return RawEight(kv[place / 8u + chunk], unpack2x16float(kv_scales[block / 2u])[block % 2u]);
}

fn eight_of(raw: RawEight) -> Eight {
  return Eight(raw.scale * vec4<f32>(unpack4xI8(raw.codes.x)), raw.scale * vec4<f32>(unpack4xI8(raw.codes.y)));
}

// The same as four pairs of f16, rounded.
fn load_halves(place: u32, chunk: u32) -> vec4<u32> {
  let row = eight_of(fetch_kv(place, chunk));
  return vec4<u32>(
    pack2x16float(row.a.xy),
    pack2x16float(row.a.zw),
    pack2x16float(row.b.xy),
    pack2x16float(row.b.zw),
  );
}
