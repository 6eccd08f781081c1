/** Models without weights of their own: sizes are all that matters. */
import { expectedTensors } from '../loaders/model-tensors.ts';
import type { Checkpoint, LlamaConfig, TensorInfo } from '../loaders/types.ts';
import { type FileType, rowBytes } from '../quant/file-types.ts';
import { SMALL_LLAMA } from './random-model.ts';

/** A checkpoint whose matrices have `type` and hold one byte over and over. */
export function blankCheckpoint(config: LlamaConfig, type: FileType, path = 'blank'): Checkpoint {
  const tensors = new Map<string, TensorInfo>();
  for (const [name, shape] of expectedTensors(config)) {
    const [rows, cols] = shape.length === 2 ? [shape[0]!, shape[1]!] : [1, shape[0]!];
    tensors.set(name, { name, type: shape.length === 2 ? type : 'F32', rows, cols });
  }
  return {
    format: 'blank',
    path,
    config,
    tensors,
    async readRows(name, _firstRow, rowCount, into) {
      const tensor = tensors.get(name)!;
      const length = rowCount * rowBytes(tensor.type, tensor.cols);
      return (into ?? new Uint8Array(length)).subarray(0, length).fill(17);
    },
    vocab: async () => undefined,
    close: async () => undefined,
  };
}

const LLAMA_2: LlamaConfig = { ...SMALL_LLAMA, headDim: 128, ropeDim: 128, vocab: 32_000, context: 4096 };

export const LLAMA_2_7B: LlamaConfig = {
  ...LLAMA_2,
  layers: 32,
  hidden: 4096,
  feedForward: 11_008,
  heads: 32,
  kvHeads: 32,
};

export const LLAMA_2_13B: LlamaConfig = {
  ...LLAMA_2,
  layers: 40,
  hidden: 5120,
  feedForward: 13_824,
  heads: 40,
  kvHeads: 40,
};

export const LLAMA_31_8B: LlamaConfig = {
  ...LLAMA_2_7B,
  feedForward: 14_336,
  kvHeads: 8,
  vocab: 128_256,
  context: 131_072,
};
