/** What the engine knows of a GPU. */
import type { ShaderName, Spec } from '../shaders/specialise.ts';

/** What a device is and can do. */
export interface Traits {
  /** Adapter name as the driver tells it. */
  readonly name: string;
  readonly driver: string;
  readonly vendor: string; // 'amd', 'nvidia', 'mesa', 'google', ...
  readonly architecture: string; // 'rdna-2', 'swiftshader', ...
  /** A CPU that plays GPU (SwiftShader, lavapipe): right but slow, and always announced. */
  readonly software: boolean;
  readonly f16: boolean;
  /** Undefined when the device has no subgroups. */
  readonly subgroups: { readonly min: number; readonly max: number } | undefined;
  /** @subgroup_size(N) may be asked for. */
  readonly subgroupSizeControl: boolean;
  readonly subgroupMatrix: readonly SubgroupMatrixConfig[];
  /** dot4I8Packed maps to hardware, or is at least available. */
  readonly packedDot: boolean;
  readonly timestamps: boolean;
  readonly limits: Limits;
}

export interface Limits {
  readonly maxBufferBytes: number;
  readonly maxBindingBytes: number;
  readonly maxWorkgroupThreads: number;
  readonly maxWorkgroupBytes: number;
  readonly maxWorkgroupsPerDimension: number;
  readonly maxStorageBuffers: number;
}

export interface SubgroupMatrixConfig {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly component: string;
  readonly result: string;
}

/** What a buffer is for: bytes are counted by purpose. */
export type Purpose = 'weights' | 'kv' | 'activations' | 'state' | 'staging' | 'readback';

/** Options of openDevice(). */
export interface DeviceOptions {
  /** Part of the adapter's name (any case), or its index in `listAdapters()`. */
  readonly adapter?: string | number | undefined;
  /** Dawn's validation of every call; default false, tests set it. */
  readonly validate?: boolean | undefined;
  /** Longest wait for the GPU in milliseconds before `device-timeout`; default 30000, on CPU drivers 300000. */
  readonly timeoutMs?: number | undefined;
  /** Gets one line when the adapter is only software; default: nobody is told. */
  readonly onNotice?: ((line: string) => void) | undefined;
}

/** An adapter of this machine, for people to choose from, and for planning before a device is opened. */
export type AdapterInfo = Pick<Traits, 'name' | 'driver' | 'vendor' | 'architecture' | 'software' | 'limits'>;

export interface Pipeline {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  /** By the shader's own variable names: what a bind group must supply. */
  readonly bindings: readonly { readonly name: string; readonly binding: number }[];
}

/** A GPU that is open. All that lies on it is given back by `close()`. */
export interface Device extends Disposable {
  readonly gpu: GPUDevice;
  readonly traits: Traits;
  /** Compiled once for each (name, spec); later calls return the same promise. */
  pipeline(name: ShaderName, spec: Spec): Promise<Pipeline>;
  /** Throws `not-enough-memory` naming the purpose and the MiB. Size is rounded up to 16 bytes. */
  buffer(label: string, bytes: number, purpose: Purpose): GPUBuffer;
  /** Destroys a buffer and takes its bytes off the account. Memory returns after `settle()`. */
  free(buffer: GPUBuffer): void;
  /**
   * Copies data into a buffer, in slices with a bounded amount of staging memory, before anything submitted later. The
   * array may be used again once this resolves. The offset is a multiple of 4; zeros fill the last 4 bytes up.
   */
  upload(buffer: GPUBuffer, offsetBytes: number, data: Uint8Array | Uint32Array | Float32Array): Promise<void>;
  /** Copies bytes back from a buffer, at any offset; waits for the GPU. */
  read(buffer: GPUBuffer, offsetBytes: number, bytes: number): Promise<Uint8Array>;
  /** Waits until all submitted work is done, with the time-out. */
  settle(): Promise<void>;
  /** Rejects `work` with `device-lost` or `device-timeout` when the GPU does. */
  guard<T>(work: Promise<T>, what: string): Promise<T>;
  /** Live bytes by purpose. */
  memory(): Readonly<Record<Purpose, number>>;
  /** Resolves with the reason when the device is lost (also after close()). */
  readonly lost: Promise<string>;
  close(): void;
}
