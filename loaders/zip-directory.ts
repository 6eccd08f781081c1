/**
 * Where the entries of a zip archive lie, for archives that are too large to unpack in memory (fflate reads whole ones only).
 * https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, with its 64-bit extensions.
 */
import { inflateSync } from 'fflate';
import { FirstlightError } from '../quant/errors.ts';
import type { Source } from './types.ts';

export interface ZipEntry {
  readonly name: string;
  /** Stored as it is; otherwise packed by Deflate. */
  readonly isStored: boolean;
  readonly packedBytes: number;
  readonly bytes: number;
  /** Of the local header, which stands before the data. */
  readonly headerOffset: number;
}

const END_BYTES = 22;
const LOCATOR_BYTES = 20;
const END64_BYTES = 56;
const ENTRY_BYTES = 46;
const LOCAL_BYTES = 30;
const MAX_COMMENT_BYTES = 65535;
/** A checkpoint has an entry for each tensor. */
const MAX_DIRECTORY_BYTES = 64 * 2 ** 20;
const IN_64_BITS = 0xffffffff;

/** @throws `bad-file` for anything that is no sound directory, and for names that appear twice */
export async function readZipDirectory(source: Source): Promise<ReadonlyMap<string, ZipEntry>> {
  const { offset, bytes } = await findDirectory(source);
  if (bytes > MAX_DIRECTORY_BYTES || offset + bytes > source.size) throw damaged(source.name, 'has no sound directory');
  const directory = viewOf(await source.read(offset, bytes));
  const entries = new Map<string, ZipEntry>();
  for (let at = 0; at < bytes; ) {
    if (at + ENTRY_BYTES > bytes || directory.getUint32(at, true) !== 0x02014b50) {
      throw damaged(source.name, 'has a directory with something else in it');
    }
    const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map((place) =>
      directory.getUint16(at + place, true),
    ) as [number, number, number];
    const next = at + ENTRY_BYTES + nameBytes + extraBytes + commentBytes;
    if (next > bytes) throw damaged(source.name, 'has a directory that is cut off');
    const entry = readEntry(source.name, directory, at, nameBytes, extraBytes);
    if (entries.has(entry.name)) throw damaged(source.name, `has ${JSON.stringify(entry.name)} twice`);
    entries.set(entry.name, entry);
    at = next;
  }
  return entries;
}

/**
 * Offset of an entry's data in the file.
 *
 * @throws `bad-file` when they are not there
 */
export async function dataOffset(source: Source, entry: ZipEntry): Promise<number> {
  const header = viewOf(await source.read(entry.headerOffset, LOCAL_BYTES));
  if (header.getUint32(0, true) !== 0x04034b50) throw damaged(source.name, `has no ${JSON.stringify(entry.name)}`);
  const offset = entry.headerOffset + LOCAL_BYTES + header.getUint16(26, true) + header.getUint16(28, true);
  if (offset + entry.packedBytes > source.size) {
    throw damaged(source.name, `ends at byte ${source.size}, within ${JSON.stringify(entry.name)}`);
  }
  return offset;
}

/** A small entry, unpacked. Throws `bad-file`. */
export async function readEntryBytes(source: Source, entry: ZipEntry, mostBytes: number): Promise<Uint8Array> {
  if (Math.max(entry.bytes, entry.packedBytes) > mostBytes) {
    throw damaged(source.name, `has ${JSON.stringify(entry.name)} of ${entry.bytes} bytes, more than it can be`);
  }
  const packed = await source.read(await dataOffset(source, entry), entry.packedBytes);
  if (entry.isStored) return packed;
  try {
    return inflateSync(packed, { out: new Uint8Array(entry.bytes) });
  } catch (cause) {
    throw new FirstlightError('bad-file', `${source.name} has a damaged ${entry.name}: get it again`, { cause });
  }
}

async function findDirectory(source: Source): Promise<{ offset: number; bytes: number }> {
  const tailBytes = Math.min(source.size, END_BYTES + MAX_COMMENT_BYTES);
  const tail = viewOf(await source.read(source.size - tailBytes, tailBytes));
  for (let at = tailBytes - END_BYTES; at >= 0; at--) {
    if (tail.getUint32(at, true) !== 0x06054b50) continue;
    if (at + END_BYTES + tail.getUint16(at + 20, true) !== tailBytes) continue;
    const bytes = tail.getUint32(at + 12, true);
    const offset = tail.getUint32(at + 16, true);
    const locator = at - LOCATOR_BYTES;
    if (locator < 0 || tail.getUint32(locator, true) !== 0x07064b50) return { offset, bytes };
    const end = viewOf(await source.read(readU64(tail, locator + 8), END64_BYTES));
    if (end.getUint32(0, true) !== 0x06064b50) break;
    return { bytes: readU64(end, 40), offset: readU64(end, 48) };
  }
  throw damaged(source.name, 'has no directory at its end');
}

function readEntry(file: string, view: DataView, at: number, nameBytes: number, extraBytes: number): ZipEntry {
  const flags = view.getUint16(at + 8, true);
  const method = view.getUint16(at + 10, true);
  const nameAt = view.byteOffset + at + ENTRY_BYTES;
  const name = new TextDecoder().decode(new Uint8Array(view.buffer, nameAt, nameBytes));
  if (flags & 1) throw damaged(file, 'is encrypted');
  if (method !== 0 && method !== 8) throw damaged(file, `has ${JSON.stringify(name)} packed in an unknown way`);
  let packedBytes = view.getUint32(at + 20, true);
  let bytes = view.getUint32(at + 24, true);
  let headerOffset = view.getUint32(at + 42, true);
  const end = at + ENTRY_BYTES + nameBytes + extraBytes;
  for (let field = at + ENTRY_BYTES + nameBytes; field + 4 <= end; ) {
    const size = view.getUint16(field + 2, true);
    if (field + 4 + size > end) break;
    if (view.getUint16(field, true) === 1) {
      // what does not fit 32 bits, in this order
      let place = field + 4;
      const next = (value: number) => {
        if (value !== IN_64_BITS) return value;
        if (place + 8 > field + 4 + size) throw damaged(file, 'has a directory that is cut off');
        place += 8;
        return readU64(view, place - 8);
      };
      bytes = next(bytes);
      packedBytes = next(packedBytes);
      headerOffset = next(headerOffset);
    }
    field += 4 + size;
  }
  if (method === 0 && bytes !== packedBytes) throw damaged(file, `has ${JSON.stringify(name)} of two sizes`);
  return { name, isStored: method === 0, packedBytes, bytes, headerOffset };
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Exact up to 2^53, which no file reaches. */
function readU64(view: DataView, at: number): number {
  return Number(view.getBigUint64(at, true));
}

/** `what` completes the sentence "FILE ...". */
function damaged(file: string, what: string): FirstlightError {
  return new FirstlightError('bad-file', `${file} ${what}: the zip archive is damaged or incomplete, get it again`);
}
