/** `firstlight help formats`: what the weights of a file become on the GPU. */
import { FILE_TYPES, type FileType } from '../quant/file-types.ts';
import { type CodeForm, type Format, isQuantised, QUANTISED, rowWords, type ScaleForm } from '../quant/layout.ts';
import { wrap } from './arguments.ts';
import { table } from './output.ts';

/** Types that a loader puts together, as people call them. */
const NAMES: Partial<Record<FileType, string>> = {
  MLC4: "MLC's q4f16",
  MLC4_WIDE: "MLC's q4f32",
  GROUP4_32: 'GPTQ, AWQ: groups of 32',
  GROUP4_64: 'GPTQ, AWQ: groups of 64',
  GROUP4_128: 'GPTQ, AWQ: groups of 128 and up',
};

const CODES: Readonly<Record<CodeForm, string>> = {
  '2': '2-bit codes',
  '3': '3-bit codes',
  '4': '4-bit codes',
  '5': '5-bit codes',
  '6': '6-bit codes',
  '8': '8-bit codes',
  table: '4-bit codes of a table',
};

const SCALES: Readonly<Record<ScaleForm, string>> = {
  quad: 'f16 scale for 32',
  wide: 'f32 scale for 32',
  minimum: 'f16 scale and minimum for 32',
  'zero-32': 'f16 scale and zero point for 32',
  'zero-64': 'f16 scale and zero point for 64',
  'zero-128': 'f16 scale and zero point for 128',
  super: '8-bit scale and minimum for 32, f16 for 256',
  halves: '8-bit scale for 16, f16 for 256',
  'halves-minimum': '4-bit scale and minimum for 16, f16 for 256',
};

export const FORMAT_TITLES = ['in the file', 'on the GPU', 'bits'] as const;

/** A row for each layout on the GPU: the types that it holds without loss, what it is, and its size. */
export function formatRows(): string[][] {
  const types = new Map<Format, string[]>();
  for (const [type, { format }] of Object.entries(FILE_TYPES))
    types.set(format, [...(types.get(format) ?? []), NAMES[type as FileType] ?? type]);
  return [...types].map(([format, names]) => [names.join(', '), layoutOf(format), String(bitsOf(format))]);
}

function layoutOf(format: Format): string {
  if (!isQuantised(format)) return format;
  const { codes, scales } = QUANTISED[format];
  return `${CODES[codes]}, ${SCALES[scales]}`;
}

function bitsOf(format: Format): number {
  const cols = 1024; // whole units of all layouts
  const { codes, scales } = rowWords(format, cols);
  return (32 * (codes + scales / 4)) / cols;
}

/** Behind the table: what it does not say. */
const NOTES = [
  'A file may mix types, as Q4_K_M does, and each matrix keeps its own. The types come in GGUF files (one, or in parts), in ' +
    "safetensors and PyTorch checkpoints (F32, F16, BF16; GPTQ and AWQ in 4 bits), and in MLC's exports (q4f16_0, q4f16_1, q4f32_1, " +
    'q0f16, q0f32). GPTQ with act-order has its columns sorted by groups, and the inputs are put into that order before each product.',
  'What rounds: --weights q4, q8 or f16; float models above 100 M parameters, which become q4 unless --weights native says ' +
    'otherwise; the inputs of products with quantised weights, 8-bit codes in blocks of 32, and the KV cache, f16, unless there is --exact.',
  'Refused by name: IQ1 to IQ3, TQ, MXFP4, bitsandbytes, FP8, MLX, GPTQ and AWQ in other than 4 bits.',
];

export function formatsHelp(): string {
  const notes = NOTES.map((text) => wrap(text, 0));
  return [
    'Each type of weights has a layout on the GPU that holds it without loss:\n',
    table([FORMAT_TITLES, ...formatRows()]),
    notes.join('\n\n'),
  ].join('\n');
}
