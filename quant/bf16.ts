/** bfloat16: the upper half of an f32, kept as integers 0..65535. */

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** Exact. */
export function bf16ToF32(half: number): number {
  bits[0] = half << 16;
  return float[0]!;
}

/** Rounds to the nearest bf16, ties to even; NaN stays NaN. The value is taken as f32. */
export function f32ToBf16(value: number): number {
  float[0] = value;
  const word = bits[0]!;
  // A NaN whose payload lies in the lower half only would become infinity: set its quiet bit instead of rounding.
  if ((word & 0x7fffffff) > 0x7f800000) return (word >>> 16) | 0x40;
  return ((word + 0x7fff + ((word >>> 16) & 1)) >>> 16) & 0xffff;
}

/** Widens `halves` into the start of `values`. */
export function decodeBf16(halves: Uint16Array, values: Float32Array): void {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < halves.length; i++) words[i] = halves[i]! << 16;
}

/** Rounds `values` into the start of `halves`. */
export function encodeBf16(values: Float32Array, halves: Uint16Array): void {
  for (let i = 0; i < values.length; i++) halves[i] = f32ToBf16(values[i]!);
}
