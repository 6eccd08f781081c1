/** A model's weights on the GPU. */
import type { Device, Purpose, Traits } from '../devices/types.ts';
import type { Checkpoint, LlamaConfig } from '../loaders/types.ts';
import { FirstlightError } from '../quant/errors.ts';
import { type KvFormat, weightBuffers } from './plan.ts';
import { createTokenizer, type Tokenizer } from './tokenizer.ts';
import { uploadWeights } from './upload.ts';
import type { Preferences } from './variants.ts';
import { countParameters, defaultWeights, describeWeights, type Weights, type WeightsOption } from './weights.ts';

export interface LoadOptions extends Preferences {
  /** Device format of the matrices; default: as in the file, but 4 bits for float checkpoints of over 100 M parameters. */
  readonly weights?: WeightsOption | undefined;
  /** Default f16, or f32 when arithmetic is f32. */
  readonly kv?: KvFormat | undefined;
  /** Called after each slice of weights. */
  readonly onProgress?: ((doneBytes: number, totalBytes: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What a model will be on a device, known before its weights are loaded: enough for a plan. */
export interface ModelOutline {
  readonly config: LlamaConfig;
  readonly path: string;
  readonly weights: Weights;
  readonly weightsOption: WeightsOption;
  readonly preferences: Preferences;
  readonly kv: KvFormat;
}

export interface Model extends ModelOutline {
  readonly device: Device;
  /** For people, e.g. `GGUF v3`. */
  readonly fileFormat: string;
  readonly tokenizer: Tokenizer | undefined;
  readonly chatTemplate: string | undefined;
  readonly parameters: number;
  /** A weight buffer by the plan's name. */
  buffer(name: string): GPUBuffer | undefined;
  /** Bytes on the device by purpose. */
  memory(): Readonly<Record<Purpose, number>>;
  /** Gives the weights' memory back. Sessions must be closed before. */
  close(): Promise<void>;
}

/** Settles formats and layout of a checkpoint on a device with these traits. */
export function outlineModel(checkpoint: Checkpoint, traits: Traits, options: LoadOptions = {}): ModelOutline {
  const { arithmetic, gemv, splits } = options;
  const weightsOption = options.weights ?? defaultWeights(checkpoint);
  return {
    config: checkpoint.config,
    path: checkpoint.path,
    weights: describeWeights(checkpoint, weightsOption, traits.limits.maxBindingBytes),
    weightsOption,
    preferences: { arithmetic, gemv, splits },
    kv: options.kv ?? (arithmetic === 'f32' ? 'f32' : 'f16'),
  };
}

/**
 * Brings a checkpoint's weights to the device, slice by slice: no second copy of the model is ever in host memory.
 * Throws `not-enough-memory`, `bad-file`, `device-lost`; an aborted load throws the signal's reason. Whatever fails, all
 * memory taken is given back.
 */
export async function loadModel(device: Device, checkpoint: Checkpoint, options: LoadOptions = {}): Promise<Model> {
  const outline = outlineModel(checkpoint, device.traits, options);
  const { config, weights } = outline;
  const vocab = await checkpoint.vocab();
  const tokenizer = vocab && createTokenizer(vocab);
  if (tokenizer && tokenizer.vocabSize > config.vocab)
    throw new FirstlightError(
      'bad-tokenizer',
      `${checkpoint.path}: the tokenizer has ${tokenizer.vocabSize} tokens but the model only ${config.vocab}: ` +
        'put the tokenizer that belongs to the model beside it',
    );

  const list = weightBuffers(weights);
  const totalBytes = list.reduce((sum, { bytes }) => sum + bytes, 0);
  const buffers = new Map<string, GPUBuffer>();
  const release = async () => {
    for (const buffer of buffers.values()) device.free(buffer);
    buffers.clear();
    await device.settle();
  };
  let doneBytes = 0;
  try {
    for (const { name, bytes, purpose } of list) buffers.set(name, device.buffer(name, bytes, purpose));
    await uploadWeights(device, checkpoint, weights, {
      find: (name) => buffers.get(name),
      signal: options.signal,
      onBytes(bytes) {
        doneBytes += bytes;
        options.onProgress?.(doneBytes, totalBytes);
      },
    });
  } catch (error) {
    await release().catch(() => undefined); // the first failure is the one to tell
    throw error;
  }

  return {
    ...outline,
    device,
    fileFormat: checkpoint.format,
    tokenizer,
    chatTemplate: vocab?.chatTemplate,
    parameters: countParameters(checkpoint),
    buffer: (name) => buffers.get(name),
    memory: () => device.memory(),
    close: release,
  };
}
