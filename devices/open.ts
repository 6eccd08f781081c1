/** From nothing to a device: which adapters there are, which one to take, and what to ask of Dawn. */
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { assert, FirstlightError } from '../quant/errors.ts';
import { createBuffers } from './buffers.ts';
import { create } from './dawn.ts';
import { createPipelines } from './pipelines.ts';
import { pacePolling } from './polling.ts';
import { loadLoader, manifestOf, packedSwiftShader, unpackSwiftShader } from './software.ts';
import type { AdapterInfo, Device, DeviceOptions, Limits, Traits } from './types.ts';
import { watchDevice } from './wait.ts';

const DEFAULT_TIMEOUT_MS = 30_000;
/** CPU drivers compute slowly, and compile a kernel when it first runs, for seconds on a busy machine. */
const SOFTWARE_TIMEOUT_MS = 300_000;
/** Node's timers end at once above this. */
const LONGEST_TIMEOUT_MS = 2 ** 31 - 1;
const SWIFTSHADER = 'swiftshader';

/** Asked for when the adapter has them. */
const FEATURES = [
  'shader-f16',
  'subgroups',
  'subgroup-size-control',
  'timestamp-query',
  'chromium-experimental-subgroup-matrix',
] as GPUFeatureName[];

/** Dawn's switches. */
function togglesFor(validate: boolean): string[] {
  const on = [
    'allow_unsafe_apis', // subgroup matrices are an experimental feature
    'vulkan_enable_f16_on_nvidia', // shader-f16 is hidden there otherwise
    'disable_workgroup_init', // kernels write their workgroup memory before they read it
    'disable_polyfills_on_integer_div_and_mod', // kernels never divide by zero
  ];
  const off = [
    'timestamp_quantization', // rounds to 100 us, longer than most kernels take
  ];
  if (!validate) {
    on.push('skip_validation'); // a sixth to a third of the time to encode a token
    // Otherwise Tint puts a guard against endless looping into most loops, which keeps drivers from unrolling them, and
    // checks every lane of a shuffle. Buffers stay bounded by the hardware (robust buffer access).
    on.push('disable_robustness');
    off.push('enable_spirv_validation'); // checks Dawn's own output at each compilation
  }
  // Left alone: the clearing of fresh buffers, one
  // fill each, so that padding is zero and no run sees what another program left in memory.
  return [`enable-dawn-features=${on.join(',')}`, `disable-dawn-features=${off.join(',')}`];
}

/**
 * Dawn's instances by their flags and driver. They live as long as the process: Dawn crashes when one is collected
 * while a device of it lives.
 */
const instances = new Map<string, GPU>();

/** Where adapters are looked for. */
interface Place {
  /** Of Dawn's create(). */
  readonly flags: readonly string[];
  /** A Vulkan driver's manifest; undefined for the system's drivers. */
  readonly manifest?: string;
  /** An instance of Dawn that found no Vulkan loader does not look again: with our own loader it takes another. */
  readonly ownLoader?: boolean;
}

function dawnOf(place: Place, name: string | undefined): GPU {
  const flags = ['backend=vulkan', ...place.flags, ...(name === undefined ? [] : [`adapter=${name}`])];
  const key = JSON.stringify([flags, place.manifest, place.ownLoader]);
  pacePolling();
  const dawn = instances.get(key) ?? create(flags);
  instances.set(key, dawn);
  return dawn;
}

async function requestAdapter(place: Place, name?: string): Promise<GPUAdapter | null> {
  // On APUs RADV shows a third of the memory as a heap of its own and refuses single buffers above the rest.
  process.env.radv_enable_unified_heap_on_apu ??= 'true';
  const dawn = dawnOf(place, name);
  const { manifest } = place;
  // The Vulkan loader's list of drivers, by its older and its newer name. Dawn starts Vulkan inside the call, before it
  // returns the promise, so the environment need not stay changed.
  const drivers: Record<string, string> =
    manifest === undefined ? {} : { VK_ICD_FILENAMES: manifest, VK_DRIVER_FILES: manifest };
  return withEnvironment(drivers, () => dawn.requestAdapter({ powerPreference: 'high-performance' }));
}

function withEnvironment<T>(variables: Readonly<Record<string, string>>, run: () => T): T {
  const before = Object.keys(variables).map((name) => [name, process.env[name]] as const);
  Object.assign(process.env, variables);
  try {
    return run();
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  }
}

/** The adapters' names in Dawn's order; empty when there is no Vulkan loader, driver or adapter that will do. */
async function adapterNames(place: Place): Promise<string[]> {
  try {
    // Dawn has no list for Node, but answers a name that does not exist with all that do.
    const adapter = await requestAdapter(place, 'none of these');
    assert(adapter === null, 'an adapter without a name');
    return [];
  } catch (error) {
    const names = [...String((error as Error).message).matchAll(/name: '(.*)'$/gm)].map((match) => match[1]!);
    if (names.length === 0) throw error;
    return [...new Set(names)];
  }
}

const hasAdapters = async (place: Place) => (await adapterNames(place)).length > 0;

/** The folder of SwiftShader and its Vulkan loader; undefined where the package is absent or made for another system. */
async function softwareFolder(): Promise<string | undefined> {
  const archive = packedSwiftShader();
  if (archive === undefined) return undefined;
  const caches = [
    join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'firstlight'),
    join(tmpdir(), `firstlight-${process.getuid?.()}`),
  ];
  try {
    return await unpackSwiftShader(archive, caches);
  } catch (cause) {
    throw new FirstlightError(
      'no-adapter',
      `no usable Vulkan driver, and SwiftShader cannot be unpacked to ${caches.join(' or ')} ` +
        `(${(cause as Error).message}): install your GPU's Vulkan driver, or set XDG_CACHE_HOME to a folder of your own`,
      { cause },
    );
  }
}

function isSwiftShader(wanted: DeviceOptions['adapter']): boolean {
  return typeof wanted === 'string' && wanted.toLowerCase() === SWIFTSHADER;
}

/**
 * The system's adapters; else the system's drivers under the package's loader, as in containers that have a driver but
 * no loader; else SwiftShader, which comes first when it is wanted.
 */
async function findPlace(flags: readonly string[], wanted: DeviceOptions['adapter']): Promise<Place> {
  const forced = isSwiftShader(wanted);
  const system: Place = { flags };
  if (!forced && (await hasAdapters(system))) return system;
  const folder = await softwareFolder();
  if (folder !== undefined) {
    const software: Place = { flags, manifest: manifestOf(folder) };
    if (await hasAdapters(software)) return software;
    loadLoader(folder);
    for (const place of forced ? [software] : [system, software]) {
      const own = { ...place, ownLoader: true };
      if (await hasAdapters(own)) return own;
    }
  }
  if (forced && (await hasAdapters(system))) return system;
  throw new FirstlightError(
    'no-adapter',
    "no Vulkan device answers: install your GPU's Vulkan driver (Mesa, or the vendor's); to try firstlight on the CPU, " +
      'on Linux x64, install the optional package @sparticuz/chromium' +
      (isMainThread ? '' : '; in a worker thread, start the worker with env: SHARE_ENV'),
  );
}

/** Finds the name that `wanted` means among `names`; undefined when Dawn may choose. */
function chooseName(names: readonly string[], wanted: DeviceOptions['adapter']): string | undefined {
  if (wanted === undefined) return undefined;
  const name =
    typeof wanted === 'number'
      ? names[wanted]
      : names.find((candidate) => candidate.toLowerCase().includes(wanted.toLowerCase()));
  if (name !== undefined) return name;
  const list = names.map((candidate, index) => `${index} "${candidate}"`).join(', ');
  throw new FirstlightError('no-adapter', `no adapter ${JSON.stringify(wanted)} on this machine: choose of ${list}`);
}

/** Dawn's info gives names in lower case with all other signs as dashes; the list has them as the driver tells them. */
function fullName(names: readonly string[], info: GPUAdapterInfo): string {
  const dashed = (name: string) => name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');
  return names.find((name) => dashed(name) === info.device) ?? info.device;
}

/**
 * The adapters that `openDevice` can choose from, the system's, or SwiftShader when it has none.
 * Throws `no-adapter` when there is nothing at all.
 */
export async function listAdapters(): Promise<AdapterInfo[]> {
  const place = await findPlace(togglesFor(false), undefined);
  const names = await adapterNames(place);
  const list: AdapterInfo[] = [];
  for (const name of names) {
    const adapter = await requestAdapter(place, name);
    if (adapter) list.push(describeAdapter(adapter, name));
  }
  return list;
}

function describeAdapter({ info, limits }: GPUAdapter, name: string): AdapterInfo {
  return {
    name,
    driver: info.description,
    vendor: info.vendor,
    architecture: info.architecture,
    software: info.isFallbackAdapter,
    limits: readLimits(limits),
  };
}

async function chooseAdapter(toggles: readonly string[], wanted: DeviceOptions['adapter']) {
  const place = await findPlace(toggles, wanted);
  const names = await adapterNames(place);
  const name = chooseName(names, wanted);
  const adapter = await requestAdapter(place, name);
  if (!adapter) throw new FirstlightError('no-adapter', `no adapter answers, though there are ${names.join(', ')}`);
  return { place, name, adapter, info: describeAdapter(adapter, name ?? fullName(names, adapter.info)) };
}

/** The adapter that `openDevice` would open, which is not opened: nothing is taken of its memory. Throws `no-adapter`. */
export async function findAdapter(wanted?: DeviceOptions['adapter']): Promise<AdapterInfo> {
  return (await chooseAdapter(togglesFor(false), wanted)).info;
}

/**
 * Opens a device: the fastest adapter unless `options.adapter` names another; SwiftShader when the machine has none,
 * which `options.onNotice` is told. Everything that the adapter can do is asked for.
 * Throws `no-adapter`, or `bad-argument` for a time-out that is none.
 */
export async function openDevice(options: DeviceOptions = {}): Promise<Device> {
  const { validate = false, timeoutMs } = options;
  if (timeoutMs !== undefined && !(timeoutMs > 0)) {
    throw new FirstlightError('bad-argument', `timeoutMs is ${timeoutMs}: give a number of milliseconds above 0`);
  }
  const { place, name, adapter, info } = await chooseAdapter(togglesFor(validate), options.adapter);
  const gpu = await requestDevice(adapter, info.name);
  const packedDot = dawnOf(place, name).wgslLanguageFeatures.has('packed_4x8_integer_dot_product');
  const traits = readTraits(gpu, adapter, info, packedDot);
  if (traits.software) {
    const why = place.manifest !== undefined && !isSwiftShader(options.adapter) ? 'no usable Vulkan driver: ' : '';
    options.onNotice?.(`${why}running on ${traits.name}, which plays GPU on the CPU: right, but slow`);
  }
  const usualMs = traits.software ? SOFTWARE_TIMEOUT_MS : DEFAULT_TIMEOUT_MS;
  const watch = watchDevice(gpu, Math.min(timeoutMs ?? usualMs, LONGEST_TIMEOUT_MS));
  return {
    gpu,
    traits,
    pipeline: createPipelines(gpu, watch),
    ...createBuffers(gpu, traits.limits, watch),
    settle: async () => {
      gpu.queue.submit([]); // destroyed buffers give their memory back after the next submit
      await watch.guard(gpu.queue.onSubmittedWorkDone(), 'finishing its work');
    },
    guard: watch.guard,
    lost: watch.lost,
    close: () => gpu.destroy(),
    [Symbol.dispose]: () => gpu.destroy(),
  };
}

/** Asks for all limits: what is not asked for stays at WebGPU's defaults, 128 MiB a binding. */
async function requestDevice(adapter: GPUAdapter, name: string): Promise<GPUDevice> {
  const requiredLimits: Record<string, number> = {};
  // the limits are getters of the prototype, which Object.entries does not see
  for (const key in adapter.limits) requiredLimits[key] = adapter.limits[key as keyof GPUSupportedLimits] as number;
  const requiredFeatures = FEATURES.filter((feature) => adapter.features.has(feature));
  try {
    return await adapter.requestDevice({ label: 'firstlight', requiredLimits, requiredFeatures });
  } catch (cause) {
    throw new FirstlightError(
      'no-adapter',
      `${name} gives no device (${(cause as Error).message}): close other programs that use the GPU, or choose another`,
      { cause },
    );
  }
}

/** What Dawn's info has beyond the standard, as long as the adapter has the feature. */
interface ExperimentalInfo {
  readonly subgroupMatrixConfigs?: readonly {
    readonly M: number;
    readonly N: number;
    readonly K: number;
    readonly componentType: string;
    readonly resultComponentType: string;
  }[];
}

function readTraits(gpu: GPUDevice, adapter: GPUAdapter, info: AdapterInfo, packedDot: boolean): Traits {
  const { features, limits } = gpu;
  const { subgroupMinSize: min = 4, subgroupMaxSize: max = 128 } = adapter.info; // WebGPU's bounds
  const { subgroupMatrixConfigs = [] } = adapter.info as ExperimentalInfo; // the device's own info lacks them
  return {
    ...info,
    f16: features.has('shader-f16'),
    subgroups: features.has('subgroups') ? { min, max } : undefined,
    subgroupSizeControl: features.has('subgroup-size-control'),
    subgroupMatrix: [...subgroupMatrixConfigs].map(({ M, N, K, componentType, resultComponentType }) => ({
      m: M,
      n: N,
      k: K,
      component: componentType,
      result: resultComponentType,
    })),
    packedDot,
    timestamps: features.has('timestamp-query'),
    limits: readLimits(limits),
  };
}

function readLimits(limits: GPUSupportedLimits): Limits {
  return {
    maxBufferBytes: limits.maxBufferSize,
    maxBindingBytes: limits.maxStorageBufferBindingSize,
    maxWorkgroupThreads: limits.maxComputeInvocationsPerWorkgroup,
    maxWorkgroupBytes: limits.maxComputeWorkgroupStorageSize,
    maxWorkgroupsPerDimension: limits.maxComputeWorkgroupsPerDimension,
    maxStorageBuffers: limits.maxStorageBuffersPerShaderStage,
  };
}
