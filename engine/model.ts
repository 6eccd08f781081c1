/** A model's weights on the GPU. */
import type { Device, Purpose } from '../devices/types.ts';
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

export interface Model {
  readonly device: Device;
  readonly config: LlamaConfig;
  /** For people, e.g. `GGUF v3`. */
  readonly fileFormat: string;
  readonly path: string;
  readonly weights: Weights;
  readonly weightsOption: WeightsOption;
  readonly tokenizer: Tokenizer | undefined;
  readonly chatTemplate: string | undefined;
  readonly preferences: Preferences;
  readonly kv: KvFormat;
  readonly parameters: number;
  /** A weight buffer by the plan's name. */
  buffer(name: string): GPUBuffer | undefined;
  /** Bytes on the device by purpose. */
  memory(): Readonly<Record<Purpose, number>>;
  /** Gives the weights' memory back. Sessions must be closed before. */
  close(): Promise<void>;
}

/**
 * Brings a checkpoint's weights to the device, slice by slice: no second copy of the model is ever in host memory.
 * Throws `not-enough-memory`, `bad-file`, `device-lost`; an aborted load throws the signal's reason. Whatever fails, all
 * memory taken is given back.
 */
export async function loadModel(device: Device, checkpoint: Checkpoint, options: LoadOptions = {}): Promise<Model> {
  const { config } = checkpoint;
  const weightsOption = options.weights ?? defaultWeights(checkpoint);
  const weights = describeWeights(checkpoint, weightsOption, device.traits.limits.maxBindingBytes);
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
    device,
    config,
    fileFormat: checkpoint.format,
    path: checkpoint.path,
    weights,
    weightsOption,
    tokenizer,
    chatTemplate: vocab?.chatTemplate,
    preferences: { arithmetic: options.arithmetic, gemv: options.gemv, splits: options.splits },
    kv: options.kv ?? (options.arithmetic === 'f32' ? 'f32' : 'f16'),
    parameters: countParameters(checkpoint),
    buffer: (name) => buffers.get(name),
    memory: () => device.memory(),
    close: release,
  };
}
