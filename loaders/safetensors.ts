/**
 * Safetensors: 8 bytes of header length, a JSON header, tensors without gaps. Checks what the reference implementation
 * checks: https://github.com/huggingface/safetensors
 */
import { FirstlightError } from '../quant/errors.ts';
import { FILE_TYPES } from '../quant/file-types.ts';
import { BLOCK } from '../quant/layout.ts';
import { Q4_CODE_BYTES } from '../quant/q4.ts';
import { isSizes, madeTensor, plainTensor, type StoredTensor } from './container.ts';
import { isJsonObject, parseJson } from './json.ts';
import type { Source } from './types.ts';

/** The reference implementation's limit. */
const MAX_HEADER_BYTES = 100_000_000;

/** Bits of one element, by the names in the file. */
const DTYPE_BITS: Readonly<Record<string, number>> = {
  ...{ F4: 4, F6_E2M3: 6, F6_E3M2: 6, BOOL: 8, U8: 8, I8: 8, F8_E5M2: 8, F8_E4M3: 8, F8_E8M0: 8 },
  ...{ F8_E4M3FNUZ: 8, F8_E5M2FNUZ: 8, I16: 16, U16: 16, F16: 16, BF16: 16, I32: 32, U32: 32, F32: 32 },
  ...{ I64: 64, U64: 64, F64: 64, C64: 64 },
};

export interface SafetensorsEntry {
  readonly name: string;
  readonly dtype: string;
  /** Outermost first; empty for a scalar. */
  readonly shape: readonly number[];
  /** From the start of the file. */
  readonly offset: number;
  readonly bytes: number;
}

export interface SafetensorsHeader {
  readonly metadata: ReadonlyMap<string, string>;
  /** In the order of their data. */
  readonly entries: readonly SafetensorsEntry[];
}

/**
 * Reads and checks the header.
 *
 * @throws `bad-file` for anything that the reference implementation refuses, and for keys that appear twice
 */
export async function readSafetensorsHeader(source: Source): Promise<SafetensorsHeader> {
  const { name, size } = source;
  if (size < 8) throw damaged(name, `has ${size} bytes, fewer than a header's length takes`);
  const prefix = await source.read(0, 8);
  const headerBytes = Number(new DataView(prefix.buffer, prefix.byteOffset).getBigUint64(0, true));
  if (headerBytes > MAX_HEADER_BYTES) throw damaged(name, `claims a header of ${headerBytes} bytes`);
  if (8 + headerBytes > size) throw damaged(name, `has ${size} bytes, its header alone needs ${8 + headerBytes}`);
  const header = parseJson(await source.read(8, headerBytes), `${name}: safetensors header`);
  if (!isJsonObject(header)) throw damaged(name, 'has a header that is no JSON object');

  const dataStart = 8 + headerBytes;
  const entries = Object.entries(header)
    .filter(([key]) => key !== '__metadata__')
    .map(([key, info]) => readEntry(name, key, info, dataStart))
    .sort((a, b) => a.offset - b.offset || a.bytes - b.bytes);
  checkLayout(name, entries, dataStart, size);
  return { metadata: readMetadata(name, header.__metadata__), entries };
}

/**
 * The tensors of one file. With metadata `format: firstlight-q4` the pair NAME.codes (U8 [rows][cols / 2], 16 bytes a
 * block in Q4_0's order) and NAME.scales (F16 [rows][cols / 32]) is the one tensor NAME of type Q4_0.
 *
 * @throws `bad-file`
 */
export async function openSafetensors(source: Source): Promise<ReadonlyMap<string, StoredTensor>> {
  const { metadata, entries } = await readSafetensorsHeader(source);
  const tensors = new Map<string, StoredTensor>();
  for (const { name, dtype, shape, offset } of entries) tensors.set(name, plainTensor(source, dtype, shape, offset));
  if (metadata.get('format') === 'firstlight-q4') joinPairs(source, entries, tensors);
  return tensors;
}

function readEntry(file: string, name: string, info: unknown, dataStart: number): SafetensorsEntry {
  const where = `has a tensor ${JSON.stringify(name.slice(0, 200))}`;
  if (!isJsonObject(info)) throw damaged(file, `${where} without description`);
  const { dtype, shape, data_offsets: offsets } = info;
  if (typeof dtype !== 'string' || !Object.hasOwn(DTYPE_BITS, dtype)) {
    throw damaged(file, `${where} of unknown type ${JSON.stringify(dtype)?.slice(0, 50)}`);
  }
  if (!isSizes(shape)) throw damaged(file, `${where} whose shape is no list of sizes`);
  if (!isSizes(offsets) || offsets.length !== 2 || offsets[0]! > offsets[1]!) {
    throw damaged(file, `${where} whose data_offsets are no start and end`);
  }
  const bytes = offsets[1]! - offsets[0]!;
  // Products beyond 2^53 are inexact but stay far from the size of any file.
  const expected = (shape.reduce((product, length) => product * length, 1) * DTYPE_BITS[dtype]!) / 8;
  if (bytes !== expected) {
    throw damaged(file, `${where} with ${bytes} bytes where ${dtype} [${shape.join(', ')}] takes ${expected}`);
  }
  return { name, dtype, shape, offset: dataStart + offsets[0]!, bytes };
}

/** The data must be covered by the tensors, without holes, overlaps or a rest. */
function checkLayout(file: string, entries: readonly SafetensorsEntry[], dataStart: number, size: number): void {
  let end = dataStart;
  for (const { name, offset, bytes } of entries) {
    if (offset !== end) {
      throw damaged(
        file,
        `has data that ${offset < end ? 'overlap' : 'leave a hole'} at tensor ${JSON.stringify(name)}`,
      );
    }
    end += bytes;
  }
  if (end > size) throw damaged(file, `has ${size} bytes where its tensors end at ${end}`);
  if (end < size) throw damaged(file, `has ${size - end} bytes behind its last tensor`);
}

function readMetadata(file: string, metadata: unknown): ReadonlyMap<string, string> {
  const texts = new Map<string, string>();
  if (metadata === undefined) return texts;
  if (!isJsonObject(metadata)) throw damaged(file, 'has __metadata__ that are no JSON object');
  for (const [key, value] of Object.entries(metadata)) {
    if (typeof value !== 'string') throw damaged(file, `has __metadata__ with a value that is no text`);
    texts.set(key, value);
  }
  return texts;
}

function joinPairs(source: Source, entries: readonly SafetensorsEntry[], tensors: Map<string, StoredTensor>): void {
  const byName = new Map(entries.map((entry) => [entry.name, entry]));
  for (const codes of entries) {
    if (!codes.name.endsWith('.codes')) continue;
    const name = codes.name.slice(0, -'.codes'.length);
    const scales = byName.get(`${name}.scales`);
    if (!scales || !isPair(codes, scales)) {
      throw damaged(source.name, `has ${codes.name} without ${name}.scales of types U8 and F16 and fitting shapes`);
    }
    if (tensors.has(name)) throw damaged(source.name, `has both ${name} and ${codes.name}`);
    tensors.delete(codes.name);
    tensors.delete(scales.name);
    tensors.set(name, pairedTensor(source, codes, scales));
  }
}

function isPair(codes: SafetensorsEntry, scales: SafetensorsEntry): boolean {
  if (codes.dtype !== 'U8' || scales.dtype !== 'F16' || codes.shape.length !== 2 || scales.shape.length !== 2)
    return false;
  return codes.shape[0] === scales.shape[0] && codes.shape[1] === scales.shape[1]! * Q4_CODE_BYTES;
}

/** Reads both and interleaves them to Q4_0's blocks: f16 scale, then codes. */
function pairedTensor(source: Source, codes: SafetensorsEntry, scales: SafetensorsEntry): StoredTensor {
  const [rows, blocks] = scales.shape as readonly [number, number];
  return madeTensor('Q4_0', [rows, blocks * BLOCK], async (firstRow, rowCount, into) => {
    const first = firstRow * blocks;
    const count = rowCount * blocks;
    const codeBytes = await source.read(codes.offset + first * Q4_CODE_BYTES, count * Q4_CODE_BYTES);
    const scaleBytes = await source.read(scales.offset + first * 2, count * 2);
    return interleave(codeBytes, scaleBytes, into?.subarray(0, count * FILE_TYPES.Q4_0.blockBytes));
  });
}

function interleave(codes: Uint8Array, scales: Uint8Array, into?: Uint8Array): Uint8Array {
  const { blockBytes } = FILE_TYPES.Q4_0;
  const count = scales.length / 2;
  const bytes = into ?? new Uint8Array(count * blockBytes);
  for (let block = 0; block < count; block++) {
    const at = block * blockBytes;
    bytes[at] = scales[block * 2]!;
    bytes[at + 1] = scales[block * 2 + 1]!;
    for (let i = 0; i < Q4_CODE_BYTES; i++) bytes[at + 2 + i] = codes[block * Q4_CODE_BYTES + i]!;
  }
  return bytes;
}

/** `what` completes the sentence "FILE ...". */
function damaged(file: string, what: string): FirstlightError {
  return new FirstlightError(
    'bad-file',
    `${file} ${what}: the safetensors file is damaged or incomplete, get it again`,
  );
}
