/** What models that normalise their outputs do behind a product, against doubles. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { encodeState } from '../../engine/state.ts';
import { blocksOf } from '../../quant/layout.ts';
import { readBlocks } from '../blocks.ts';
import { deviceTests } from '../device.ts';
import { createRandom, floats, relativeError, runKernel } from '../kernel.ts';

const test = suite('post-norm');
const check = await deviceTests(test);

for (const [hidden, GAIN] of [
  [60, 'vector'],
  [1184, 'none'],
] as const) {
  check(`residual += norm of ${hidden} rows, then blocks with ${GAIN === 'none' ? 'no' : 'a'} gain`, async (device) => {
    const random = createRandom(hidden);
    const [columns, Y_BLOCKS] = [3, blocksOf(hidden)];
    const width = Y_BLOCKS * 32;
    const rows = () =>
      Float32Array.from({ length: columns * width }, (_, i) => (i % width < hidden ? random.normal() : 0));
    const vector = () => Float32Array.from({ length: width }, (_, i) => (i < hidden ? 1 + random.normal() : 0));
    const [raw, residual, postGains, gains] = [rows(), rows(), vector(), vector()];
    const squares = Float32Array.from({ length: columns * Y_BLOCKS }, (_, block) =>
      raw.subarray(block * 32, block * 32 + 32).reduce((sum, value) => sum + value * value, 0),
    );
    const places = Array.from({ length: columns }, (_, position) => ({ position, slot: 0 }));
    const result = await runKernel(
      device,
      'post-norm',
      { GAIN, HIDDEN: hidden, EPSILON: 1e-3, STORE: 'f32', Y_BLOCKS, OPAQUE: device.traits.software },
      {
        ...{ state: encodeState(places, [], 64, false), raw, squares, post_gains: postGains, residual, gains },
        y_codes: columns * Y_BLOCKS * 128,
        y_meta: columns * Y_BLOCKS * 16,
      },
      [Y_BLOCKS, columns],
    );
    const meta = floats(result.y_meta as Uint32Array);
    const got = readBlocks('f32', result.y_codes as Uint32Array, meta, columns, hidden);
    const left = floats(result.residual as Uint32Array);
    for (let column = 0; column < columns; column++) {
      const of = (values: Float32Array) => Array.from(values.subarray(column * width, column * width + hidden));
      const mean = of(raw).reduce((sum, value) => sum + value * value, 0) / hidden;
      const wanted = of(residual).map((x, i) => x + (of(raw)[i]! / Math.sqrt(mean + 1e-3)) * postGains[i]!);
      assert.ok(relativeError(of(left), wanted) < 1e-6, `residual of column ${column}`);
      const gained = wanted.map((x, i) => x * (GAIN === 'none' ? 1 : gains[i]!));
      assert.ok(relativeError(got.subarray(column * hidden, (column + 1) * hidden), gained) < 1e-6, `column ${column}`);
      let told = 0;
      for (let block = 0; block < Y_BLOCKS; block++) told += meta[(column * Y_BLOCKS + block) * 4 + 2]!;
      const sum = wanted.reduce((total, x) => total + x * x, 0);
      assert.ok(Math.abs(told - sum) < 1e-5 * sum, `squares of column ${column}`);
    }
  });
}

test.run();
