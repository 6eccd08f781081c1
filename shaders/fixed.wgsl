// Numbers that many workgroups add to at once, in whatever order, with the same sum to the last bit: in two whole numbers,
// high * 2^-8 + low * 2^-31. A summand is within 2^23 and leaves 2^22 in `low` at most, so that there is room for 511 of them.
const HIGH_UNIT = 0x1p-8;
const LOW_UNIT = 0x1p-31;
const LOW_BITS = 23u; // that make one of `high`

// What `low` has beyond half a unit of `high`, in such units.
fn carry_of(low: vec4<i32>) -> vec4<i32> {
  return (low + (1i << (LOW_BITS - 1u))) >> vec4<u32>(LOW_BITS);
}

fn value_of(high: vec4<i32>, low: vec4<i32>) -> vec4<f32> {
  let carry = carry_of(low);
  let rest = low - (carry << vec4<u32>(LOW_BITS));
  return fma(vec4<f32>(high + carry), vec4<f32>(HIGH_UNIT), vec4<f32>(rest) * LOW_UNIT);
}

fn high_part(value: f32) -> f32 {
  return round(value * (1.0 / HIGH_UNIT));
}

fn low_part(value: f32, high: f32) -> f32 {
  return round((value - high * HIGH_UNIT) * (1.0 / LOW_UNIT));
}
