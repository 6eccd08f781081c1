/** GGUF v2 and v3, little-endian: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md */
import { FirstlightError } from '../quant/errors.ts';
import { plainTensor, type StoredTensor } from './container.ts';
import { huggingFaceName } from './gguf-names.ts';
import { GGML_TYPES } from './gguf-types.ts';
import type { LlamaConfig, Source } from './types.ts';

/** A metadata value. 64-bit integers are numbers where that is exact (up to 2^53), otherwise bigints. */
export type GgufValue =
  | string
  | number
  | bigint
  | boolean
  | readonly GgufValue[] // arrays of strings, booleans and arrays
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | BigUint64Array
  | BigInt64Array
  | Float32Array
  | Float64Array;

export interface GgufTensor {
  /** As in the file. */
  readonly name: string;
  /** GGML's name: 'F32', 'Q4_K', ... */
  readonly type: string;
  /** Outermost first, the reverse of the file's order. */
  readonly shape: readonly number[];
  /** From the start of the file. */
  readonly offset: number;
  readonly bytes: number;
}

export interface GgufHeader {
  readonly version: number;
  /** Where the metadata end, from the start of the file. */
  readonly metadataBytes: number;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  /** In the order of their data. */
  readonly tensors: readonly GgufTensor[];
}

/** Vocabularies take 5 to 20 MB; more than this is no header. */
const MAX_HEADER_BYTES = 64 * 2 ** 20;
/** GGML's limits. */
const MAX_DIMENSIONS = 4;
const MAX_NAME_BYTES = 63;
const MAX_KEY_BYTES = 65535;
/** Arrays of arrays exist in the format; nobody writes deep ones. */
const MAX_ARRAY_DEPTH = 4;
const DEFAULT_ALIGNMENT = 32;
/** The fewest bytes that a metadata entry or a tensor can take: what a count may claim. */
const MIN_ENTRY_BYTES = 13;
const MIN_TENSOR_BYTES = 24;

/**
 * Reads and checks the header: metadata and the list of tensors. Whether the tensors' data are there is
 * checked by openGguf.
 *
 * @throws `bad-file`
 */
export async function readGgufHeader(source: Source): Promise<GgufHeader> {
  const limit = Math.min(source.size, MAX_HEADER_BYTES);
  // The header's length stands nowhere: parse a prefix, and a longer one when it was too short.
  for (let bytes = Math.min(limit, 4 * 2 ** 20); ; bytes = Math.min(limit, bytes * 4)) {
    const cursor = openCursor(source.name, await source.read(0, bytes), source.size);
    try {
      return parseHeader(cursor);
    } catch (error) {
      if (error !== PREFIX_TOO_SHORT) throw error;
      if (bytes === limit) throw damaged(source.name, `has a header of more than ${limit} bytes`);
    }
  }
}

/** The start of a file as a GGUF file without tensors: its metadata, the tokenizer among them. */
export async function metadataFile(source: Source, { metadataBytes }: GgufHeader): Promise<Uint8Array> {
  const bytes = (await source.read(0, metadataBytes)).slice();
  new DataView(bytes.buffer).setBigUint64(8, 0n, true); // the count of tensors
  return bytes;
}

/**
 * The tensors by Hugging Face's names.
 *
 * @param norms of the model's architecture
 * @throws `bad-file` when the file ends before its tensors do
 */
export function openGguf(
  source: Source,
  header: GgufHeader,
  norms: LlamaConfig['norms'],
): ReadonlyMap<string, StoredTensor> {
  const tensors = new Map<string, StoredTensor>();
  for (const { name, type, shape, offset, bytes } of header.tensors) {
    if (offset + bytes > source.size) {
      throw damaged(source.name, `ends at byte ${source.size}, its tensor ${name} at ${offset + bytes}`);
    }
    tensors.set(huggingFaceName(name, norms), plainTensor(source, type, shape, offset));
  }
  return tensors;
}

/** Thrown when the header goes on behind the bytes that were read; never leaves this file. */
const PREFIX_TOO_SHORT = new Error('prefix too short');

/** A place in the header. */
interface Cursor {
  readonly file: string;
  readonly view: DataView;
  readonly fileSize: number;
  at: number;
}

function openCursor(file: string, bytes: Uint8Array, fileSize: number): Cursor {
  return { file, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length), fileSize, at: 0 };
}

/** Moves on by `bytes` and returns where they start. */
function take(cursor: Cursor, bytes: number): number {
  const start = cursor.at;
  if (bytes > cursor.fileSize - start) throw damaged(cursor.file, `ends within its header, at byte ${cursor.fileSize}`);
  if (bytes > cursor.view.byteLength - start) throw PREFIX_TOO_SHORT;
  cursor.at += bytes;
  return start;
}

function parseHeader(cursor: Cursor): GgufHeader {
  const magic = readText(cursor, 4);
  if (magic !== 'GGUF') throw damaged(cursor.file, 'does not begin with GGUF');
  const version = readU32(cursor);
  if (version < 2 || version > 3) throw unknownVersion(cursor.file, version);
  const tensorCount = readCount(cursor, MIN_TENSOR_BYTES, 'tensors');
  const entryCount = readCount(cursor, MIN_ENTRY_BYTES, 'metadata entries');

  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < entryCount; i++) {
    const key = readString(cursor, MAX_KEY_BYTES);
    if (metadata.has(key)) throw damaged(cursor.file, `has the metadata key ${quote(key)} twice`);
    metadata.set(key, readValue(cursor, readU32(cursor), key, 0));
  }
  const metadataBytes = cursor.at;
  const tensors = readTensors(cursor, tensorCount, alignmentOf(metadata, cursor.file));
  return { version, metadata, metadataBytes, tensors };
}

function alignmentOf(metadata: ReadonlyMap<string, GgufValue>, file: string): number {
  const alignment = metadata.get('general.alignment') ?? DEFAULT_ALIGNMENT;
  if (
    typeof alignment === 'number' &&
    alignment >= 1 &&
    alignment <= 2 ** 30 &&
    Number.isInteger(Math.log2(alignment))
  ) {
    return alignment;
  }
  throw damaged(file, 'has a general.alignment that is no power of two');
}

/** The list of tensors, which may be in another order than their data. */
function readTensors(cursor: Cursor, count: number, alignment: number): GgufTensor[] {
  const names = new Set<string>();
  const tensors: GgufTensor[] = []; // offsets from the start of the data
  for (let i = 0; i < count; i++) {
    const name = readString(cursor, MAX_NAME_BYTES);
    if (names.has(name)) throw damaged(cursor.file, `has the tensor ${quote(name)} twice`);
    names.add(name);
    const shape = readShape(cursor, name);
    const { type, bytes } = readType(cursor, name, shape);
    tensors.push({ name, type, shape, offset: readU64(cursor), bytes });
  }
  tensors.sort((a, b) => a.offset - b.offset || a.bytes - b.bytes);
  checkPlaces(cursor.file, tensors, alignment);
  const dataStart = Math.ceil(cursor.at / alignment) * alignment;
  return tensors.map((tensor) => ({ ...tensor, offset: dataStart + tensor.offset }));
}

/** The data must follow each other, each aligned, as GGML writes them. */
function checkPlaces(file: string, tensors: readonly GgufTensor[], alignment: number): void {
  let end = 0;
  for (const { name, offset, bytes } of tensors) {
    const start = Math.ceil(end / alignment) * alignment;
    if (offset !== start) throw damaged(file, `has tensor ${quote(name)} at ${offset} where ${start} is its place`);
    end = start + bytes;
  }
}

function readShape(cursor: Cursor, name: string): number[] {
  const dimensions = readU32(cursor);
  if (dimensions > MAX_DIMENSIONS)
    throw damaged(cursor.file, `has tensor ${quote(name)} with ${dimensions} dimensions`);
  const shape: number[] = [];
  for (let i = 0; i < dimensions; i++) shape.unshift(readU64(cursor));
  const elements = shape.reduce((product, length) => product * length, 1);
  if (!Number.isSafeInteger(elements))
    throw damaged(cursor.file, `has tensor ${quote(name)} of shape [${shape.join(', ')}]`);
  return shape;
}

function readType(cursor: Cursor, name: string, shape: readonly number[]): { type: string; bytes: number } {
  const id = readU32(cursor);
  const type = GGML_TYPES.get(id);
  if (!type) throw damaged(cursor.file, `has tensor ${quote(name)} of unknown type ${id}`);
  const cols = shape.at(-1) ?? 1;
  if (cols % type.blockLength !== 0) {
    throw damaged(cursor.file, `has tensor ${quote(name)} of ${cols} columns, no whole blocks of ${type.name}`);
  }
  const elements = shape.reduce((product, length) => product * length, 1);
  return { type: type.name, bytes: (elements / type.blockLength) * type.blockBytes };
}

/** A count of things that take at least `minBytes` each. */
function readCount(cursor: Cursor, minBytes: number, what: string): number {
  const count = readU64(cursor);
  if (count * minBytes > cursor.fileSize - cursor.at) throw damaged(cursor.file, `claims ${count} ${what}`);
  return count;
}

/** Exact up to 2^53; beyond that only its size matters, and it fits no file. */
function readU64(cursor: Cursor): number {
  return Number(cursor.view.getBigUint64(take(cursor, 8), true));
}

function readU32(cursor: Cursor): number {
  return cursor.view.getUint32(take(cursor, 4), true);
}

function readString(cursor: Cursor, maxBytes = Number.POSITIVE_INFINITY): string {
  const bytes = readU64(cursor);
  if (bytes > maxBytes) throw damaged(cursor.file, `has a name of ${bytes} bytes`);
  return readText(cursor, bytes);
}

/** Wrong UTF-8 becomes U+FFFD: some vocabularies hold broken tokens. */
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

function readText(cursor: Cursor, bytes: number): string {
  const { buffer, byteOffset } = cursor.view;
  return utf8.decode(new Uint8Array(buffer, byteOffset + take(cursor, bytes), bytes));
}

const TYPE_BOOL = 7;
const TYPE_STRING = 8;
const TYPE_ARRAY = 9;

interface NumberType {
  readonly bytes: number;
  readonly read: (view: DataView, at: number) => number | bigint;
  readonly array: (buffer: ArrayBuffer) => GgufValue;
}

const NUMBER_TYPES: ReadonlyMap<number, NumberType> = new Map<number, NumberType>([
  [0, { bytes: 1, read: (view, at) => view.getUint8(at), array: (buffer) => new Uint8Array(buffer) }],
  [1, { bytes: 1, read: (view, at) => view.getInt8(at), array: (buffer) => new Int8Array(buffer) }],
  [2, { bytes: 2, read: (view, at) => view.getUint16(at, true), array: (buffer) => new Uint16Array(buffer) }],
  [3, { bytes: 2, read: (view, at) => view.getInt16(at, true), array: (buffer) => new Int16Array(buffer) }],
  [4, { bytes: 4, read: (view, at) => view.getUint32(at, true), array: (buffer) => new Uint32Array(buffer) }],
  [5, { bytes: 4, read: (view, at) => view.getInt32(at, true), array: (buffer) => new Int32Array(buffer) }],
  [6, { bytes: 4, read: (view, at) => view.getFloat32(at, true), array: (buffer) => new Float32Array(buffer) }],
  [10, { bytes: 8, read: (view, at) => view.getBigUint64(at, true), array: (buffer) => new BigUint64Array(buffer) }],
  [11, { bytes: 8, read: (view, at) => view.getBigInt64(at, true), array: (buffer) => new BigInt64Array(buffer) }],
  [12, { bytes: 8, read: (view, at) => view.getFloat64(at, true), array: (buffer) => new Float64Array(buffer) }],
]);

function readValue(cursor: Cursor, type: number, key: string, depth: number): GgufValue {
  if (type === TYPE_STRING) return readString(cursor);
  if (type === TYPE_BOOL) return cursor.view.getUint8(take(cursor, 1)) !== 0;
  if (type === TYPE_ARRAY) return readArray(cursor, key, depth);
  const number = NUMBER_TYPES.get(type);
  if (!number) throw damaged(cursor.file, `has the metadata key ${quote(key)} of unknown type ${type}`);
  const value = number.read(cursor.view, take(cursor, number.bytes));
  return typeof value === 'bigint' && Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

function readArray(cursor: Cursor, key: string, depth: number): GgufValue {
  if (depth === MAX_ARRAY_DEPTH) throw damaged(cursor.file, `has the metadata key ${quote(key)} with too deep arrays`);
  const type = readU32(cursor);
  const number = NUMBER_TYPES.get(type);
  const count = readCount(cursor, number?.bytes ?? 1, `values of ${quote(key)}`);
  if (number) {
    const start = cursor.view.byteOffset + take(cursor, count * number.bytes);
    return number.array(cursor.view.buffer.slice(start, start + count * number.bytes) as ArrayBuffer);
  }
  const values: GgufValue[] = [];
  for (let i = 0; i < count; i++) values.push(readValue(cursor, type, key, depth + 1));
  return values;
}

function quote(name: string): string {
  return JSON.stringify(name.length > 100 ? `${name.slice(0, 100)}...` : name);
}

function unknownVersion(file: string, version: number): FirstlightError {
  const advice = 'convert the model again with a current llama.cpp, or get a GGUF v2 or v3 file';
  return new FirstlightError('bad-file', `${file} is GGUF of version ${version}: ${advice}`);
}

/** `what` completes the sentence "FILE ...". */
function damaged(file: string, what: string): FirstlightError {
  return new FirstlightError('bad-file', `${file} ${what}: the GGUF file is damaged or incomplete, get it again`);
}
