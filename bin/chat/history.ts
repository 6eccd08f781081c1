/** The lines that were said before, kept between chats for the arrow keys. */
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

const MOST_LINES = 1000;

/** Below XDG_STATE_HOME, or ~/.local/state. */
export function historyPath(environment: Readonly<Record<string, string | undefined>> = process.env): string {
  const base = environment.XDG_STATE_HOME;
  return join(base?.startsWith('/') ? base : join(homedir(), '.local', 'state'), 'firstlight', 'history');
}

/** Lines, the newest first; none when there is no file. */
export async function readHistory(path: string): Promise<string[]> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .reverse()
    .slice(0, MOST_LINES);
}

/** For its owner's eyes only. That it cannot be written is no reason to end a chat with an error. */
export async function writeHistory(path: string, lines: readonly string[]): Promise<void> {
  const text = lines
    .slice(0, MOST_LINES)
    .reverse()
    .map((line) => `${line}\n`)
    .join('');
  const fresh = `${path}.${process.pid}`;
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await writeFile(fresh, text, { mode: 0o600 });
    await rename(fresh, path);
  } catch {
    // the next chat has one history less
    await rm(fresh, { force: true }).catch(() => undefined); // what a full disk took of it
  }
}
