// Blocks of quantised weights as f16. A byte or-ed into the bits of f16 1024.0 is the number 1024 + byte, so codes need no
// conversion.
//! enable f16
//! include codes-$CODES scales-$SCALES halved-$HALVED

// A block on its way: nothing is computed with it, so nothing waits for it.
struct Raw {
  codes: RawCodes,
  scales: RawScales,
}

struct Ready {
  codes: Codes,
  low: Scale,
  high: Scale,
}

fn fetch_raw(row: u32, block: u32) -> Raw {
  return Raw(fetch_codes(row, block), fetch_scales(row / 4u, block));
}

fn ready(raw: Raw, row: u32, block: u32) -> Ready {
  let scales = scales_of(raw.scales);
  return Ready(codes_of(raw.codes, block), scale_of(scales, row % 4u, 0u), scale_of(scales, row % 4u, 1u));
}

// The `n`th four weights in the order of act-f16.wgsl, of 0..7.
fn four_halves_of(w: Ready, n: u32) -> vec4<f16> {
  const FLIP = select(0u, 0x80808080u, SIGNED);
  const BIAS = vec2<f16>(select(1024.0h, 1152.0h, SIGNED));
  let word = select(w.codes.high, w.codes.low, n < 4u)[n % 4u] ^ FLIP;
  let even = bitcast<vec2<f16>>((word & 0x00ff00ffu) | 0x64006400u) - BIAS;
  let odd = bitcast<vec2<f16>>(((word >> 8u) & 0x00ff00ffu) | 0x64006400u) - BIAS;
  if (HALVES && n >= 4u) {
    return vec4<f16>(halved(w.high, even), halved(w.high, odd));
  }
  return vec4<f16>(halved(w.low, even), halved(w.low, odd));
}
