/**
 * Dawn for Node, and the constants of WebGPU, which it keeps out of the global scope.
 */
import { globals } from 'webgpu';

export { create } from 'webgpu';

const constants = globals as {
  GPUBufferUsage: typeof globalThis.GPUBufferUsage;
  GPUMapMode: typeof globalThis.GPUMapMode;
  GPUShaderStage: typeof globalThis.GPUShaderStage;
};

export const { GPUBufferUsage, GPUMapMode, GPUShaderStage } = constants;
