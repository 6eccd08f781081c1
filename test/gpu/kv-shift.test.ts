/** Dropping positions from a sequence: rows move up, keys are turned to where they now are. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type KvFormat, kvSpec } from '../../engine/kv-cache.ts';
import { encodeState } from '../../engine/state.ts';
import { decodeF16, encodeF16 } from '../../quant/f16.ts';
import { roundUp } from '../../quant/layout.ts';
import { deviceTests } from '../device.ts';
import { createRandom, floats, relativeError, runKernel } from '../kernel.ts';
import { SMALL_LLAMA } from '../random-model.ts';

const test = suite('kv shift');
const check = await deviceTests(test);

const CAPACITY = 96;
const MAGNITUDE = 1.2; // as YaRN's tables have

/** cos and sin of position times frequency, [CAPACITY][pairs][2]. */
function turns(pairs: number): Float32Array {
  const table = new Float32Array(CAPACITY * pairs * 2);
  for (let position = 0, at = 0; position < CAPACITY; position++) {
    for (let pair = 0; pair < pairs; pair++) {
      const angle = position * 0.7 ** pair;
      table[at++] = MAGNITUDE * Math.cos(angle);
      table[at++] = MAGNITUDE * Math.sin(angle);
    }
  }
  return table;
}

for (const [kv, headDim, ropeDim, first, count, length] of [
  ['f32', 20, 12, 1, 7, 90],
  ['f16', 64, 64, 0, 40, 85],
  ['q8', 32, 32, 5, 30, 96],
  ['q8', 80, 80, 3, 1, 20],
  ['q8', 128, 0, 10, 60, 80],
] as const) {
  check(`${kv}, heads of ${headDim}: ${count} of ${length} positions from ${first} on`, async (device) => {
    const config = { ...SMALL_LLAMA, headDim, ropeDim, kvHeads: 3 };
    const stride = roundUp(headDim, 8);
    const random = createRandom(headDim + count);
    const values = Float32Array.from({ length: 2 * 2 * 3 * CAPACITY * stride }, () => random.normal());
    const spec = kvSpec(config, kv);
    const packed = pack(kv, values, Number(spec.KV_BLOCK ?? 1));
    const seen = unpack(kv, packed.kv as Uint32Array, packed.kv_scales, Number(spec.KV_BLOCK ?? 1));
    const places = [first, count, length].map((position) => ({ position, slot: 1 }));
    const result = await runKernel(
      device,
      'kv-shift',
      {
        ...spec,
        ...(ropeDim > 0 ? { ROPE: 'pairs', ROPE_DIM: ropeDim } : { ROPE: 'none' }),
        OPAQUE: device.traits.software,
      },
      { state: encodeState(places, [], CAPACITY, false), ...packed, rope: turns(ropeDim / 2) },
      [6, Math.ceil(count / 16)],
    );
    const got = unpack(kv, result.kv as Uint32Array, result.kv_scales, Number(spec.KV_BLOCK ?? 1));
    const row = (slot: number, which: number, head: number, position: number) =>
      (((slot * 2 + which) * 3 + head) * CAPACITY + position) * stride;
    const moved: { got: number[]; wanted: number[] } = { got: [], wanted: [] };
    const wanted = Float64Array.from(seen);
    for (const which of [0, 1]) {
      for (let head = 0; head < 3; head++) {
        for (let to = first; to + count < length; to++) {
          const [from, at] = [row(1, which, head, to + count), row(1, which, head, to)];
          for (let dim = 0; dim < stride; dim++) {
            const value = seen[from + dim] as number;
            const partner = seen[from + (dim ^ 1)] as number;
            const angle = which === 0 && dim < ropeDim ? -count * 0.7 ** Math.floor(dim / 2) : 0;
            const sign = dim % 2 === 0 ? -1 : 1;
            wanted[at + dim] = value * Math.cos(angle) + sign * partner * Math.sin(angle);
            if (which === 0) {
              moved.got.push(got[at + dim] as number);
              moved.wanted.push(wanted[at + dim] as number);
              wanted[at + dim] = got[at + dim] as number;
            }
          }
        }
      }
    }
    const error = relativeError(moved.got, moved.wanted);
    // q8: a key is rounded to a code again
    assert.ok(error < { q8: 8e-3, f16: 1e-3, f32: 1e-6 }[kv], `turned keys are off by ${error}`);
    assert.equal(Float64Array.from(got), wanted, 'values move as they are, and nothing else is touched');
  });
}

function pack(kv: KvFormat, values: Float32Array, block: number): Record<string, Uint32Array> {
  if (kv === 'f32') return { kv: new Uint32Array(values.slice().buffer) };
  if (kv === 'f16') {
    const halves = new Uint16Array(values.length);
    encodeF16(values, halves);
    return { kv: new Uint32Array(halves.buffer) };
  }
  const codes = Int8Array.from(values, (value) => Math.max(-127, Math.min(127, Math.round(40 * value))));
  const scales = new Uint16Array(values.length / block);
  encodeF16(new Float32Array(scales.length).fill(1 / 40), scales);
  return { kv: new Uint32Array(codes.buffer), kv_scales: new Uint32Array(scales.buffer) };
}

function unpack(kv: KvFormat, words: Uint32Array, scaleWords: Uint32Array | undefined, block: number): Float32Array {
  if (kv === 'f32') return floats(words).slice();
  if (kv === 'f16') {
    const values = new Float32Array(words.length * 2);
    decodeF16(new Uint16Array(words.buffer, words.byteOffset, values.length), values);
    return values;
  }
  const codes = new Int8Array(words.buffer, words.byteOffset, words.length * 4);
  const scales = new Float32Array(codes.length / block);
  decodeF16(new Uint16Array(scaleWords!.buffer, scaleWords!.byteOffset, scales.length), scales);
  return Float32Array.from(codes, (code, i) => code * (scales[Math.floor(i / block)] as number));
}

test.run();
