/** The app's own files: written beside their place and then put there, so that nothing is ever half of one. */
import { randomUUID } from 'node:crypto';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

/** Below XDG_DATA_HOME, or ~/.local/share. */
export function dataFolder(environment: Readonly<Record<string, string | undefined>> = process.env): string {
  const base = environment.XDG_DATA_HOME;
  return join(base?.startsWith('/') ? base : join(homedir(), '.local', 'share'), 'firstlight');
}

/** Writes JSON that only the user may read; a full disk or a dead process leaves the old file. */
export async function writeJson(path: string, value: unknown): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const fresh = `${path}.${randomUUID()}.part`;
  try {
    await writeFile(fresh, JSON.stringify(value), { mode: 0o600 });
    await rename(fresh, path);
  } catch (error) {
    await rm(fresh, { force: true });
    throw error;
  }
}
