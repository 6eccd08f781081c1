/** A model's weights on the GPU. */
import { basename } from 'node:path';
import { readTopology } from '../devices/topology.ts';
import type { Device, Purpose } from '../devices/types.ts';
import { settleFreed } from '../devices/wait.ts';
import { openModel } from '../loaders/named.ts';
import type { Checkpoint, LlamaConfig } from '../loaders/types.ts';
import { FirstlightError } from '../quant/errors.ts';
import { CHAT_FAMILIES, guessFamily } from './chat-families.ts';
import { type ContextOption, type Estimate, estimate } from './estimate.ts';
import { fingerprintOf } from './fingerprint.ts';
import type { KvFormat } from './kv-cache.ts';
import { createLayerStream, type LayerStream } from './layer-stream.ts';
import { weightBuffers } from './plan-buffers.ts';
import { notEnoughMemory } from './refusal.ts';
import { createSelfTest, type SelfTest } from './self-test.ts';
import { createTokenizer, type Tokenizer } from './tokenizer.ts';
import { uploadWeights } from './upload.ts';
import type { Preferences } from './variants.ts';
import { countParameters, describeWeights, type Weights, type WeightsOption } from './weights.ts';

/** How a load and its sessions deal with the machine's memory. */
export interface MemoryOptions {
  /** Free memory that is left to others; default 512 MiB on a GPU, 0 on software. */
  readonly marginBytes?: number | undefined;
  /** Most device memory to take, however much is free. Default no limit. */
  readonly memoryBytes?: number | undefined;
  /**
   * Where not all layers fit, bring the last ones to the device for every pass: slow, but right. The checkpoint must stay open
   * then. Default true.
   */
  readonly stream?: boolean | undefined;
  /** Layers that stay on the device, where the others are streamed. Default: as many as fit. */
  readonly residentLayers?: number | undefined;
  /** Go on although the plan says that it does not fit. Default false. */
  readonly overcommit?: boolean | undefined;
  /** Where the machine's /proc and /sys are. Default `/`. */
  readonly root?: string | undefined;
}

/** Options of loadModel(). */
export interface LoadOptions extends Preferences, MemoryOptions {
  /** Device format of the matrices; default: as in the file, but 4 bits for float checkpoints of over 100 M parameters. */
  readonly weights?: WeightsOption | undefined;
  /** Default f16, or f32 when arithmetic is f32. */
  readonly kv?: KvFormat | undefined;
  /** Positions that sessions are to have: memory for one is planned for. Default `auto`: what fits, at most 4096. */
  readonly context?: ContextOption | undefined;
  /** Sequences of a batch that memory is planned for instead, each with that context. Default 1. */
  readonly slots?: number | undefined;
  /** Called once before anything is allocated, even when the load is then refused. */
  readonly onPlan?: ((plan: Estimate) => void) | undefined;
  /** Called after each slice of weights. */
  readonly onProgress?: ((doneBytes: number, totalBytes: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A model on a device: made by loadModel(), shared by any number of sessions, chats and batches. */
export interface Model extends AsyncDisposable {
  readonly device: Device;
  readonly config: LlamaConfig;
  /** For people, e.g. `GGUF v3`. */
  readonly fileFormat: string;
  readonly path: string;
  readonly weights: Weights;
  readonly weightsOption: WeightsOption;
  readonly tokenizer: Tokenizer | undefined;
  /** What its files call it. */
  readonly name: string | undefined;
  /** From its files, or its family's where they have none and the family is known. */
  readonly chatTemplate: string | undefined;
  /** For chats with tools, where the files have one of its own. */
  readonly toolTemplate: string | undefined;
  readonly preferences: Preferences;
  readonly kv: KvFormat;
  /** The plan of the load: sessions have its context unless they ask for another. */
  readonly plan: Estimate;
  readonly memoryOptions: MemoryOptions;
  readonly parameters: number;
  /** What tells it from other models: see fingerprint.ts. */
  readonly fingerprint: string;
  /** The layers that are not on the device; undefined when all are. */
  readonly stream: LayerStream | undefined;
  /** Checks the first logits that are made. */
  readonly selfTest: SelfTest;
  /** A weight buffer by the plan's name. */
  buffer(name: string): GPUBuffer | undefined;
  /** Bytes on the device by purpose. */
  memory(): Readonly<Record<Purpose, number>>;
  /** Throws `bad-argument` once the model is closed. */
  checkOpen(): void;
  /** Gives the weights' memory back. Sessions must be closed before. */
  close(): Promise<void>;
}

/**
 * Brings a checkpoint's weights to the device, slice by slice: no second copy of the model is ever in host memory. In place
 * of a checkpoint stands what openModel takes: a path, the short name of a model that was pulled, or `builtin`.
 * What does not fit by the plan is refused before anything is allocated. Throws `not-enough-memory`, `bad-file`,
 * `bad-argument`, `device-lost`; an aborted load throws the signal's reason. Whatever fails, all memory taken is given back.
 */
export async function loadModel(device: Device, from: Checkpoint | string, options: LoadOptions = {}): Promise<Model> {
  if (typeof from !== 'string') return loadCheckpoint(device, from, options);
  const checkpoint = await openModel(from);
  let streams = false;
  try {
    const model = await loadCheckpoint(device, checkpoint, options);
    streams = model.stream !== undefined;
    const close = async () => {
      await model.close();
      await checkpoint.close();
    };
    return streams ? { ...model, close, [Symbol.asyncDispose]: close } : model;
  } finally {
    if (!streams) await checkpoint.close();
  }
}

async function loadCheckpoint(device: Device, checkpoint: Checkpoint, options: LoadOptions): Promise<Model> {
  const { config } = checkpoint;
  const { traits } = device;
  const topology = await readTopology(options.root);
  const plan = estimate(checkpoint, traits, topology, options);
  const weights = describeWeights(checkpoint, plan.weightsOption, traits.limits.maxBindingBytes);
  options.onPlan?.(plan);
  if (plan.fits === false && (!options.overcommit || plan.context > plan.bindableContext))
    throw notEnoughMemory(checkpoint.path, plan, traits, topology, weights);
  const vocab = await checkpoint.vocab();
  const tokenizer = vocab && createTokenizer(vocab);
  const family = vocab && guessFamily(vocab, [basename(checkpoint.path), vocab.modelName]);
  if (tokenizer && tokenizer.vocabSize > config.vocab)
    throw new FirstlightError(
      'bad-tokenizer',
      `${checkpoint.path}: the tokenizer has ${tokenizer.vocabSize} tokens but the model only ${config.vocab}: ` +
        'put the tokenizer that belongs to the model beside it',
    );

  const fingerprint = await fingerprintOf(checkpoint, plan.weightsOption);
  const selfTest = await createSelfTest(checkpoint, weights, plan.weightsOption, traits);
  const { residentLayers } = plan;
  const list = weightBuffers(weights, residentLayers);
  const totalBytes = list.reduce((sum, { bytes }) => sum + bytes, 0);
  const buffers = new Map<string, GPUBuffer>();
  let stream: LayerStream | undefined;
  let closed = false;
  const release = async () => {
    closed = true;
    await stream?.close().catch(() => undefined); // of a lost device
    for (const buffer of buffers.values()) device.free(buffer);
    buffers.clear();
    await settleFreed(device);
  };
  let doneBytes = 0;
  try {
    for (const { name, bytes, purpose } of list) buffers.set(name, device.buffer(name, bytes, purpose));
    const find = (name: string) => buffers.get(name);
    const onBytes = (bytes: number) => {
      doneBytes += bytes;
      options.onProgress?.(doneBytes, totalBytes);
    };
    await uploadWeights(device, checkpoint, weights, { find, signal: options.signal, onBytes }, residentLayers);
    if (residentLayers < config.layers)
      stream = await createLayerStream(device, checkpoint, weights, residentLayers, find);
    await device.settle(); // gives the memory back of the staging that was freed
  } catch (error) {
    await release().catch(() => undefined); // the first failure is the one to tell
    throw error;
  }

  return {
    device,
    config,
    fileFormat: checkpoint.format,
    path: checkpoint.path,
    weights,
    weightsOption: plan.weightsOption,
    tokenizer,
    name: vocab?.modelName,
    chatTemplate: vocab?.chatTemplate ?? (family && CHAT_FAMILIES[family]),
    toolTemplate: vocab?.toolTemplate,
    preferences: {
      arithmetic: options.arithmetic,
      gemv: options.gemv,
      many: options.many,
      splits: options.splits,
      merged: options.merged,
    },
    kv: plan.kv,
    plan,
    memoryOptions: {
      marginBytes: options.marginBytes,
      memoryBytes: options.memoryBytes,
      overcommit: options.overcommit,
      root: options.root,
    },
    stream,
    parameters: countParameters(checkpoint),
    fingerprint,
    selfTest,
    buffer: (name) => buffers.get(name) ?? stream?.buffer(name),
    memory: () => device.memory(),
    checkOpen() {
      if (closed) throw new FirstlightError('bad-argument', `the model ${checkpoint.path} is closed: load it again`);
    },
    close: release,
    [Symbol.asyncDispose]: release,
  };
}
