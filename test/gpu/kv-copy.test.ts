/** The copy of a sequence's beginning from one slot of the KV cache to another. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { encodeState } from '../../engine/state.ts';
import { deviceTests } from '../device.ts';
import { createRandom, runKernel } from '../kernel.ts';

const test = suite('kv copy');
const check = await deviceTests(test);

const CAPACITY = 100;
const SLOTS = 3;

for (const [kvHeads, stride, elementBytes, positions] of [
  [2, 16, 2, 1],
  [3, 24, 2, 64],
  [1, 40, 4, 65],
  [2, 128, 2, 99],
] as const) {
  check(`${positions} positions of ${kvHeads} heads of ${stride} elements of ${elementBytes} bytes`, async (device) => {
    const random = createRandom(positions);
    const rowWords = (stride * elementBytes) / 4;
    const before = Uint32Array.from({ length: SLOTS * 2 * kvHeads * CAPACITY * rowWords }, () => random.below(2 ** 31));
    const places = [
      { position: positions, slot: 2 },
      { position: 0, slot: 1 },
    ];
    const { kv } = await runKernel(
      device,
      'kv-copy',
      { KV_HEADS: kvHeads, HEAD_STRIDE: stride, ELEMENT_BYTES: elementBytes, OPAQUE: device.traits.software },
      { state: encodeState(places, [], CAPACITY, false), kv: before },
      [2 * kvHeads, Math.ceil(positions / 64)],
    );
    const wanted = before.slice();
    for (let row = 0; row < 2 * kvHeads; row++) {
      const from = (1 * 2 * kvHeads + row) * CAPACITY * rowWords;
      const to = (2 * 2 * kvHeads + row) * CAPACITY * rowWords;
      wanted.set(before.subarray(from, from + positions * rowWords), to);
    }
    assert.equal(kv, wanted);
  });
}

test.run();
