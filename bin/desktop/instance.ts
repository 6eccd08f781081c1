/** One app at a time: a file in the user's runtime folder says where the one that runs can be reached. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

export interface Instance {
  readonly url: string;
  readonly key: string;
}

/** XDG_RUNTIME_DIR is the user's alone. */
export function instancePath(environment: Readonly<Record<string, string | undefined>> = process.env): string {
  const runtime = environment.XDG_RUNTIME_DIR;
  const folder = runtime?.startsWith('/')
    ? join(runtime, 'firstlight')
    : join(tmpdir(), `firstlight-${process.getuid?.()}`);
  return join(folder, 'desktop.json');
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

/** Says where this app can be reached; the function that is returned takes it back. */
export function announce(instance: Instance, path = instancePath()): () => void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  writeFileSync(path, JSON.stringify(instance), { mode: 0o600 });
  return () => rmSync(path, { force: true });
}
