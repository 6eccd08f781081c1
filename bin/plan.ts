/** `firstlight plan`: the steps of one decoded token, as this machine's GPU would be given them. Loads no weights. */
import { outlineModel } from '../engine/model.ts';
import { type BufferSpec, planDecode, type Step, sessionBuffers, weightBuffers } from '../engine/plan.ts';
import { chooseChoice, completeSampling } from '../engine/sampler.ts';
import { planSession } from '../engine/session.ts';
import { defineCommand } from './arguments.ts';
import { ABOUT_MODEL, loadOptions, MODEL_FLAGS, openAdapter, openModelFile } from './model.ts';
import { mebibytes, print, printJson, table } from './output.ts';

export const plan = defineCommand({
  operands: ['[MODEL]'],
  about: [
    'Prints a line for each dispatch of one decoded token: its step, kernel, workgroups, specialisation and buffers; then ' +
      'totals. The plan is for the default sampling and a short context.',
    ABOUT_MODEL,
  ],
  flags: { ...MODEL_FLAGS, json: { kind: 'switch', about: 'one JSON object: steps, totals' } },
  async run(values, [model = 'builtin']) {
    const checkpoint = await openModelFile(model);
    try {
      const device = await openAdapter(values);
      try {
        const outline = outlineModel(checkpoint, device.traits, loadOptions(values));
        const options = planSession(outline, device.traits, { context: values.ctx });
        const steps = planDecode(options, chooseChoice(completeSampling()));
        const totals = countTotals(steps, [...weightBuffers(outline.weights), ...sessionBuffers(options)]);
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

function countTotals(steps: readonly Step[], buffers: readonly BufferSpec[]) {
  const bytes: Record<string, number> = {};
  for (const buffer of buffers) bytes[buffer.purpose] = (bytes[buffer.purpose] ?? 0) + buffer.bytes;
  return {
    steps: steps.length,
    stepsPerLayer: steps.filter(({ name }) => name.startsWith('layers.0.')).length,
    distinctKernels: new Set(steps.map(({ kernel, spec }) => JSON.stringify([kernel, spec]))).size,
    bytes,
  };
}

function describeTotals({ steps, stepsPerLayer, distinctKernels, bytes }: ReturnType<typeof countTotals>): string {
  const sum = Object.values(bytes).reduce((total, some) => total + some, 0);
  const parts = Object.entries(bytes).map(([purpose, some]) => `${purpose} ${mebibytes(some)}`);
  return (
    `\n${steps} steps, ${stepsPerLayer} a layer, ${distinctKernels} distinct kernels\n` +
    `${mebibytes(sum)}: ${parts.join(', ')}\n`
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
