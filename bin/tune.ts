/** `firstlight tune`: measures the kernel variants for a model's shapes on this GPU and keeps the best. */

import { loadModel } from '../engine/model.ts';
import { defineCommand } from './arguments.ts';
import { openMeasured, SHAPE_FLAG } from './measured.ts';
import { ADAPTER_FLAG } from './model-flags.ts';
import { note, print, table } from './output.ts';
import { openAdapter } from './session.ts';
import { tuningFor, tuningPath } from './tuning.ts';

/** Longer than at load: every variant gets its turn. */
const BUDGET_MS = 60_000;

export const tune = defineCommand({
  operands: ['[MODEL]'],
  about: [
    'Measures which variant of the matrix-vector kernels is fastest for each shape of a model on this GPU, and keeps it for ' +
      'this GPU, driver and version. A variant counts only if its result agrees with the portable kernel. Loading a model ' +
      'does the same for about two seconds and leaves the rest to the next load; this takes its time and shows the figures.',
  ],
  flags: {
    ...SHAPE_FLAG,
    ...ADAPTER_FLAG,
  },
  async run(values, [path], signal) {
    const device = await openAdapter(values);
    const checkpoint = await openMeasured(values, path);
    try {
      if (device.traits.software) return note(`${device.traits.name} is a CPU, not a GPU: there is nothing to tune`);
      const model = await loadModel(device, checkpoint, { signal });
      await tuningFor(model, 'again', {
        budgetMs: BUDGET_MS,
        onShape({ shape, candidates, best }) {
          print(`${shape}\n`);
          print(
            table(
              candidates.map(({ cut, microseconds, wrong }) => [
                cut === best ? ' *' : '  ',
                `subgroup ${cut.subgroup}`,
                `${cut.rowsEach} rows each`,
                `split ${cut.split}`,
                wrong ? 'WRONG RESULT' : `${microseconds.toFixed(2)} us`,
              ]),
            ),
          );
        },
      });
      note(`kept in ${tuningPath()}`);
      await model.close();
    } finally {
      await checkpoint.close();
      device.close();
    }
  },
});
