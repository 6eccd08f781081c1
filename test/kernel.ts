/** Runs one kernel on data from a test and brings its outputs back. */
import type { Device } from '../devices/types.ts';
import type { ShaderName, Spec } from '../shaders/specialise.ts';

/** What to put into a buffer before the run, or how large it is. */
export type Contents = Uint32Array | Float32Array | number;

/** Dispatches a kernel once; answers the bytes of every buffer afterwards. */
export async function runKernel(
  device: Device,
  name: ShaderName,
  spec: Spec,
  contents: Readonly<Record<string, Contents>>,
  grid: readonly [x: number, y: number, z?: number],
): Promise<Record<string, Uint32Array>> {
  const { pipeline, layout, bindings } = await device.pipeline(name, spec);
  const buffers = new Map<string, GPUBuffer>();
  try {
    for (const { name: variable } of bindings) {
      const content = contents[variable];
      if (content === undefined) throw new Error(`${name} needs contents for ${variable}`);
      const bytes = typeof content === 'number' ? content : content.byteLength;
      const buffer = device.buffer(`${name}.${variable}`, bytes, 'activations');
      buffers.set(variable, buffer);
      if (typeof content !== 'number') await device.upload(buffer, 0, content);
    }
    const entries = bindings.map(({ name: variable, binding }) => ({
      binding,
      resource: { buffer: buffers.get(variable) as GPUBuffer },
    }));
    const encoder = device.gpu.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, device.gpu.createBindGroup({ layout, entries }));
    pass.dispatchWorkgroups(...grid);
    pass.end();
    device.gpu.queue.submit([encoder.finish()]);
    const results: Record<string, Uint32Array> = {};
    for (const [variable, buffer] of buffers) {
      const content = contents[variable] as Contents;
      const bytes = await device.read(buffer, 0, typeof content === 'number' ? content : content.byteLength);
      results[variable] = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
    }
    return results;
  } finally {
    for (const buffer of buffers.values()) device.free(buffer);
  }
}

export function floats(words: Uint32Array): Float32Array {
  return new Float32Array(words.buffer, words.byteOffset, words.length);
}

export interface Random {
  uniform(): number;
  normal(): number;
  below(limit: number): number;
}

/** Deterministic random numbers (mulberry32). */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let word = Math.imul(state ^ (state >>> 15), state | 1);
    word ^= word + Math.imul(word ^ (word >>> 7), word | 61);
    return ((word ^ (word >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    uniform,
    below: (limit) => Math.floor(uniform() * limit),
    normal: () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()),
  };
}

/** Root of the mean square difference, relative to the root mean square of the truth. */
export function relativeError(got: ArrayLike<number>, truth: ArrayLike<number>): number {
  let difference = 0;
  let size = 0;
  for (let i = 0; i < truth.length; i++) {
    difference += ((got[i] as number) - (truth[i] as number)) ** 2;
    size += (truth[i] as number) ** 2;
  }
  return Math.sqrt(difference / Math.max(size, 1e-300));
}
