/** The app's own files: written beside their place and then put there, so that nothing is ever half of one. */
import { randomUUID } from 'node:crypto';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { RequestError } from '../serve/errors.ts';

/** Below XDG_DATA_HOME, or ~/.local/share. */
export function dataFolder(environment: Readonly<Record<string, string | undefined>> = process.env): string {
  const base = environment.XDG_DATA_HOME;
  return join(base?.startsWith('/') ? base : join(homedir(), '.local', 'share'), 'firstlight');
}

/**
 * Writes JSON that only the user may read; a full disk or a dead process leaves the old file. Throws RequestError that says what
 * is in the way.
 */
export async function writeJson(path: string, value: unknown): Promise<void> {
  const fresh = `${path}.${randomUUID()}.part`;
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await writeFile(fresh, JSON.stringify(value), { mode: 0o600 });
    await rename(fresh, path);
  } catch (error) {
    await rm(fresh, { force: true }).catch(() => {});
    throw describeFault(error as NodeJS.ErrnoException);
  }
}

function describeFault({ code, message }: NodeJS.ErrnoException): RequestError {
  if (code === 'ENOSPC' || code === 'EDQUOT') return new RequestError(507, 'disk_full', 'the disk is full');
  if (code === 'EROFS' || code === 'EACCES' || code === 'EPERM')
    return new RequestError(507, 'read_only', "the user's data folder cannot be written to");
  return new RequestError(507, 'not_written', `the file cannot be written (${code ?? message})`);
}
