/** The copy of a sequence's beginning from one slot of the KV cache to another. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { encodeState } from '../../engine/state.ts';
import { deviceTests } from '../device.ts';
import { createRandom, runKernel } from '../kernel.ts';

const test = suite('kv copy');
const check = await deviceTests(test);

const CAPACITY = 128;
const SLOTS = 3;

for (const [kvHeads, rowBytes, positions] of [
  [2, 32, 1],
  [3, 48, 64],
  [1, 160, 65],
  [2, 256, 99],
  [3, 2, 67],
] as const) {
  check(`${positions} positions of ${kvHeads} heads of ${rowBytes} bytes`, async (device) => {
    const random = createRandom(positions);
    const headWords = (CAPACITY * rowBytes) / 4;
    const before = Uint32Array.from({ length: SLOTS * 2 * kvHeads * headWords }, () => random.below(2 ** 31));
    const places = [
      { position: positions, slot: 2 },
      { position: 0, slot: 1 },
    ];
    const { rows } = await runKernel(
      device,
      'kv-copy',
      { KV_HEADS: kvHeads, ROW_BYTES: rowBytes, OPAQUE: device.traits.software },
      { state: encodeState(places, [], CAPACITY, false), rows: before },
      [2 * kvHeads, Math.ceil(positions / 64)],
    );
    const wanted = before.slice();
    const words = Math.ceil((positions * rowBytes) / 16) * 4; // whole vectors
    for (let head = 0; head < 2 * kvHeads; head++) {
      const from = (1 * 2 * kvHeads + head) * headWords;
      const to = (2 * 2 * kvHeads + head) * headWords;
      wanted.set(before.subarray(from, from + words), to);
    }
    assert.equal(rows, wanted);
  });
}

test.run();
