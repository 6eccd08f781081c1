/** Safetensors folders with matrices as AutoGPTQ and AutoAWQ pack them, of random codes. */
import type { LlamaConfig } from '../loaders/types.ts';
import { f16ToF32, f32ToF16 } from '../quant/f16.ts';
import { seededRandom } from './random.ts';
import { configJson, randomWeights } from './random-model.ts';
import { type TensorBytes, writeSafetensors } from './write-safetensors.ts';

export interface GroupOptions {
  readonly method: 'gptq' | 'awq';
  readonly format?: 'gptq' | 'gptq_v2';
  /** -1: all inputs. */
  readonly group: number;
  readonly scales?: 'F16' | 'BF16' | 'F32';
  /** Group of each input, where it is not the usual one. */
  readonly order?: (input: number, inputs: number) => number;
  readonly biases?: boolean;
}

const AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7];

/** The folder's files, and what the weights stand for. */
export function groupFolder(config: LlamaConfig, options: GroupOptions) {
  const { method, format = 'gptq', group: told } = options;
  const random = seededRandom(told + method.length);
  const tensors: TensorBytes[] = [];
  const values = new Map<string, Float32Array>();
  for (const [name, { shape, values: real }] of randomWeights(config)) {
    const [rows = 0, cols = 0] = shape;
    if (!name.includes('_proj.weight')) {
      tensors.push({ name, type: 'F32', shape, bytes: new Uint8Array(real.buffer) });
      values.set(name, real);
      continue;
    }
    const group = told === -1 ? cols : told;
    const groups = cols / group;
    const codes = Uint8Array.from({ length: rows * cols }, () => random() * 16);
    const scales = Float32Array.from({ length: rows * groups }, () =>
      f16ToF32(f32ToF16(0.01 + random() / 50) & 0xfff8),
    );
    const zeros = Uint8Array.from({ length: rows * groups }, () => random() * 16);
    const groupOf = (input: number) => options.order?.(input, cols) ?? Math.floor(input / group);
    values.set(
      name,
      Float32Array.from(codes, (code, i) => {
        const at = Math.floor(i / cols) * groups + groupOf(i % cols);
        return scales[at]! * (code - zeros[at]!);
      }),
    );
    const base = name.slice(0, -'.weight'.length);
    const add = (part: string, type: string, size: readonly number[], data: Uint32Array | Uint16Array | Float32Array) =>
      tensors.push({ name: `${base}.${part}`, type, shape: size, bytes: new Uint8Array(data.buffer) });
    const storedZero = (zero: number) => (method === 'gptq' && format === 'gptq' ? (zero + 15) & 15 : zero);
    const nibbles = (lines: number, at: (line: number, row: number) => number) => {
      const words = new Uint32Array((lines * rows) / 8);
      for (let line = 0; line < lines; line++)
        for (let row = 0; row < rows; row++) {
          const nibble = method === 'awq' ? AWQ_ORDER.indexOf(row % 8) : row % 8;
          words[(line * rows + row - (row % 8)) / 8]! |= at(line, row) << (4 * nibble);
        }
      return words;
    };
    if (method === 'awq') {
      add(
        'qweight',
        'I32',
        [cols, rows / 8],
        nibbles(cols, (col, row) => codes[row * cols + col]!),
      );
    } else {
      const words = new Uint32Array((rows * cols) / 8);
      for (let row = 0; row < rows; row++)
        for (let col = 0; col < cols; col++)
          words[(col >> 3) * rows + row]! |= codes[row * cols + col]! << (4 * (col & 7));
      add('qweight', 'I32', [cols / 8, rows], words);
      add(
        'g_idx',
        'I32',
        [cols],
        Uint32Array.from({ length: cols }, (_, col) => groupOf(col)),
      );
    }
    add(
      'qzeros',
      'I32',
      [groups, rows / 8],
      nibbles(groups, (line, row) => storedZero(zeros[row * groups + line]!)),
    );
    const turned = Float32Array.from(scales, (_, i) => scales[(i % rows) * groups + Math.floor(i / rows)]!);
    if (options.scales === 'F32') add('scales', 'F32', [groups, rows], turned);
    else if (options.scales === 'BF16')
      add(
        'scales',
        'BF16',
        [groups, rows],
        Uint16Array.from(new Uint32Array(turned.buffer), (word) => word >>> 16),
      );
    else add('scales', 'F16', [groups, rows], Uint16Array.from(turned, f32ToF16));
    if (options.biases) add('bias', 'F16', [rows], new Uint16Array(rows));
  }
  const quantisation = {
    quant_method: method,
    bits: 4,
    group_size: told,
    ...(method === 'gptq' ? { checkpoint_format: format, desc_act: options.order !== undefined } : { version: 'gemm' }),
  };
  const json = { ...configJson(config), quantization_config: quantisation };
  const files = new Map<string, Uint8Array>([
    ['config.json', Buffer.from(JSON.stringify(json))],
    ['model.safetensors', writeSafetensors(tensors)],
  ]);
  return { files, values };
}
