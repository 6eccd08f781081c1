/** Where bytes come from. */
import { existsSync } from 'node:fs';
import { type FileHandle, lstat, open } from 'node:fs/promises';
import { FirstlightError } from '../quant/errors.ts';
import type { Source } from './types.ts';

/**
 * Opens a file for positional reads.
 *
 * @throws `bad-argument` when it is missing, no regular file or may not be read
 */
export async function fileSource(path: string): Promise<Source> {
  const file = await openFile(path);
  try {
    const stats = await file.stat();
    if (!stats.isFile()) throw new FirstlightError('bad-argument', `${path} is no regular file: give a model's file`);
    return {
      name: path,
      size: stats.size,
      async read(offset, length, into) {
        checkRange(path, stats.size, offset, length);
        return readFully(file, path, offset, into?.subarray(0, length) ?? new Uint8Array(length));
      },
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Bytes in memory. Reads are views, not copies, unless a place to read to is given. */
export function memorySource(name: string, given: Uint8Array): Source {
  // a Buffer's slice() is no copy, as that of its class is: readers of a source get what they expect
  const bytes = new Uint8Array(given.buffer, given.byteOffset, given.length);
  return {
    name,
    size: bytes.length,
    async read(offset, length, into) {
      checkRange(name, bytes.length, offset, length);
      const found = bytes.subarray(offset, offset + length);
      into?.set(found);
      return into?.subarray(0, length) ?? found;
    },
    async close() {},
  };
}

/** Rephrases an error of the file system for people; anything else comes back as it is. */
export function pathError(error: unknown, path: string): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return new FirstlightError('bad-argument', `${path} does not exist: check the path`, { cause: error });
    case 'EACCES':
    case 'EPERM':
      return new FirstlightError('bad-argument', `${path} may not be read: check its permissions`, { cause: error });
    case 'EISDIR':
      return new FirstlightError('bad-argument', `${path} is a folder where a file is needed`, { cause: error });
    default:
      return error;
  }
}

async function openFile(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r');
  } catch (error) {
    // what copying a folder of Hugging Face's cache leaves
    if (await isBrokenLink(path)) {
      throw new FirstlightError(
        'bad-argument',
        `${path} is a link to a file that is not there: copy the model as files (cp -rL), or get it again`,
        { cause: error },
      );
    }
    throw pathError(error, path);
  }
}

async function isBrokenLink(path: string): Promise<boolean> {
  const stats = await lstat(path).catch(() => undefined);
  return stats?.isSymbolicLink() === true && !existsSync(path);
}

async function readFully(file: FileHandle, path: string, offset: number, bytes: Uint8Array): Promise<Uint8Array> {
  for (let filled = 0; filled < bytes.length; ) {
    const { bytesRead } = await file.read(bytes, filled, bytes.length - filled, offset + filled);
    if (bytesRead === 0)
      throw new FirstlightError('bad-file', `${path} became shorter while it was read: load it again`);
    filled += bytesRead;
  }
  return bytes;
}

/** Before anything is allocated. */
function checkRange(name: string, size: number, offset: number, length: number): void {
  if (offset >= 0 && length >= 0 && offset + length <= size) return;
  throw new FirstlightError(
    'bad-file',
    `${name} ends at byte ${size}, but ${length} bytes at ${offset} are needed: the file is cut off, get it again`,
  );
}
