// One activation block of 32 values as int8, as products take it: value = d * code.
struct X {
  low: vec4<u32>,  // values 0..15
  high: vec4<u32>, // values 16..31
  d: f32,
  sum: f32,     // d * sum of codes
  squares: f32, // sum of squares before the gain
}
