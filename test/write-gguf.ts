/** Writes GGUF files. */
import { GGML_TYPES } from '../loaders/gguf-types.ts';
import type { TensorBytes } from './write-safetensors.ts';

const VALUE_TYPES = [
  'u8',
  'i8',
  'u16',
  'i16',
  'u32',
  'i32',
  'f32',
  'bool',
  'string',
  'array',
  'u64',
  'i64',
  'f64',
] as const;
type ValueType = (typeof VALUE_TYPES)[number];
type Scalar = string | number | bigint | boolean;

/** A metadata entry. Arrays are written as type 'string[]' and the like, with a list of values. */
export type GgufEntry = readonly [key: string, type: Exclude<ValueType, 'array'>, value: Scalar] | ArrayEntry;
type ArrayEntry = readonly [key: string, type: `${Exclude<ValueType, 'array'>}[]`, values: Iterable<Scalar>];

export interface GgufOptions {
  readonly version?: 2 | 3;
  /** Default 32; another one is written to the metadata too. */
  readonly alignment?: number;
  /** The last tensor's data come first. */
  readonly reversed?: boolean;
}

/** The file's bytes. */
export function writeGguf(
  metadata: readonly GgufEntry[],
  tensors: readonly TensorBytes[],
  { version = 3, alignment = 32, reversed = false }: GgufOptions = {},
): Uint8Array {
  const entries: GgufEntry[] = [...metadata];
  if (alignment !== 32) entries.push(['general.alignment', 'u32', alignment]);
  const header: Buffer[] = [Buffer.from('GGUF'), scalar('u32', version)];
  header.push(scalar('u64', tensors.length), scalar('u64', entries.length));
  for (const entry of entries) header.push(scalar('string', entry[0]), valueBytes(entry));

  const data: Uint8Array[] = [];
  const offsets = new Map<TensorBytes, number>();
  let end = 0;
  for (const tensor of reversed ? tensors.toReversed() : tensors) {
    offsets.set(tensor, end);
    const behind = padding(tensor.bytes.length, alignment);
    data.push(tensor.bytes, behind);
    end += tensor.bytes.length + behind.length;
  }
  for (const tensor of tensors) {
    const { name, type, shape } = tensor;
    header.push(scalar('string', name), scalar('u32', shape.length));
    for (const length of shape.toReversed()) header.push(scalar('u64', length));
    header.push(scalar('u32', typeNumber(type)), scalar('u64', offsets.get(tensor)!));
  }
  const start = Buffer.concat(header);
  return new Uint8Array(Buffer.concat([start, padding(start.length, alignment), ...data]));
}

function isArrayEntry(entry: GgufEntry): entry is ArrayEntry {
  return entry[1].endsWith('[]');
}

function valueBytes(entry: GgufEntry): Buffer {
  if (!isArrayEntry(entry)) return Buffer.concat([typeBytes(entry[1]), scalar(entry[1], entry[2])]);
  const type = entry[1].slice(0, -2) as ValueType;
  const values = Array.from(entry[2], (value) => scalar(type, value));
  return Buffer.concat([typeBytes('array'), typeBytes(type), scalar('u64', values.length), Buffer.concat(values)]);
}

function typeBytes(type: ValueType): Buffer {
  return scalar('u32', VALUE_TYPES.indexOf(type));
}

function scalar(type: ValueType, value: Scalar): Buffer {
  if (type === 'string') {
    const text = Buffer.from(String(value));
    return Buffer.concat([scalar('u64', text.length), text]);
  }
  const bytes = Buffer.alloc(8);
  switch (type) {
    case 'u8':
    case 'bool':
      return bytes.subarray(0, bytes.writeUInt8(Number(value)));
    case 'i8':
      return bytes.subarray(0, bytes.writeInt8(Number(value)));
    case 'u16':
      return bytes.subarray(0, bytes.writeUInt16LE(Number(value)));
    case 'i16':
      return bytes.subarray(0, bytes.writeInt16LE(Number(value)));
    case 'u32':
      return bytes.subarray(0, bytes.writeUInt32LE(Number(value)));
    case 'i32':
      return bytes.subarray(0, bytes.writeInt32LE(Number(value)));
    case 'f32':
      return bytes.subarray(0, bytes.writeFloatLE(Number(value)));
    case 'f64':
      return bytes.subarray(0, bytes.writeDoubleLE(Number(value)));
    case 'u64':
      return bytes.subarray(0, bytes.writeBigUInt64LE(BigInt(value)));
    case 'i64':
      return bytes.subarray(0, bytes.writeBigInt64LE(BigInt(value)));
    case 'array':
      throw new Error('arrays of arrays are not written');
  }
}

function typeNumber(name: string): number {
  for (const [number, type] of GGML_TYPES) if (type.name === name) return number;
  throw new Error(`GGML has no type ${name}`);
}

function padding(length: number, alignment: number): Uint8Array {
  return new Uint8Array((alignment - (length % alignment)) % alignment);
}
