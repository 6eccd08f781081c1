/** IEEE 754 half precision: 1 sign, 5 exponent (bias 15) and 10 mantissa bits, kept as integers 0..65535. */

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** Exact; infinities and NaN (with its payload) included. */
export function f16ToF32(half: number): number {
  const magnitude = half & 0x7fff;
  const sign = (half & 0x8000) << 16;
  if (magnitude >= 0x7c00) {
    bits[0] = sign | 0x7f800000 | (magnitude << 13);
    return float[0]!;
  }
  // Read as f32 the exponent is 112 too small, for subnormals too; the product is exact.
  bits[0] = sign | (magnitude << 13);
  return float[0]! * 2 ** 112;
}

/** Rounds to the nearest f16, ties to even; too large becomes infinity, NaN stays NaN. The value is taken as f32. */
export function f32ToF16(value: number): number {
  float[0] = value;
  const word = bits[0]!;
  const sign = (word >>> 16) & 0x8000;
  const magnitude = word & 0x7fffffff;
  if (magnitude >= 0x7f800000) {
    return sign | (magnitude > 0x7f800000 ? 0x7e00 | ((magnitude >> 13) & 0x3ff) : 0x7c00);
  }
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // 65520 and above round to infinity
  if (magnitude < 0x38800000) {
    // Subnormal, below 2^-14: at 0.5 an f32 step is 2^-24, f16's smallest, so adding 0.5 rounds as wanted.
    bits[0] = magnitude;
    float[0] = float[0]! + 0.5;
    return sign | (bits[0]! - 0x3f000000);
  }
  const even = (magnitude >> 13) & 1;
  return sign | ((magnitude - 0x38000000 + 0xfff + even) >> 13);
}

/** Widens `halves` into the start of `values`. */
export function decodeF16(halves: Uint16Array, values: Float32Array): void {
  for (let i = 0; i < halves.length; i++) values[i] = f16ToF32(halves[i]!);
}

/** Rounds `values` into the start of `halves`. */
export function encodeF16(values: Float32Array, halves: Uint16Array): void {
  for (let i = 0; i < values.length; i++) halves[i] = f32ToF16(values[i]!);
}
