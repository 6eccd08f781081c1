/** One app at a time: a file that only the user can reach says where the one that runs can be reached. */
import { randomUUID } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { dataFolder } from './files.ts';

export interface Instance {
  readonly url: string;
  readonly key: string;
}

/** XDG_RUNTIME_DIR is the user's alone; without one the app's data folder is, unlike anything in a folder for all. */
export function instancePath(environment: Readonly<Record<string, string | undefined>> = process.env): string {
  const runtime = environment.XDG_RUNTIME_DIR;
  return join(runtime?.startsWith('/') ? join(runtime, 'firstlight') : dataFolder(environment), 'running.json');
}

/** Asks the app that runs already to show its window; false: there is none. */
export async function raiseRunning(path = instancePath()): Promise<boolean> {
  try {
    const { url, key } = JSON.parse(readFileSync(path, 'utf8')) as Instance;
    const response = await fetch(`${url}/app/raise`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}` },
      body: '{}',
      signal: AbortSignal.timeout(2000),
    });
    return response.ok;
  } catch {
    return false; // it has ended without tidying up
  }
}

/**
 * Says where this app can be reached; the function that is returned takes it back. Undefined when another one was first, which has
 * been asked to show its window: of several that start at the same moment one stays.
 */
export async function announce(instance: Instance, path = instancePath()): Promise<(() => void) | undefined> {
  const text = JSON.stringify(instance);
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const fresh = `${path}.${randomUUID()}`;
  writeFileSync(fresh, text, { mode: 0o600 });
  try {
    for (;;) {
      try {
        linkSync(fresh, path); // whole at once, or not at all where there is one
        return () => {
          if (read(path) === text) rmSync(path, { force: true });
        };
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      }
      const there = read(path);
      if (await raiseRunning(path)) return undefined;
      if (read(path) === there) rmSync(path, { force: true }); // of one that has ended without tidying up
    }
  } finally {
    rmSync(fresh, { force: true });
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
