/** Brings a model from a hub, or one file from anywhere, into the store. */
import { rm, rmdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { FirstlightError } from '../../quant/errors.ts';
import { freeBytes } from '../disk.ts';
import { type DownloadOptions, download, isDownloaded, isUnchanged, type RemoteFile } from './download.ts';
import { type ListedFile, listFiles } from './listing.ts';
import { DEFAULT_ENDPOINT, parseName, type Wanted } from './names.ts';
import { selectFiles } from './select.ts';
import {
  lockModel,
  modelFolder,
  readModel,
  type StoredFile,
  type StoredVariant,
  shortName,
  storeFolder,
  sweepStore,
  writeVariant,
} from './store.ts';

/** Free space that is left to others. */
const SPARE_BYTES = 64 << 20;

/** Options of pull(). */
export interface PullOptions extends Pick<DownloadOptions, 'signal' | 'stallMs' | 'tries' | 'pauseMs' | 'onRetry'> {
  /** Address of the hub. Default HF_ENDPOINT, or the public one. */
  readonly endpoint?: string | undefined;
  /** Default HF_TOKEN. Sent to the endpoint only. */
  readonly token?: string | undefined;
  /** Default: below XDG_DATA_HOME. */
  readonly store?: string | undefined;
  /** Called when a file's download begins. */
  readonly onFile?: ((file: string, index: number, count: number) => void) | undefined;
  /** Bytes that are here, of all files together; `totalBytes` undefined while unknown. */
  readonly onBytes?: ((doneBytes: number, totalBytes: number | undefined) => void) | undefined;
}

/** What pull() brought. */
export interface Pulled {
  /** What commands take as MODEL. */
  readonly name: string;
  /** What is opened for it. */
  readonly path: string;
  readonly bytes: number;
  readonly commit: string;
  /** Files that were here already, and right. */
  readonly kept: number;
  readonly files: readonly string[];
}

/**
 * Downloads a model so that commands find it by its short name. What is here already is kept, what was broken off goes on.
 *
 * @param text as for parseName
 * @throws `bad-argument`, `download-failed`, `disk-full`, `unsupported-model`, or the signal's reason
 */
export async function pull(text: string, options: PullOptions = {}): Promise<Pulled> {
  const endpoint = readEndpoint(options.endpoint ?? process.env.HF_ENDPOINT);
  const store = options.store ?? storeFolder();
  const token = (options.token ?? process.env.HF_TOKEN) || undefined;
  const access = { ...options, token, tokenOrigin: new URL(endpoint).origin, onBytes: undefined };
  const wanted = parseName(text, endpoint);
  const plan = wanted.kind === 'model' ? await planModel(wanted, endpoint, access) : planFile(wanted);
  const { name } = wanted;
  await sweepStore(store);
  const unlock = await lockModel(store, name);
  try {
    const folder = modelFolder(store, name);
    const before = await readModel(store, name);
    const stored = new Map(before?.variants.flatMap((one) => one.files.map((file) => [file.path, file] as const)));
    const here = new Map<string, StoredFile>();
    for (const file of plan.files) {
      const found = await findHere(file, join(folder, file.path), stored.get(file.path), access);
      if (found) here.set(file.path, { path: file.path, ...found });
    }
    const missing = plan.files.filter((file) => !here.has(file.path));
    const totalBytes = sumBytes(plan.files);
    const keptBytes = [...here.values()].reduce((sum, file) => sum + file.bytes, 0);
    const parts = new Set(missing.map((file) => `${file.path}.part`));
    const begun = (before?.unfinished ?? []).flatMap((one) => one.files).filter(({ path }) => parts.has(path));
    await checkSpace(folder, sumBytes(missing), sumBytes(begun) ?? 0);
    let doneBytes = keptBytes;
    for (const [index, file] of missing.entries()) {
      options.onFile?.(file.path, index, missing.length);
      const done = await download(file, join(folder, file.path), {
        ...access,
        onBytes: (bytes, total) => options.onBytes?.(doneBytes + bytes, totalBytes ?? total),
      });
      doneBytes += done.bytes;
      here.set(file.path, { path: file.path, ...done });
    }
    const variant: StoredVariant = {
      variant: plan.variant,
      main: plan.main,
      files: plan.files.map((file) => here.get(file.path)!),
      source: plan.source,
      commit: plan.commit,
      pulled: new Date().toISOString(),
    };
    await writeVariant(store, name, variant);
    await removeStale(
      store,
      name,
      before?.variants.find((one) => one.variant === plan.variant),
    );
    return {
      name: shortName(name, plan.variant),
      path: plan.main === undefined ? folder : join(folder, plan.main),
      bytes: doneBytes,
      commit: plan.commit,
      kept: plan.files.length - missing.length,
      files: plan.files.map((file) => file.path),
    };
  } finally {
    await unlock();
    await rmdir(modelFolder(store, name)).catch(() => undefined); // nothing came: not even a part of it
  }
}

interface Plan {
  readonly variant: string | undefined;
  readonly main: string | undefined;
  readonly files: readonly ListedFile[];
  readonly source: string;
  readonly commit: string;
}

async function planModel(
  { name, revision, variant }: Extract<Wanted, { readonly kind: 'model' }>,
  endpoint: string,
  access: DownloadOptions,
): Promise<Plan> {
  const { commit, files } = await listFiles(endpoint, name, revision, access);
  const chosen = selectFiles(
    name,
    files.map((file) => file.path),
    variant,
  );
  const byPath = new Map(files.map((file) => [file.path, file]));
  return { ...chosen, files: chosen.files.map((path) => byPath.get(path)!), source: endpoint, commit };
}

function planFile({ url, file }: Extract<Wanted, { readonly kind: 'file' }>): Plan {
  return { variant: undefined, main: file, files: [{ path: file, url }], source: url, commit: '' };
}

/** A file that need not be downloaded: as the manifest knows it, or as it is on the disk. */
async function findHere(
  file: RemoteFile,
  path: string,
  stored: StoredFile | undefined,
  access: DownloadOptions,
): Promise<Omit<StoredFile, 'path'> | undefined> {
  const hash = stored?.sha256;
  // what a manifest lists was checked when it came: looking at its size again is enough
  const known: RemoteFile = { url: file.url, bytes: stored?.bytes, sha256: hash };
  if (hash !== undefined && hash === file.sha256) return isWhole(known, path);
  if (file.sha256 === undefined && file.gitId === undefined) {
    const etag = stored?.etag;
    const isSame = etag !== undefined && (await isUnchanged(file.url, etag, access));
    const whole = isSame ? await isWhole(known, path) : undefined;
    return whole && { ...whole, etag };
  }
  return isDownloaded(file, path);
}

async function isWhole(file: RemoteFile, path: string) {
  const size = (await stat(path).catch(() => undefined))?.size;
  return size !== undefined && size === file.bytes && file.sha256 !== undefined
    ? { bytes: size, sha256: file.sha256 }
    : undefined;
}

/** Undefined when the size of one is unknown. */
function sumBytes(files: readonly Pick<RemoteFile, 'bytes'>[]): number | undefined {
  return files.some((file) => file.bytes === undefined)
    ? undefined
    : files.reduce((sum, file) => sum + (file.bytes ?? 0), 0);
}

async function checkSpace(folder: string, neededBytes: number | undefined, partBytes: number): Promise<void> {
  if (neededBytes === undefined) return;
  const free = await freeBytes(folder);
  const bytes = neededBytes - Math.min(partBytes, neededBytes);
  if (bytes === 0 || free >= bytes + SPARE_BYTES) return;
  const mib = (one: number) => `${Math.ceil(one / 2 ** 20)} MiB`;
  throw new FirstlightError(
    'disk-full',
    `${folder} has ${Math.floor(free / 2 ** 20)} MiB free, the download needs ${mib(bytes)} and some to spare: free space, or set XDG_DATA_HOME to ` +
      'a folder on another disk',
  );
}

/** Files of an older state that nothing needs any more. */
async function removeStale(store: string, name: string, old: StoredVariant | undefined): Promise<void> {
  const now = await readModel(store, name);
  const needed = new Set(now?.variants.flatMap((one) => one.files.map((file) => file.path)));
  for (const { path } of old?.files ?? [])
    if (!needed.has(path)) await rm(join(modelFolder(store, name), path), { force: true });
}

function readEndpoint(text: string | undefined): string {
  const endpoint = (text || DEFAULT_ENDPOINT).replace(/\/+$/, '');
  if (/^https?:\/\//.test(endpoint) && URL.canParse(endpoint)) return endpoint;
  throw new FirstlightError(
    'bad-argument',
    `the endpoint ${JSON.stringify(endpoint)} is no http or https address: change --endpoint or HF_ENDPOINT`,
  );
}
