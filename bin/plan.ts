/** `firstlight plan`: the steps of one decoded token, as this machine's GPU would be given them. Loads no weights. */
import { readTopology } from '../devices/topology.ts';
import type { Traits } from '../devices/types.ts';
import { type Estimate, estimate } from '../engine/estimate.ts';
import type { LoadOptions } from '../engine/model.ts';
import { planDecode } from '../engine/plan.ts';
import { chooseChoice, completeSampling } from '../engine/sampler.ts';
import type { Step } from '../engine/steps.ts';
import { describeWeights } from '../engine/weights.ts';
import { openModel } from '../loaders/named.ts';
import type { Checkpoint } from '../loaders/types.ts';
import { defineCommand } from './arguments.ts';
import { ABOUT_MODEL } from './model.ts';
import { loadOptions, PLACEMENT_FLAGS } from './model-flags.ts';
import { mebibytes, print, printJson, table } from './output.ts';
import { openAdapter } from './session.ts';

export const plan = defineCommand({
  operands: ['[MODEL]'],
  about: [
    'Prints a line for each dispatch of one decoded token: its step, kernel, workgroups, specialisation and buffers; then ' +
      'totals. The plan is for the default sampling and a short context.',
    ABOUT_MODEL,
  ],
  flags: { ...PLACEMENT_FLAGS, json: { kind: 'switch', about: 'one JSON object: steps, totals' } },
  async run(values, [model = 'builtin']) {
    const checkpoint = await openModel(model);
    try {
      const device = await openAdapter(values);
      try {
        const options = loadOptions(values);
        const need = estimate(checkpoint, device.traits, await readTopology(), options);
        const steps = stepsOf(checkpoint, device.traits, need, options);
        const totals = countTotals(steps, need);
        if (values.json) printJson({ steps, totals });
        else print(describeSteps(steps) + describeTotals(totals));
      } finally {
        device.close();
      }
    } finally {
      await checkpoint.close();
    }
  },
});

function stepsOf(
  checkpoint: Checkpoint,
  traits: Traits,
  { weightsOption, kv, context, chunk }: Estimate,
  preferences: LoadOptions,
): readonly Step[] {
  const weights = describeWeights(checkpoint, weightsOption, traits.limits.maxBindingBytes);
  const { config } = checkpoint;
  return planDecode(
    { config, weights, traits, preferences, kv, context, chunk: Math.min(chunk, context), slots: 1 },
    chooseChoice(completeSampling()),
  );
}

function countTotals(steps: readonly Step[], { context, bytes, totalBytes, fits }: Estimate) {
  return {
    steps: steps.length,
    stepsPerLayer: steps.filter(({ name }) => name.startsWith('layers.0.')).length,
    distinctKernels: new Set(steps.map(({ kernel, spec }) => JSON.stringify([kernel, spec]))).size,
    context,
    bytes,
    totalBytes,
    fits: fits ?? null,
  };
}

function describeTotals(totals: ReturnType<typeof countTotals>): string {
  const parts = Object.entries(totals.bytes).map(([purpose, some]) => `${purpose} ${mebibytes(some)}`);
  return (
    `\n${totals.steps} steps, ${totals.stepsPerLayer} a layer, ${totals.distinctKernels} distinct kernels\n` +
    `${mebibytes(totals.totalBytes)} for a context of ${totals.context}${totals.fits === false ? ', which does not fit' : ''}: ` +
    `${parts.join(', ')}\n`
  );
}

function describeSteps(steps: readonly Step[]): string {
  const pairs = (record: Readonly<Record<string, unknown>>) =>
    Object.entries(record)
      .map(([name, value]) => `${name}=${value}`)
      .join(' ');
  const rows = steps.map(({ name, kernel, grid, spec, buffers }) => [
    name,
    kernel,
    grid.z === 1 ? String(grid.x) : `${grid.x} x ${grid.z}`,
    pairs(spec),
    pairs(buffers),
  ]);
  return table([['step', 'kernel', 'grid', 'specialisation', 'buffers'], ...rows]);
}
