// Codes of either sign.
//! include codes
fn four_codes(word: u32) -> vec4<f32> {
  return vec4<f32>(unpack4xI8(word));
}

const SIGNED = true;
