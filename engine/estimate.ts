/**
 * The plan before the load: what a model will take on the device, whether that is there, and with which context. Counts the
 * same lists of buffers that loadModel and createSession allocate.
 */
import { allocatedBytes, allocatedMappableBytes, IDLE_STAGING_BYTES, READ_SLICE_BYTES } from '../devices/allocation.ts';
import { type Budget, budgetBytes, KEPT_AVAILABLE_BYTES, spendableBytes } from '../devices/budget.ts';
import { findGpu, type Topology } from '../devices/topology.ts';
import type { AdapterInfo, Purpose } from '../devices/types.ts';
import type { Checkpoint, LlamaConfig } from '../loaders/types.ts';
import { FirstlightError } from '../quant/errors.ts';
import { packedBytes, roundUp } from '../quant/layout.ts';
import { checkKv, type KvFormat } from './kv-cache.ts';
import { STREAM_SLICES } from './layer-stream.ts';
import { layerWindow } from './layers.ts';
import { READBACK_BYTES, TICKETS } from './plan.ts';
import { sessionBuffers, weightBuffers } from './plan-buffers.ts';
import { plainContext } from './rope.ts';
import type { BufferSpec, SizeOptions } from './steps.ts';
import { STREAM_SETS, streamedBytes } from './streaming.ts';
import { loadingBytes, packedHostBytes, uploaderBytes } from './upload.ts';
import type { Preferences } from './variants.ts';
import { defaultWeights, describeWeights, vectorLength, type Weights, type WeightsOption } from './weights.ts';

/** Positions; `auto`: what fits, at most 4096; `largest`: what fits, up to what the model was made for. */
export type ContextOption = number | 'auto' | 'largest';

/** Options of estimate(). */
export interface EstimateOptions extends Preferences {
  /** As in loadModel. */
  readonly weights?: WeightsOption | undefined;
  /** As in loadModel. */
  readonly kv?: KvFormat | undefined;
  /** Default `auto`. */
  readonly context?: ContextOption | undefined;
  /** Prompt tokens per pass. Default 512, on integrated GPUs 256, on CPU drivers 32. */
  readonly chunk?: number | undefined;
  /** Sequences that are to run at once, each with the context for itself. Default 1. */
  readonly slots?: number | undefined;
  /** Free memory that is left to others; default 512 MiB on a GPU, 0 on software. */
  readonly marginBytes?: number | undefined;
  /** As in loadModel. */
  readonly memoryBytes?: number | undefined;
  /** As in loadModel. */
  readonly stream?: boolean | undefined;
  /** As in loadModel. */
  readonly residentLayers?: number | undefined;
}

/** Bytes by what they are for. `rounding`: what Dawn's allocations are larger than the buffers in them. */
export type NeededBytes = Readonly<Record<Purpose | 'rounding', number>>;

/** A need of memory beside what is there. */
export interface Fit {
  readonly context: number;
  readonly kv: KvFormat;
  readonly bytes: NeededBytes;
  /** Their sum: the peak of what the device has allocated. */
  readonly totalBytes: number;
  /** Layers whose weights stay on the device; the others are brought there for every pass. */
  readonly residentLayers: number;
  /** Bytes that are brought; 0 when all layers stay. */
  readonly streamedBytes: number;
  readonly budget: Budget;
  /** Undefined when the system does not tell what is free. */
  readonly fits: boolean | undefined;
  /** Where not even streaming helps: what is needed with all layers streamed. */
  readonly leastBytes?: number | undefined;
  /** Most positions that fit, at most what the model was made for; 0 when not even one does. */
  readonly largestContext: number;
  /** Most positions that the device's limits on single buffers allow, however much memory there is. */
  readonly bindableContext: number;
}

/** What a model will take of the memory, and what is there: made by estimate(). */
export interface Estimate extends Fit {
  /** Where layers are streamed: most positions with which none would have to be; 0 when there is no such context. */
  readonly wholeContext: number;
  readonly weightsOption: WeightsOption;
  readonly chunk: number;
  readonly slots: number;
  /** Undefined for machines whose memory is not known. */
  readonly speed: Speed | undefined;
}

/** A prediction for decode, which reads all weights and the cache once a token. */
export interface Speed {
  /** Weights read for each token. */
  readonly bytesPerToken: number;
  /** At the start of the context, where the cache is empty. */
  readonly tokensPerSecond: number;
  /** At its end. */
  readonly tokensPerSecondFull: number;
  /** For people: what the figures rest on. */
  readonly assumption: string;
}

/** Prompt tokens per pass: what fills a GPU. CPU drivers win nothing by many, and an abort is heard between passes. */
export const CHUNKS = { card: 512, integrated: 256, software: 32 };
const DEFAULT_CONTEXT = 4096;
/** What `auto` and `largest` ask for at least: with less memory than for this a load is refused. */
const SMALLEST_CONTEXT = 256;
/** They take multiples of this, where memory decides. */
const CONTEXT_STEP = 64;
/** Part of the peak DRAM bandwidth that decode is taken to reach: engines with good kernels measure 0.55 to 0.8 on APUs. */
const BANDWIDTH_SHARE = 0.7;
/** What reading files from the page cache and copying them to the device is taken to reach. */
const STREAM_BYTES_PER_SECOND = 4e9;
/** Contexts that are tried in turn where layers are streamed and the caller leaves it open: the cache takes room from layers. */
const STREAMED_CONTEXTS = [1024, SMALLEST_CONTEXT];

/**
 * Plans a load of `checkpoint` on an adapter. Pure: reads the tensor directory, no weights, and needs no open device.
 * Throws `bad-argument` for sizes that are no whole numbers and a context that the model does not have.
 */
export function estimate(
  checkpoint: Pick<Checkpoint, 'config' | 'tensors' | 'path'>,
  adapter: AdapterInfo,
  topology: Topology,
  options: EstimateOptions = {},
): Estimate {
  const { config, path } = checkpoint;
  const weightsOption = options.weights ?? defaultWeights(checkpoint);
  const weights = describeWeights(checkpoint, weightsOption, adapter.limits.maxBindingBytes);
  const { context = 'auto', chunk = defaultChunk(adapter, topology), slots = 1 } = options;
  checkSizes(context, chunk, config, path);
  checkSlots(slots);
  const kv = options.kv ?? (options.arithmetic === 'f32' ? 'f32' : 'f16');
  checkKv(kv, config, path);
  const size = { config, weights, traits: adapter, preferences: options, kv, chunk, slots };
  const budget = budgetBytes(topology, adapter, options.marginBytes, options.memoryBytes);
  const { stream = true, residentLayers } = options;
  checkResident(residentLayers, config, path);
  const whole = fitContext(size, budget, context, true, residentLayers);
  const mayStream = stream && residentLayers === undefined && whole.fits === false;
  const fit = mayStream ? fitStreamed(size, budget, context, whole, topology) : whole;
  return {
    ...fit,
    wholeContext: whole.largestContext,
    weightsOption,
    chunk,
    slots,
    speed: predictSpeed(config, weights, fit, adapter, topology),
  };
}

/**
 * As many layers as fit stay on the device, and the others are streamed. Where that would not do either, the numbers of the
 * whole model are the ones to tell.
 */
function fitStreamed(
  size: Omit<SizeOptions, 'context'>,
  budget: Budget,
  wanted: ContextOption,
  whole: Fit,
  topology: Topology,
): Fit {
  const { config, weights } = size;
  const contexts =
    typeof wanted === 'number' ? [wanted] : STREAMED_CONTEXTS.map((most) => Math.min(most, config.context));
  let leastBytes: number | undefined;
  for (const context of contexts) {
    const fit = (layers: number) => fitContext(size, budget, context, true, layers);
    // with fewer than three streamed, their buffers hold them all anyway
    const layers = largestWhere(config.layers - STREAM_SETS, (count) => fit(count - 1).fits === true) - 1;
    leastBytes = fit(0).totalBytes;
    if (layers < 0) continue;
    const streamed = fit(layers);
    // what the CPU packs is kept in main memory, of which an APU's GPU takes its part as well
    const hostBytes = packedHostBytes(weights, layers);
    const { ownBytes = Number.POSITIVE_INFINITY } = budget;
    const mainBytes = hostBytes + Math.max(0, streamed.totalBytes - ownBytes);
    const { memory } = topology;
    if (memory && hostBytes > 0 && mainBytes > memory.availableBytes - KEPT_AVAILABLE_BYTES) return whole;
    return streamed;
  }
  return { ...whole, leastBytes };
}

function checkResident(layers: number | undefined, config: LlamaConfig, path: string): void {
  if (layers === undefined || (Number.isInteger(layers) && layers >= 0 && layers <= config.layers)) return;
  throw new FirstlightError(
    'bad-argument',
    `residentLayers is ${layers}: ${path} has ${config.layers} layers, of which a whole number can stay on the device`,
  );
}

function defaultChunk(adapter: AdapterInfo, topology: Topology): number {
  if (adapter.software) return CHUNKS.software;
  return findGpu(topology, adapter)?.integrated ? CHUNKS.integrated : CHUNKS.card;
}

/** Sets the need of a session, and of `loading` the weights before it, beside a budget. */
export function fitContext(
  size: Omit<SizeOptions, 'context'>,
  budget: Budget,
  wanted: ContextOption,
  loading: boolean,
  residentLayers: number = size.config.layers,
): Fit {
  const { config, traits } = size;
  const largestBuffer = Math.min(traits.limits.maxBindingBytes, traits.limits.maxBufferBytes);
  const buffersFor = (context: number) =>
    sessionBuffers({ ...size, context, chunk: Math.min(size.chunk, Math.max(context, 1)) });
  const bindable = (context: number) => buffersFor(context).every(({ bytes }) => bytes <= largestBuffer);
  const weights = loading ? weightBuffers(size.weights, residentLayers) : [];
  const loadBytes = loading ? loadingBytes(size.weights, residentLayers) : 0;
  const streamBytes = loading && residentLayers < config.layers ? uploaderBytes(STREAM_SLICES) : 0;
  const need = (context: number) => needOf(weights, loadBytes, buffersFor(context), streamBytes);
  const affordable = (context: number) => isWithin(budget, need(context).totalBytes) !== false;

  const bindableContext = largestWhere(config.context, bindable);
  const largestContext = largestWhere(bindableContext, affordable);
  const context = chooseContext(wanted, config.context, largestContext, plainContext(config));
  const needed = need(context);
  const fits = context > bindableContext ? false : isWithin(budget, needed.totalBytes);
  return {
    ...needed,
    residentLayers,
    streamedBytes: streamedBytes(size.weights, residentLayers),
    context,
    kv: size.kv,
    budget,
    fits,
    largestContext,
    bindableContext,
  };
}

function isWithin(budget: Budget, bytes: number): boolean | undefined {
  const spendable = spendableBytes(budget);
  return spendable === undefined ? undefined : bytes <= spendable;
}

/** The largest whole number up to `most` that holds, if all smaller ones do; 0 when 1 does not. */
function largestWhere(most: number, holds: (value: number) => boolean): number {
  let low = 0;
  let high = most;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (holds(middle)) low = middle;
    else high = middle - 1;
  }
  return low;
}

/**
 * The context to load with. A number stays what it is; the others give way to memory, but not below 256 positions (or the
 * model's own context, when that is smaller), even if that does not fit.
 */
export function chooseContext(
  wanted: ContextOption,
  modelContext: number,
  largestContext: number,
  plainContext = modelContext,
): number {
  if (typeof wanted === 'number') return wanted;
  const most = wanted === 'largest' ? modelContext : Math.min(modelContext, plainContext, DEFAULT_CONTEXT);
  if (largestContext >= most) return most;
  return Math.max(largestContext - (largestContext % CONTEXT_STEP), Math.min(most, SMALLEST_CONTEXT));
}

/** Throws `bad-argument` for sizes that are no whole numbers and a context that the model does not have. */
export function checkSizes(context: ContextOption, chunk: number, config: LlamaConfig, path: string): void {
  for (const [name, value] of Object.entries({ context, chunk })) {
    if (typeof value === 'number' && (!Number.isInteger(value) || value < 1))
      throw new FirstlightError('bad-argument', `${name} is ${value}: it must be a whole number of at least 1`);
  }
  if (typeof context === 'number' && context > config.context)
    throw new FirstlightError(
      'bad-argument',
      `a context of ${context} was asked for, but ${path} was made for ${config.context}: ask for at most that`,
    );
}

/** Throws `bad-argument` for what is no number of sequences. */
export function checkSlots(slots: number): void {
  if (!Number.isInteger(slots) || slots < 1)
    throw new FirstlightError('bad-argument', `slots is ${slots}: it must be a whole number of at least 1`);
}

/**
 * What the buffers take at most. While weights stream in, which takes `loadBytes` more, the session's buffers do not exist
 * yet; when they do, one ring of staging is left, and what layers are streamed through.
 */
function needOf(
  weights: readonly BufferSpec[],
  loadBytes: number,
  session: readonly BufferSpec[],
  streamBytes: number,
): Pick<Fit, 'bytes' | 'totalBytes'> {
  const all = [...weights, ...session];
  const readbacks = [...Array<number>(TICKETS).fill(READBACK_BYTES), READ_SLICE_BYTES];
  const bytes = { weights: 0, kv: 0, activations: 0, state: 0, staging: 0, readback: sumOf(readbacks) };
  for (const buffer of all) bytes[buffer.purpose] += sizeOf(buffer);
  const sum = sumOf(Object.values(bytes));
  const kept = allocatedBytes(all.map(sizeOf)) + sumOf(readbacks.map(allocatedMappableBytes));
  const working = kept + IDLE_STAGING_BYTES + streamBytes;
  const totalBytes = Math.max(allocatedBytes(weights.map(sizeOf)) + loadBytes, working);
  return { bytes: { ...bytes, rounding: kept - sum, staging: totalBytes - kept }, totalBytes };
}

function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, one) => sum + one, 0);
}

/** As Device.buffer rounds it. */
function sizeOf({ bytes }: BufferSpec): number {
  return roundUp(bytes, 16);
}

function predictSpeed(
  config: LlamaConfig,
  weights: Weights,
  { bytes, context, streamedBytes: streamed }: Fit,
  adapter: AdapterInfo,
  topology: Topology,
): Speed | undefined {
  const bandwidth = findGpu(topology, adapter)?.bandwidthBytesPerSecond;
  if (adapter.software || (bandwidth === undefined && streamed === 0)) return undefined;
  let bytesPerToken = 0;
  for (const matrix of weights.matrices.values()) {
    if (matrix.name === 'embed' && !config.tiedEmbeddings) continue; // a single row
    for (const part of matrix.parts) {
      const size = packedBytes(part.format, part.rows, matrix.cols);
      bytesPerToken += size.codes + size.scales;
    }
  }
  for (const vector of weights.vectors.values()) bytesPerToken += vectorLength(vector) * 4;
  let seen = 0; // part of the cache that is read at its end: all of it, or a window's worth
  for (let layer = 0; layer < config.layers; layer++)
    seen += Math.min(layerWindow(config, layer) ?? context, context) / context / config.layers;
  const readSeconds = (read: number) => (bandwidth === undefined ? 0 : read / (bandwidth * BANDWIDTH_SHARE));
  const rate = (read: number) => 1 / (readSeconds(read) + streamed / STREAM_BYTES_PER_SECOND);
  const assumptions = [
    bandwidth && `decode reaches ${BANDWIDTH_SHARE * 100} % of ${bandwidth / 1e9} GB/s of memory bandwidth`,
    streamed > 0 && `layers are streamed at ${STREAM_BYTES_PER_SECOND / 1e9} GB/s`,
  ];
  return {
    bytesPerToken,
    tokensPerSecond: rate(bytesPerToken),
    tokensPerSecondFull: rate(bytesPerToken + bytes.kv * seen),
    assumption: `if ${assumptions.filter(Boolean).join(' and ')}`,
  };
}
