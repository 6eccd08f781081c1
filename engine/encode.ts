/** Turns a plan into GPU commands. Bind groups are made once; a pass only sets pipelines and dispatches. */
import type { Timer } from '../devices/timing.ts';
import type { Device } from '../devices/types.ts';
import { assert } from '../quant/errors.ts';
import type { Grid, PassSize, Step } from './steps.ts';
import { layerOf } from './streaming.ts';
import { partsOf } from './variants.ts';

export interface Program {
  readonly steps: readonly EncodedStep[];
}

export interface EncodedStep extends Required<Pick<Step, 'macs' | 'macsPerKey'>> {
  readonly name: string;
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
  readonly grid: Grid;
}

/** Compiles the steps' kernels (all at once, each distinct one only once) and binds their buffers. */
export async function compileSteps(
  device: Device,
  steps: readonly Step[],
  buffers: (name: string) => GPUBuffer | undefined,
): Promise<Program> {
  const pipelines = await Promise.all(steps.map((step) => device.pipeline(step.kernel, step.spec)));
  return {
    steps: steps.map((step, i) => {
      const compiled = pipelines[i];
      assert(compiled, 'every step has a pipeline');
      const entries = compiled.bindings.map(({ name, binding }) => {
        const buffer = buffers(step.buffers[name] ?? '');
        assert(buffer, `${step.name} (${step.kernel}) has no buffer for ${name} (${step.buffers[name]})`);
        return { binding, resource: { buffer } };
      });
      return {
        name: step.name,
        pipeline: compiled.pipeline,
        bindGroup: device.gpu.createBindGroup({ label: step.name, layout: compiled.layout, entries }),
        grid: step.grid,
        macs: step.macs ?? 0,
        macsPerKey: step.macsPerKey ?? 0,
      };
    }),
  };
}

/** What a pass dispatches for a step. */
export function workgroupsOf(grid: Grid, size: PassSize): [x: number, y: number, z: number] {
  const { x, over, each, columnsFirst } = grid;
  const columns = Math.ceil(size[over] / each);
  return columnsFirst ? [columns, x, depthOf(grid, size)] : [x, columns, depthOf(grid, size)];
}

function depthOf({ z }: Grid, { keys }: PassSize): number {
  if (typeof z === 'number') return z;
  if (keys === undefined) return z.SPLITS;
  return partsOf(z.WINDOW > 0 ? Math.min(keys, z.WINDOW) : keys, z);
}

/** Records one pass of a program. */
export function recordPass(encoder: GPUCommandEncoder, program: Program, size: PassSize): void {
  recordSteps(encoder, program.steps, size);
}

/** Records some of a pass's steps. */
export function recordSteps(encoder: GPUCommandEncoder, steps: Program['steps'], size: PassSize): void {
  const pass = encoder.beginComputePass();
  dispatchSteps(pass, steps, size);
  pass.end();
}

/**
 * A program in runs of steps: those of each layer from `first` on by themselves, with its number, and what is before, between
 * and behind them.
 */
export function runsOfLayers(
  { steps }: Program,
  first: number,
): readonly { readonly layer: number | undefined; readonly program: Program }[] {
  const runs: { layer: number | undefined; steps: EncodedStep[] }[] = [];
  for (const step of steps) {
    const number = layerOf(step.name);
    const layer = number !== undefined && number >= first ? number : undefined;
    const run = runs.at(-1);
    if (run && run.layer === layer) run.steps.push(step);
    else runs.push({ layer, steps: [step] });
  }
  return runs.map((run) => ({ layer: run.layer, program: { steps: run.steps } }));
}

/**
 * Sets pipelines and bind groups and dispatches, in an open pass. Decoding runs this for every token: workgroups of 1, which are what
 * is meant without them, are left out because Dawn for Node takes a twentieth of a microsecond to convert each.
 */
export function dispatchSteps(pass: GPUComputePassEncoder, steps: Program['steps'], size: PassSize): void {
  let current: GPUComputePipeline | undefined;
  for (const { pipeline, bindGroup, grid } of steps) {
    if (size[grid.over] === 0) continue; // over outputs, in a pass without any
    if (pipeline !== current) pass.setPipeline(pipeline);
    current = pipeline;
    pass.setBindGroup(0, bindGroup);
    const [x, y, z] = workgroupsOf(grid, size);
    if (y === 1 && z === 1) pass.dispatchWorkgroups(x);
    else pass.dispatchWorkgroups(x, y, z);
  }
}

/** Records one pass with each step timed by itself. */
export function recordTimedPass(encoder: GPUCommandEncoder, program: Program, size: PassSize, timer: Timer): void {
  for (const { name, pipeline, bindGroup, grid } of program.steps) {
    const pass = timer.pass(encoder, name);
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bindGroup);
    pass.dispatchWorkgroups(...workgroupsOf(grid, size));
    pass.end();
  }
  timer.resolve(encoder);
}
