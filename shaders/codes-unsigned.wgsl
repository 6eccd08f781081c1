// Codes that are never negative: unpacking takes one instruction a code.
//! include codes codes-plain
fn four_codes(word: u32) -> vec4<f32> {
  return vec4<f32>(unpack4xU8(word));
}

const SIGNED = false;
