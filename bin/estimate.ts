/** `firstlight estimate`: what a model will take and whether that is there, before anything is loaded. */

import { findAdapter } from '../devices/open.ts';
import { readTopology } from '../devices/topology.ts';
import { estimate as estimateModel } from '../engine/estimate.ts';
import { advise } from '../engine/refusal.ts';
import { countParameters, describeWeights } from '../engine/weights.ts';
import { defineCommand } from './arguments.ts';
import { openMeasured, SHAPE_FLAG } from './measured.ts';
import { formatEstimate } from './memory-lines.ts';
import { ABOUT_MODEL } from './model.ts';
import { loadOptions, PLACEMENT_FLAGS, wantedAdapter } from './model-flags.ts';
import { describeAdapter, print, printJson } from './output.ts';

export const estimate = defineCommand({
  operands: ['[MODEL]'],
  about: [
    'Says to the MiB what weights, KV cache, activations and staging will take on the GPU, what is free, whether it fits, ' +
      'and the largest context that does. Reads only the headers of the files and takes no memory of the GPU.',
    ABOUT_MODEL,
  ],
  flags: {
    ...SHAPE_FLAG,
    ...PLACEMENT_FLAGS,
    json: { kind: 'switch', about: 'one JSON object; sizes in bytes' },
  },
  async run(values, [model]) {
    const checkpoint = await openMeasured(values, model);
    try {
      const adapter = await findAdapter(wantedAdapter(values));
      const topology = await readTopology();
      const plan = estimateModel(checkpoint, adapter, topology, loadOptions(values));
      const { path, format } = checkpoint;
      const parameters = countParameters(checkpoint);
      const { name, driver, software } = adapter;
      if (values.json) {
        printJson({ model: { path, format, parameters }, device: { name, driver, software }, ...plan });
        return;
      }
      const weights = describeWeights(checkpoint, plan.weightsOption, adapter.limits.maxBindingBytes);
      const millions = Math.round(parameters / 1e6);
      print(`${path} (${format}, ${millions} M parameters) on ${describeAdapter(adapter)}\n`);
      print(formatEstimate(plan, advise(plan, adapter, topology, weights)));
    } finally {
      await checkpoint.close();
    }
  },
});
