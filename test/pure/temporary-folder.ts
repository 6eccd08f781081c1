import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'uvu';

/** Writes named files to a folder and returns its path; all is taken away after the suite. */
export type WriteFolder = (name: string, files: ReadonlyMap<string, Uint8Array | string>) => Promise<string>;

/** A place on disk for the files of one suite. */
export function temporaryFolder(suite: Test): WriteFolder {
  let root = '';
  suite.before(async () => {
    root = await mkdtemp(join(tmpdir(), 'firstlight-'));
  });
  suite.after(() => rm(root, { recursive: true, force: true }));
  return async (name, files) => {
    const path = join(root, name);
    await mkdir(path, { recursive: true });
    for (const [file, content] of files) await writeFile(join(path, file), content);
    return path;
  };
}
