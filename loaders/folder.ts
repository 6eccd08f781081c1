/** A model's files side by side: a folder on disk, or a zip archive of one in memory. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { unzipSync } from 'fflate';
import { FirstlightError } from '../quant/errors.ts';
import { parseJson } from './json.ts';
import { fileSource, memorySource, pathError } from './source.ts';
import type { Source } from './types.ts';

export interface Folder {
  readonly path: string;
  readonly names: ReadonlySet<string>;
  /** Opens one of `names`. */
  open(name: string): Promise<Source>;
}

/** Zip archives are unpacked in memory: for small models only. */
const MAX_ZIP_BYTES = 2 ** 30;
const MAX_ZIP_ENTRIES = 10_000;
/** Deflate cannot pack tighter. */
const MAX_DEFLATE_RATIO = 1032;
/** Tokenizers take up to 40 MB. */
const MAX_TEXT_BYTES = 128 * 2 ** 20;

/** @throws `bad-argument` when the folder is missing or may not be read */
export async function diskFolder(path: string): Promise<Folder> {
  try {
    return { path, names: new Set(await readdir(path)), open: (name) => fileSource(join(path, name)) };
  } catch (error) {
    throw pathError(error, path);
  }
}

/**
 * The files beside the archive's config.json.
 *
 * @throws `bad-file` for a damaged archive, one of more than 1 GiB, or one without config.json
 */
export async function zipFolder(source: Source): Promise<Folder> {
  const { name: path, size } = source;
  if (size > MAX_ZIP_BYTES) throw tooLarge(path);
  const entries = unzip(path, await source.read(0, size));
  const config = Object.keys(entries).find((name) => /(^|\/)config\.json$/.test(name));
  if (config === undefined) {
    throw new FirstlightError('bad-file', `${path} is a zip archive without config.json: pack a model's whole folder`);
  }
  const prefix = config.slice(0, -'config.json'.length);
  const files = new Map<string, Uint8Array>();
  for (const [name, bytes] of Object.entries(entries)) {
    if (name.startsWith(prefix)) files.set(name.slice(prefix.length), bytes);
  }
  return {
    path,
    names: new Set(files.keys()),
    async open(name) {
      return memorySource(`${path}/${name}`, files.get(name) ?? new Uint8Array());
    },
  };
}

/** @throws `bad-file` when it is too long for a JSON text or is none */
export async function readJson(folder: Folder, name: string): Promise<unknown> {
  return parseJson(await readSmallFile(folder, name), join(folder.path, name));
}

/** @throws `bad-file` when the file is longer than any text of a model */
export async function readSmallFile(folder: Folder, name: string): Promise<Uint8Array> {
  const source = await folder.open(name);
  try {
    return await readSmall(source);
  } finally {
    await source.close();
  }
}

/** @throws `bad-file` when the file is longer than any text of a model */
export async function readSmall(source: Source): Promise<Uint8Array> {
  if (source.size > MAX_TEXT_BYTES) {
    throw new FirstlightError('bad-file', `${source.name} has ${source.size} bytes: no text of a model is that long`);
  }
  return source.read(0, source.size);
}

function unzip(path: string, bytes: Uint8Array): Record<string, Uint8Array> {
  let entries = 0;
  let total = 0;
  // Called before an entry is unpacked: its sizes are what the archive claims.
  const filter = ({ size, originalSize }: { size: number; originalSize: number }) => {
    total += Math.max(size, originalSize);
    if (total > MAX_ZIP_BYTES) throw tooLarge(path);
    if (++entries > MAX_ZIP_ENTRIES || originalSize > 64 + MAX_DEFLATE_RATIO * Math.min(size, bytes.length)) {
      throw damagedZip(path);
    }
    return true;
  };
  try {
    return unzipSync(bytes, { filter });
  } catch (error) {
    if (error instanceof FirstlightError) throw error;
    throw damagedZip(path, error);
  }
}

function damagedZip(path: string, cause?: unknown): FirstlightError {
  return new FirstlightError('bad-file', `${path} is a damaged zip archive: get it again`, { cause });
}

function tooLarge(path: string): FirstlightError {
  return new FirstlightError('bad-file', `${path} is a zip archive of more than 1 GiB: unpack it and give the folder`);
}
