/** Writing to a disk: how much room it has, its errors for people, and names that last. */
import { open, statfs } from 'node:fs/promises';
import { FirstlightError } from '../quant/errors.ts';

/** Bytes that this user may still write on the file system of a folder. */
export async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}

/** Rephrases an error of writing for people; anything else comes back as it is. */
export function diskError(error: unknown, path: string): unknown {
  if (isCode(error, 'ENOSPC') || isCode(error, 'EDQUOT'))
    return new FirstlightError(
      'disk-full',
      `${path} cannot be written further: the disk is full; free some space and run the command again to go on from here`,
      { cause: error },
    );
  if (isCode(error, 'EFBIG'))
    return new FirstlightError('disk-full', `${path} is larger than this file system or account allows`, {
      cause: error,
    });
  if (isCode(error, 'EACCES') || isCode(error, 'EPERM') || isCode(error, 'EROFS'))
    return new FirstlightError('bad-argument', `${path} cannot be written: check the folder's permissions`, {
      cause: error,
    });
  if (isCode(error, 'ENOENT') || isCode(error, 'ENOTDIR'))
    return new FirstlightError('bad-argument', `${path} cannot be written: its folder is none, check the path`, {
      cause: error,
    });
  return error;
}

export function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

/** Makes a rename last; not every file system can. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r').catch(() => undefined);
  await folder?.sync().catch(() => undefined);
  await folder?.close();
}
