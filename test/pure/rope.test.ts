/** Rotary frequencies against formulas written another way, and the table against complex powers. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ropeFrequencies, ropeTable } from '../../engine/rope.ts';
import type { LlamaConfig, RopeScaling } from '../../loaders/types.ts';
import { SMALL_LLAMA } from '../random-model.ts';

const test = suite('rope');

const PLAIN: LlamaConfig = { ...SMALL_LLAMA, headDim: 128, ropeDim: 128, ropeTheta: 500_000 };
const LLAMA_3: RopeScaling = {
  kind: 'llama3',
  factor: 8,
  lowFrequencyFactor: 1,
  highFrequencyFactor: 4,
  originalContext: 8192,
};

function close(got: number, wanted: number, what: string): void {
  assert.ok(Math.abs(got - wanted) <= 1e-12 * Math.abs(wanted), `${what}: ${got} is not ${wanted}`);
}

/** 1, r, r^2, ... with r = theta^(-2/d): the same by repeated multiplication. */
function geometric(config: LlamaConfig): number[] {
  const ratio = Math.exp((-2 * Math.log(config.ropeTheta)) / config.ropeDim);
  const list = [1];
  while (list.length < config.ropeDim / 2) list.push(list.at(-1)! * ratio);
  return list;
}

test('without scaling: a geometric series from 1 down to near 1 / theta', () => {
  const got = ropeFrequencies(PLAIN, 1);
  assert.is(got.length, 64);
  for (const [i, wanted] of geometric(PLAIN).entries()) close(got[i]!, wanted, `pair ${i}`);
  assert.is(ropeFrequencies({ ...PLAIN, ropeDim: 20 }, 1).length, 10, 'only the dimensions that turn');
});

test('linear scaling slows all turns alike', () => {
  const got = ropeFrequencies({ ...PLAIN, ropeScaling: { kind: 'linear', factor: 4 } }, 1);
  for (const [i, wanted] of geometric(PLAIN).entries()) close(got[i]!, wanted / 4, `pair ${i}`);
});

test("Llama 3's scaling, by wavelengths as in transformers", () => {
  const got = ropeFrequencies({ ...PLAIN, ropeScaling: LLAMA_3 }, 1);
  const longest = 8192 / 1;
  const shortest = 8192 / 4;
  const seen = { kept: 0, blended: 0, divided: 0 };
  for (const [i, plain] of geometric(PLAIN).entries()) {
    const wavelength = (2 * Math.PI) / plain;
    const smooth = (8192 / wavelength - 1) / (4 - 1);
    const kind = wavelength > longest ? 'divided' : wavelength < shortest ? 'kept' : 'blended';
    seen[kind]++;
    const wanted = { divided: plain / 8, kept: plain, blended: ((1 - smooth) / 8 + smooth) * plain }[kind];
    close(got[i]!, wanted, `pair ${i}, ${kind}`);
  }
  for (const [kind, count] of Object.entries(seen)) assert.ok(count > 3, `${count} pairs are ${kind}`);
});

test('factors of a GGUF file divide each frequency', () => {
  const factors = Float32Array.from({ length: 64 }, (_, i) => 1 + i / 8);
  const got = ropeFrequencies({ ...PLAIN, ropeScaling: { kind: 'factors', factors } }, 1);
  for (const [i, wanted] of geometric(PLAIN).entries()) close(got[i]!, wanted / (1 + i / 8), `pair ${i}`);
});

test('the table holds the powers of one turn of each pair', () => {
  const config = { ...PLAIN, ropeDim: 16, ropeTheta: 10_000, ropeScaling: { ...LLAMA_3, originalContext: 32 } };
  const positions = 300;
  const table = ropeTable(config, positions);
  assert.is(table.length, positions * 16);
  for (const [pair, frequency] of ropeFrequencies(config, positions).entries()) {
    let [cos, sin] = [1, 0];
    for (let position = 0; position < positions; position++) {
      const at = (position * 8 + pair) * 2;
      assert.ok(
        Math.abs(table[at]! - cos) < 1e-7 && Math.abs(table[at + 1]! - sin) < 1e-7,
        `${position}, pair ${pair}`,
      );
      [cos, sin] = [
        cos * Math.cos(frequency) - sin * Math.sin(frequency),
        sin * Math.cos(frequency) + cos * Math.sin(frequency),
      ];
    }
  }
});

test.run();
