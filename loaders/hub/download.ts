/**
 * Downloads one file so that it is either whole and checked under its name or not there. Until then it is NAME.part,
 * with NAME.part.json beside it, which says of what it is a part: a later call, of this or another process, goes on from it.
 */
import { createHash, type Hash } from 'node:crypto';
import { type FileHandle, mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { FirstlightError } from '../../quant/errors.ts';
import { diskError, isCode, syncFolder } from '../disk.ts';
import { type Access, ConnectionLost, get, type Reply, refusalOf } from './http.ts';
import { type Patience, withRetries } from './retry.ts';

/** A file as the server's list has it. */
export interface RemoteFile {
  readonly url: string;
  /** Undefined where no list tells it: then the server's own headers are taken. */
  readonly bytes?: number | undefined;
  readonly sha256?: string | undefined;
  /** Git's name of the content, which small files have instead: SHA-1 of `blob BYTES\0` and the content. */
  readonly gitId?: string | undefined;
}

export interface DownloadOptions extends Access, Patience {
  /** Called with the bytes on disk; the first call tells what was there already. `totalBytes` undefined while unknown. */
  readonly onBytes?: ((doneBytes: number, totalBytes: number | undefined) => void) | undefined;
}

export interface Downloaded {
  readonly bytes: number;
  readonly sha256: string;
  /** The server's name of the content, where it has one. */
  readonly etag?: string | undefined;
}

interface Note {
  /** Hash or address: a part of something else is of no use. */
  readonly of: string;
  /** The server's name of this very content, for If-Range. */
  readonly etag?: string | undefined;
}

/**
 * Downloads a file to `path`, replacing what is there.
 *
 * @throws `download-failed` when the server refuses, gives up or sends something else than it announced; `disk-full`; the
 *   signal's reason. In all cases but wrong bytes the part stays for the next try.
 */
export async function download(file: RemoteFile, path: string, options: DownloadOptions = {}): Promise<Downloaded> {
  await mkdir(dirname(path), { recursive: true });
  let done = 0;
  let wrong = 0;
  for (;;) {
    const result = await withRetries(
      options,
      () => done,
      () =>
        attempt(file, path, options, (bytes) => {
          done = bytes;
        }),
    );
    if (result.wrong === undefined) return result;
    // a part that went bad at some time, or a server that has two states: once more from the start
    await removePart(path);
    done = 0;
    if (++wrong > 1) throw new FirstlightError('download-failed', `${file.url}: ${result.wrong}; try again later`);
    options.onRetry?.(result.wrong);
  }
}

/** Removes what an unfinished download left. */
async function removePart(path: string): Promise<void> {
  await rm(`${path}.part`, { force: true });
  await rm(`${path}.part.json`, { force: true });
}

type Outcome = Downloaded & { readonly wrong?: string };

async function attempt(
  file: RemoteFile,
  path: string,
  options: DownloadOptions,
  onDone: (bytes: number) => void,
): Promise<Outcome> {
  const part = `${path}.part`;
  const of = file.sha256 ?? file.gitId ?? file.url;
  let note = await readNote(path);
  if (note?.of !== of) {
    await removePart(path);
    note = undefined;
  }
  const handle = await open(part, note === undefined ? 'w+' : 'r+').catch((error: unknown) => {
    if (note !== undefined && isCode(error, 'ENOENT')) return open(part, 'w+');
    throw diskError(error, part);
  });
  try {
    let { size: bytes } = await handle.stat();
    if (file.bytes !== undefined && bytes > file.bytes) bytes = 0;
    const hash = createHash('sha256');
    const tell = (total: number | undefined) => {
      onDone(bytes);
      options.onBytes?.(bytes, total);
    };
    tell(file.bytes);
    let total = file.bytes;
    if (bytes === 0 || bytes !== total) {
      const reply = await request(file, bytes, note?.etag, options);
      const goesOn = reply.status === 206;
      if (!goesOn) {
        if (bytes > 0) await handle.truncate(0);
        bytes = 0;
      }
      total = announcedTotal(reply, bytes, file);
      await writeNote(path, { of, etag: strongEtag(reply.headers) });
      await hashStart(handle, bytes, hash);
      try {
        for await (const chunk of reply.body) {
          if (total !== undefined && bytes + chunk.length > total)
            throw new ConnectionLost(`${file.url} goes on behind its ${total} bytes`);
          hash.update(chunk);
          await writeAll(handle, chunk, bytes, part);
          bytes += chunk.length;
          tell(total);
        }
      } finally {
        await reply.body.return();
      }
      if (total !== undefined && bytes < total)
        throw new ConnectionLost(`${file.url} ended at byte ${bytes} of ${total}`);
      const linked = linkedHash(reply);
      const wrong = await findFault({ ...file, sha256: file.sha256 ?? linked }, handle, bytes, hash);
      const done = await finish(handle, path, bytes, wrong.sha256, wrong.fault);
      return { ...done, etag: strongEtag(reply.headers) };
    }
    await hashStart(handle, bytes, hash);
    const { sha256, fault } = await findFault(file, handle, bytes, hash);
    return await finish(handle, path, bytes, sha256, fault);
  } finally {
    await handle.close();
  }
}

async function finish(
  handle: FileHandle,
  path: string,
  bytes: number,
  sha256: string,
  fault: string | undefined,
): Promise<Outcome> {
  if (fault !== undefined) return { bytes, sha256, wrong: fault };
  await handle.sync().catch((error: unknown) => {
    throw diskError(error, path);
  });
  await rename(`${path}.part`, path);
  await rm(`${path}.part.json`, { force: true });
  await syncFolder(dirname(path));
  return { bytes, sha256 };
}

/** Asks for the file from byte `start` on. */
async function request(
  file: RemoteFile,
  start: number,
  etag: string | undefined,
  options: DownloadOptions,
): Promise<Reply> {
  // Without a name of the content a range could join two different files; a hash would tell that at the end.
  const canResume = start > 0 && (etag !== undefined || file.sha256 !== undefined || file.gitId !== undefined);
  const range: Record<string, string> = canResume
    ? { range: `bytes=${start}-`, ...(etag === undefined ? {} : { 'if-range': etag }) }
    : {};
  const reply = await get(file.url, range, options);
  if (reply.status === 206 && rangeStart(reply) === start && canResume) return reply;
  if (reply.status === 200) return reply;
  await reply.body.return();
  // nothing behind `start`, or not what was asked for: whole, then
  if (reply.status === 416 || reply.status === 206) {
    if (start === 0) throw new ConnectionLost(`${file.url} answers with a part that nobody asked for`);
    return request(file, 0, undefined, options);
  }
  throw (
    refusalOf(reply.status, reply.url, options.token !== undefined) ??
    new ConnectionLost(`${new URL(reply.url).host} answers with status ${reply.status}`)
  );
}

function rangeStart({ headers }: Reply): number | undefined {
  const start = /^bytes (\d+)-/.exec(headers.get('content-range') ?? '')?.[1];
  return start === undefined ? undefined : Number(start);
}

/** The whole file's size by the list, which the answer must not contradict, or by the answer. */
function announcedTotal({ headers, status, url }: Reply, start: number, file: RemoteFile): number | undefined {
  const length = headers.get('content-length');
  const ofRange = /\/(\d+)$/.exec(headers.get('content-range') ?? '')?.[1];
  const told = status === 206 ? ofRange : length;
  const total = told === null || told === undefined ? undefined : Number(told);
  const coming = length === null ? undefined : start + Number(length);
  for (const one of [total, coming])
    if (one !== undefined && file.bytes !== undefined && one !== file.bytes)
      throw new ConnectionLost(`${url} announces ${one} bytes where its list says ${file.bytes}`);
  return file.bytes ?? total;
}

/** Hubs name the SHA-256 of a large file in the redirect to where it lies. */
function linkedHash({ hops }: Reply): string | undefined {
  for (const headers of hops) {
    const hash = /^(?:W\/)?"?([0-9a-f]{64})"?$/.exec(headers.get('x-linked-etag') ?? '')?.[1];
    if (hash !== undefined) return hash;
  }
  return undefined;
}

/** A name of the content byte for byte: weak ones are no ground for joining ranges. */
function strongEtag(headers: Headers): string | undefined {
  const etag = headers.get('etag');
  return etag?.startsWith('"') ? etag : undefined;
}

async function findFault(
  file: RemoteFile,
  handle: FileHandle,
  bytes: number,
  hash: Hash,
): Promise<{ sha256: string; fault: string | undefined }> {
  const sha256 = hash.digest('hex');
  if (file.sha256 !== undefined && sha256 !== file.sha256.toLowerCase())
    return { sha256, fault: `wrong bytes came: SHA-256 ${sha256} where ${file.sha256} is announced` };
  if (file.sha256 === undefined && file.gitId !== undefined) {
    const git = createHash('sha1').update(`blob ${bytes}\0`);
    await hashStart(handle, bytes, git);
    const id = git.digest('hex');
    if (id !== file.gitId)
      return { sha256, fault: `wrong bytes came: Git's SHA-1 ${id} where ${file.gitId} is announced` };
  }
  return { sha256, fault: undefined };
}

/** Feeds the file's first bytes to a hash. */
async function hashStart(handle: FileHandle, bytes: number, hash: Hash): Promise<void> {
  const buffer = new Uint8Array(Math.min(bytes, 4 << 20));
  for (let at = 0; at < bytes; ) {
    const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, bytes - at), at);
    if (bytesRead === 0) throw new ConnectionLost('the part became shorter while it was read');
    hash.update(buffer.subarray(0, bytesRead));
    at += bytesRead;
  }
}

/** Whether the server still has the content that `etag` names. */
export async function isUnchanged(url: string, etag: string, options: Access): Promise<boolean> {
  const reply = await get(url, { 'if-none-match': etag }, options);
  await reply.body.return();
  return reply.status === 304;
}

/** Whether a file is there and is this one. */
export async function isDownloaded(file: RemoteFile, path: string): Promise<Downloaded | undefined> {
  const handle = await open(path, 'r').catch(() => undefined);
  if (handle === undefined) return undefined;
  try {
    const { size: bytes } = await handle.stat();
    if (file.bytes !== undefined && bytes !== file.bytes) return undefined;
    if (file.sha256 === undefined && file.gitId === undefined) return undefined; // nothing to know it by
    const hash = createHash('sha256');
    await hashStart(handle, bytes, hash);
    const { sha256, fault } = await findFault(file, handle, bytes, hash);
    return fault === undefined ? { bytes, sha256 } : undefined;
  } finally {
    await handle.close();
  }
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, start: number, path: string): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    try {
      const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, start + done);
      done += bytesWritten;
    } catch (error) {
      throw diskError(error, path);
    }
  }
}

async function readNote(path: string): Promise<Note | undefined> {
  try {
    const note: unknown = JSON.parse(await readFile(`${path}.part.json`, 'utf8'));
    const of = typeof note === 'object' && note !== null && 'of' in note ? note.of : undefined;
    if (typeof note !== 'object' || note === null || typeof of !== 'string') return undefined;
    return { of, etag: 'etag' in note && typeof note.etag === 'string' ? note.etag : undefined };
  } catch {
    return undefined; // none, or written by a machine that lost its power: start anew
  }
}

async function writeNote(path: string, note: Note): Promise<void> {
  await writeFile(`${path}.part.json`, JSON.stringify(note)).catch((error: unknown) => {
    throw diskError(error, path);
  });
}
