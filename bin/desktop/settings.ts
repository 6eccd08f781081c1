/** What the user has chosen in the app, in a file. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { RequestError } from '../serve/errors.ts';
import { dataFolder, writeJson } from './files.ts';

const Settings = v.pipe(
  v.record(v.string(), v.unknown()),
  v.check((settings) => JSON.stringify(settings).length < 100_000),
);

export interface SettingsFile {
  /** An empty object when there are none, or they cannot be read. */
  read(): Promise<Record<string, unknown>>;
  write(settings: unknown): Promise<void>;
}

export function openSettings(path = join(dataFolder(), 'desktop.json')): SettingsFile {
  return {
    async read() {
      try {
        return v.parse(Settings, JSON.parse(await readFile(path, 'utf8')));
      } catch {
        return {};
      }
    },
    async write(settings) {
      if (!v.is(Settings, settings)) throw new RequestError(400, 'invalid_value', 'those are no settings');
      await writeJson(path, settings);
    },
  };
}
