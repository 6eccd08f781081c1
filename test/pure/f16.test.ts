import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { bf16ToF32, decodeBf16, encodeBf16, f32ToBf16 } from '../../quant/bf16.ts';
import { asFloat32, asUint16 } from '../../quant/bytes.ts';
import { decodeF16, encodeF16, f16ToF32, f32ToF16 } from '../../quant/f16.ts';
import { hasSharedData, reportSkipped, sharedPath } from './shared-data.ts';

const test = suite('f16 and bf16');

const ALL = Uint16Array.from({ length: 65536 }, (_, i) => i);

/** The definition of a float with `mantissaBits`, from its fields. */
function fromFields(half: number, mantissaBits: number): number {
  const exponentBits = 15 - mantissaBits;
  const bias = 2 ** (exponentBits - 1) - 1;
  const sign = half >> 15 ? -1 : 1;
  const exponent = (half >> mantissaBits) & (2 ** exponentBits - 1);
  const fraction = (half & (2 ** mantissaBits - 1)) / 2 ** mantissaBits;
  if (exponent === 2 ** exponentBits - 1) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return exponent ? sign * 2 ** (exponent - bias) * (1 + fraction) : sign * 2 ** (1 - bias) * fraction;
}

const FORMATS = [
  { name: 'f16', mantissaBits: 10, toF32: f16ToF32, fromF32: f32ToF16, decode: decodeF16, encode: encodeF16 },
  { name: 'bf16', mantissaBits: 7, toF32: bf16ToF32, fromF32: f32ToBf16, decode: decodeBf16, encode: encodeBf16 },
];

for (const { name, mantissaBits, toF32, fromF32, decode, encode } of FORMATS) {
  const infinity = 0x7fff & ~(2 ** mantissaBits - 1);
  const isNan = (half: number) => (half & 0x7fff) > infinity;

  test(`${name}: all 65536 values widen as defined, one by one and in bulk`, () => {
    const bulk = new Float32Array(65536);
    decode(ALL, bulk);
    for (const half of ALL) {
      assert.ok(Object.is(toF32(half), fromFields(half, mantissaBits)), `${half}`);
      assert.ok(Object.is(bulk[half], toF32(half)), `bulk ${half}`);
    }
  });

  test(`${name}: all values come back, NaN stays NaN`, () => {
    for (const half of ALL) {
      const back = fromF32(toF32(half));
      assert.ok(isNan(half) ? isNan(back) : back === half, `${half} came back as ${back}`);
    }
    const everyNan = new Float32Array(new Uint32Array([0x7f800001, 0xff800001, 0x7fc00000, 0xffffffff]).buffer);
    for (const value of everyNan) assert.ok(isNan(fromF32(value)));
  });

  test(`${name}: rounds to the nearest, ties to even, too large to infinity`, () => {
    const float = new Float32Array(1);
    const bits = new Uint32Array(float.buffer);
    for (let half = 0; half < infinity; half++) {
      const below = toF32(half);
      // Half a step above the largest value lies the step to infinity.
      const above = half + 1 === infinity ? 2 * below - toF32(half - 1) : toF32(half + 1);
      float[0] = below + (above - below) / 2;
      const tie = float[0];
      assert.is(fromF32(tie), half % 2 === 0 ? half : half + 1, `tie above ${half}`);
      assert.is(fromF32(-tie), 0x8000 | (half % 2 === 0 ? half : half + 1), `tie below -${half}`);
      bits[0]!--;
      assert.is(fromF32(float[0]!), half, `just below the tie above ${half}`);
      bits[0]! += 2;
      assert.is(fromF32(float[0]!), half + 1, `just above the tie above ${half}`);
    }
    assert.is(fromF32(Number.POSITIVE_INFINITY), infinity);
    assert.is(fromF32(3.4e38), infinity);
    assert.is(fromF32(-1e-45), 0x8000);
  });

  test(`${name}: bulk rounding is the same`, () => {
    const values = Float32Array.from({ length: 5000 }, (_, i) => Math.sin(i) * 2 ** ((i % 60) - 40));
    const halves = new Uint16Array(values.length);
    encode(values, halves);
    assert.equal(halves, Uint16Array.from(values, fromF32));
  });

  (hasSharedData ? test : test.skip)(`${name}: llama.cpp's vectors`, () => {
    const input = asFloat32(readFileSync(sharedPath('quant-vectors/input_16x512.f32')));
    const halves = asUint16(readFileSync(sharedPath(`quant-vectors/${name}.bin`)));
    assert.equal(Uint16Array.from(input, fromF32), halves);
    assert.equal(Float32Array.from(halves, toF32), asFloat32(readFileSync(sharedPath(`quant-vectors/${name}.f32`))));
  });
}
if (!hasSharedData) reportSkipped('f16.test.ts', FORMATS.length);

test('typed views take bytes at any alignment', () => {
  const bytes = Uint8Array.from({ length: 21 }, (_, i) => i * 11);
  for (let start = 0; start < 5; start++) {
    const some = bytes.subarray(start, start + 16);
    const view = new DataView(some.buffer, some.byteOffset, 16);
    assert.equal(
      [...asUint16(some)],
      Array.from({ length: 8 }, (_, i) => view.getUint16(2 * i, true)),
    );
    assert.equal(
      [...asFloat32(some)],
      Array.from({ length: 4 }, (_, i) => view.getFloat32(4 * i, true)),
    );
  }
});

test.run();
