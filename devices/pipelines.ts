/** Compute pipelines: specialised, compiled once, kept for the device's life. */
import { type Binding, type ShaderName, type Spec, type Specialised, specialise } from '../shaders/specialise.ts';
import { GPUShaderStage } from './dawn.ts';
import type { Device, Pipeline } from './types.ts';
import type { Watch } from './wait.ts';

/** Pipelines compile in parallel and queue for the CPU's cores, so each may take longer than one answer of the GPU. */
const COMPILE_LIMIT_MS = 300_000;

const BUFFER_TYPE: Readonly<Record<Binding['access'], GPUBufferBindingType>> = {
  read: 'read-only-storage',
  read_write: 'storage',
  uniform: 'uniform',
};

/** The pipeline function of a device. Dropped pipelines would be compiled anew, so all are kept. */
export function createPipelines(gpu: GPUDevice, watch: Watch): Device['pipeline'] {
  const made = new Map<string, Promise<Pipeline>>();
  return (name, spec) => {
    const title = titleOf(name, spec);
    let pipeline = made.get(title);
    if (!pipeline) {
      pipeline = compilePipeline(gpu, watch, title, () => specialise(name, spec));
      made.set(title, pipeline);
    }
    return pipeline;
  };
}

/** Name and spec in a canonical order: the cache's key, the label, and what errors call the kernel. */
function titleOf(name: ShaderName, spec: Spec): string {
  const keys = Object.keys(spec).sort();
  return `${name}(${keys.map((key) => `${key}=${spec[key]}`).join(' ')})`;
}

/**
 * Compiles one kernel with an explicit layout, made from its bindings, and the entry point `main`.
 * Rejects with Dawn's messages and the lines of WGSL that they are about.
 */
export async function compilePipeline(
  gpu: GPUDevice,
  watch: Watch,
  title: string,
  source: () => Specialised,
): Promise<Pipeline> {
  const { code, bindings } = source();
  const entries = bindings.map(({ binding, access }) => ({
    binding,
    visibility: GPUShaderStage.COMPUTE,
    buffer: { type: BUFFER_TYPE[access] },
  }));
  const layout = gpu.createBindGroupLayout({ label: title, entries });
  const what = `compiling ${title}`;

  gpu.pushErrorScope('validation');
  const module = gpu.createShaderModule({ label: title, code });
  const invalid = await watch.guard(gpu.popErrorScope(), what, COMPILE_LIMIT_MS);
  if (invalid) {
    const info = await watch.guard(module.getCompilationInfo(), what, COMPILE_LIMIT_MS);
    throw new Error(`kernel ${title} does not compile:\n${quoteMessages(info, code) || invalid.message}`);
  }

  const creating = gpu.createComputePipelineAsync({
    label: title,
    layout: gpu.createPipelineLayout({ label: title, bindGroupLayouts: [layout] }),
    compute: { module, entryPoint: 'main' },
  });
  const refused = (cause: Error) => {
    throw new Error(`kernel ${title} makes no pipeline: ${cause.message.trim()}`, { cause });
  };
  const pipeline = await watch.guard(creating.catch(refused), what, COMPILE_LIMIT_MS);
  return { pipeline, layout, bindings };
}

/** Each error with its line of WGSL beneath it. */
function quoteMessages(info: GPUCompilationInfo, code: string): string {
  const lines = code.split('\n');
  return [...info.messages]
    .filter((message) => message.type === 'error')
    .map(({ lineNum, linePos, message }) => {
      const line = lines[lineNum - 1] ?? '';
      return `  line ${lineNum}: ${message}\n    ${line}\n    ${' '.repeat(Math.max(linePos - 1, 0))}^`;
    })
    .join('\n');
}
