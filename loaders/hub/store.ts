/**
 * Where downloaded models lie: XDG_DATA_HOME/firstlight/models/OWNER/NAME, each with a manifest that says what is whole.
 * What is not in a manifest is a download that has not come to its end.
 */
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, rmdir, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { FirstlightError } from '../../quant/errors.ts';
import { diskError, isCode } from '../disk.ts';
import { isJsonObject } from '../json.ts';
import { isSafeFile } from './names.ts';
import { quantisationOf } from './select.ts';

const MANIFEST = '.firstlight.json';
const LOCK = '.firstlight.lock';
const REMOVED = '.removed-';

export interface StoredFile {
  /** Below the model's folder. */
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
  /** The server's name of the content, for files that no hub lists. */
  readonly etag?: string | undefined;
}

export interface StoredVariant {
  /** Undefined for a model in its own layout. */
  readonly variant: string | undefined;
  /** The file to open; undefined: the folder. */
  readonly main: string | undefined;
  readonly files: readonly StoredFile[];
  /** Where it came from: the hub's address or the file's. */
  readonly source: string;
  /** The hub's commit, '' for plain files. */
  readonly commit: string;
  /** ISO 8601. */
  readonly pulled: string;
}

/** A model in the store of pull(). */
export interface StoredModel {
  /** `OWNER/NAME`. */
  readonly name: string;
  readonly folder: string;
  readonly variants: readonly StoredVariant[];
  /** Downloads that have not come to their end. */
  readonly unfinished: readonly Unfinished[];
}

export interface Unfinished {
  readonly variant: string | undefined;
  /** Parts, their notes, and files that came whole before the rest was cut off. */
  readonly files: readonly FoundFile[];
}

interface FoundFile {
  /** Below the model's folder. */
  readonly path: string;
  readonly bytes: number;
}

/** Where models are kept: below XDG_DATA_HOME, or ~/.local/share. */
export function storeFolder(environment: Readonly<Record<string, string | undefined>> = process.env): string {
  const base = environment.XDG_DATA_HOME;
  return join(base?.startsWith('/') ? base : join(homedir(), '.local', 'share'), 'firstlight', 'models');
}

export function modelFolder(store: string, name: string): string {
  return join(store, ...name.split('/'));
}

/** `OWNER/NAME`, or `OWNER/NAME:VARIANT`. */
export function shortName(name: string, variant: string | undefined): string {
  return variant === undefined ? name : `${name}:${variant}`;
}

/** All models, by name. */
export async function listModels(store: string): Promise<StoredModel[]> {
  const models: StoredModel[] = [];
  for (const owner of await foldersIn(store)) {
    const inner = await foldersIn(join(store, owner));
    // a model without an owner has its manifest right here
    const names = (await hasModel(join(store, owner))) ? [owner] : inner.map((name) => `${owner}/${name}`);
    for (const name of names) {
      const model = await readModel(store, name);
      if (model) models.push(model);
    }
  }
  return models;
}

async function hasModel(folder: string): Promise<boolean> {
  return (await readdir(folder)).some((name) => name === MANIFEST || name === LOCK || name.endsWith('.part'));
}

async function foldersIn(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true }).catch((error: unknown) => {
    if (isCode(error, 'ENOENT')) return [];
    throw error;
  });
  return entries
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
    .map((entry) => entry.name)
    .sort();
}

/** One model, or undefined when there is nothing of it. */
export async function readModel(store: string, name: string): Promise<StoredModel | undefined> {
  const folder = modelFolder(store, name);
  const variants = await readVariants(folder);
  const listed = new Set(variants.flatMap((one) => one.files.map((file) => file.path)));
  const others = (await filesIn(folder)).filter(({ path }) => !listed.has(path));
  // what the user has put there is none, so that only a part tells; where nothing is whole, all is
  const telling = others.filter(({ path }) => variants.length === 0 || path.endsWith('.part'));
  const unfinished = [...new Set(telling.map(({ path }) => variantOf(name, path)))].map((variant) => ({
    variant,
    files: others.filter(({ path }) => variantOf(name, path) === variant),
  }));
  return variants.length + unfinished.length > 0 ? { name, folder, variants, unfinished } : undefined;
}

/** All files below a model's folder but the store's own. */
async function filesIn(folder: string): Promise<FoundFile[]> {
  const files: FoundFile[] = [];
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])) {
    if (!entry.isFile() || entry.name.startsWith(MANIFEST) || entry.name === LOCK) continue;
    const path = join(entry.parentPath, entry.name);
    const bytes = (await stat(path).catch(() => undefined))?.size ?? 0;
    files.push({ path: relative(folder, path), bytes });
  }
  return files;
}

/** The variant that a file belongs to, by its name: a GGUF file's quantisation, unless it was pulled by its URL. */
function variantOf(name: string, path: string): string | undefined {
  const file = path.replace(/\.part(\.json)?$/, '');
  const isOwn = file === `${name.split('/').at(-1)}.gguf`;
  return file.endsWith('.gguf') && !isOwn ? quantisationOf(file) : undefined;
}

async function readVariants(folder: string): Promise<StoredVariant[]> {
  const text = await readFile(join(folder, MANIFEST), 'utf8').catch(() => undefined);
  if (text === undefined) return [];
  try {
    const json: unknown = JSON.parse(text);
    const list = isJsonObject(json) && Array.isArray(json.variants) ? json.variants : [];
    return list.filter(isVariant);
  } catch {
    return []; // damaged: what it listed can be pulled again, which finds the files and checks them
  }
}

function isVariant(one: unknown): one is StoredVariant {
  if (!isJsonObject(one) || !Array.isArray(one.files)) return false;
  const isText = (value: unknown) => value === undefined || typeof value === 'string';
  return (
    isText(one.variant) &&
    isText(one.main) &&
    typeof one.source === 'string' &&
    typeof one.commit === 'string' &&
    typeof one.pulled === 'string' &&
    one.files.every((file) => isJsonObject(file) && typeof file.path === 'string' && isSafeFile(file.path)) &&
    (one.main === undefined || one.files.some((file) => isJsonObject(file) && file.path === one.main))
  );
}

/** Puts a variant into its model's manifest, in place of an older one. */
export async function writeVariant(store: string, name: string, added: StoredVariant): Promise<void> {
  const folder = modelFolder(store, name);
  const others = (await readVariants(folder)).filter((one) => one.variant !== added.variant);
  await writeManifest(folder, [...others, added]);
}

async function writeManifest(folder: string, variants: readonly StoredVariant[]): Promise<void> {
  const path = join(folder, MANIFEST);
  const temporary = `${path}.${randomUUID()}`;
  try {
    const handle = await open(temporary, 'wx');
    try {
      await handle.writeFile(`${JSON.stringify({ version: 1, variants }, undefined, 1)}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw diskError(error, path);
  }
}

/**
 * What to open for a short name; undefined when there is no such model.
 *
 * @throws `bad-argument` for a name that several variants answer to, or one whose download is not finished
 */
export async function findModel(store: string, text: string): Promise<string | undefined> {
  const [name, wanted] = splitName(text);
  if (name === undefined) return undefined;
  const model = await readModel(store, name);
  if (model === undefined) return undefined;
  const isWanted = matcher(wanted);
  const found = model.variants.filter(isWanted);
  const plain = wanted === undefined ? found.find((one) => one.variant === undefined) : undefined;
  const chosen = plain ?? (found.length === 1 ? found[0] : undefined);
  if (chosen) return chosen.main === undefined ? model.folder : join(model.folder, chosen.main);
  const names = model.variants.map((one) => shortName(name, one.variant)).join(', ');
  if (found.length > 1) throw new FirstlightError('bad-argument', `${name} stands for several: name one of ${names}`);
  throw new FirstlightError(
    'bad-argument',
    model.variants.length > 0 && !model.unfinished.some(isWanted)
      ? `there is no ${text}, only ${names}: firstlight pull ${text}`
      : `the download of ${text} is not finished: firstlight pull ${text} goes on with it`,
  );
}

/** Tells the variants that a name's ending stands for, by their quantisation or their file; without one all. */
function matcher(wanted: string | undefined) {
  return ({ variant, main }: { readonly variant: string | undefined; readonly main?: string | undefined }): boolean =>
    wanted === undefined || variant?.toUpperCase() === wanted.toUpperCase() || main === wanted;
}

/** Whether a model of that name is in the store. */
export function isStored(store: string, text: string): boolean {
  const [name] = splitName(text);
  return name !== undefined && existsSync(join(modelFolder(store, name), MANIFEST));
}

/** OWNER/NAME and VARIANT; undefined for what cannot be a short name. */
function splitName(text: string): [name: string | undefined, variant: string | undefined] {
  const [, name, variant] = /^([\w.-]+(?:\/[\w .+()-]+)?)(?::([\w./-]+))?$/.exec(text) ?? [];
  return name !== undefined && isSafeFile(name) ? [name, variant] : [undefined, undefined];
}

/** Ends removals that were cut off. */
export async function sweepStore(store: string): Promise<void> {
  for (const name of await readdir(store).catch(() => []))
    if (name.startsWith(REMOVED)) await rm(join(store, name), { recursive: true, force: true });
}

/**
 * Removes a model or one variant of it, and what unfinished downloads left of it.
 *
 * @returns bytes that are free again, undefined when there was no such model
 */
export async function removeModel(store: string, text: string): Promise<number | undefined> {
  const [name, wanted] = splitName(text);
  const model = name === undefined ? undefined : await readModel(store, name);
  if (name === undefined || model === undefined) return undefined;
  await sweepStore(store);
  const unlock = await lockModel(store, name);
  try {
    const isGone = matcher(wanted);
    const gone: readonly FoundFile[] = [...model.variants, ...model.unfinished]
      .filter(isGone)
      .flatMap((one) => one.files);
    if (gone.length === 0) return undefined;
    const kept = model.variants.filter((one) => !isGone(one));
    if (kept.length === 0 && model.unfinished.every(isGone)) {
      // renamed first, so that a removal that is cut off leaves no half of a model under its name
      const doomed = join(store, `${REMOVED}${randomUUID()}`);
      await rename(model.folder, doomed);
      await rm(doomed, { recursive: true });
      await rmdir(dirname(model.folder)).catch(() => undefined); // an owner without models
    } else {
      await writeManifest(model.folder, kept);
      const needed = new Set(kept.flatMap((one) => one.files.map((file) => file.path)));
      for (const { path } of gone) if (!needed.has(path)) await rm(join(model.folder, path), { force: true });
    }
    return gone.reduce((sum, file) => sum + file.bytes, 0);
  } finally {
    await unlock();
  }
}

/**
 * Keeps other processes from writing the same model until the returned function is called. A lock whose process is gone
 * is taken over.
 *
 * @throws `bad-argument` while another process has it
 */
export async function lockModel(store: string, name: string): Promise<() => Promise<void>> {
  const folder = modelFolder(store, name);
  const path = join(folder, LOCK);
  await mkdir(folder, { recursive: true }).catch((error: unknown) => {
    throw diskError(error, folder);
  });
  for (let tries = 0; ; tries++) {
    try {
      const handle = await open(path, 'wx');
      await handle.writeFile(`${process.pid} ${await startOf(process.pid)}`);
      await handle.close();
      return () => rm(path, { force: true });
    } catch (error) {
      if (!isCode(error, 'EEXIST') || tries > 3) throw diskError(error, path);
    }
    const text = await readFile(path, 'utf8').catch(() => '');
    if (text === '' && tries < 2) {
      await sleep(100); // its process is just about to write
      continue;
    }
    const [pid = 0, start] = text.split(' ').map(Number);
    const isOther = start !== undefined && start !== (await startOf(pid)); // the number has gone to another process
    if (pid > 0 && pid !== process.pid && isAlive(pid) && !isOther)
      throw new FirstlightError(
        'bad-argument',
        `another firstlight (process ${pid}) is busy with ${name}: wait for it`,
      );
    await rm(path, { force: true });
  }
}

/** When a process began, in clock ticks since the machine did; 0 where the system does not tell. */
async function startOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // behind the name, which may have anything in it, it is the twentieth field
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? 0);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return isCode(error, 'EPERM');
  }
}
