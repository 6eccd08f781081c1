/**
 * A sequence as a file: its ids, and its keys and values as they lie in the cache.
 *
 *   8 bytes   "FLSEQ 1\n"
 *   4 bytes   length of the header, little-endian
 *   header    JSON, deflated: a Header
 *   rows      [layer][plane][k, v][kvHead][position][rowBytes], as they are: deflating them saves an eighth of f16 and a tenth of q8,
 *             at a few megabytes a second
 *   32 bytes  SHA-256 of all before
 */
import { createHash } from 'node:crypto';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { deflateSync, inflateSync, strFromU8, strToU8 } from 'fflate';
import { FirstlightError } from '../quant/errors.ts';
import { type KvFormat, kvRowsBytes } from './kv-cache.ts';
import type { Model } from './model.ts';
import { ropeContext } from './rope.ts';

const MAGIC = 'FLSEQ 1\n';
const DIGEST_BYTES = 32;
/** More ids than any context has would make less. */
const MOST_HEADER_BYTES = 64 << 20;

export interface Header {
  /** The model by its config and a sample of its weights; see fingerprint.ts. */
  readonly fingerprint: string;
  /** For people. */
  readonly model: string;
  readonly kv: KvFormat;
  /** Of RoPE that goes by the session's context; 0 for any other. */
  readonly ropeContext: number;
  readonly ids: readonly number[];
  /** Of all rows. */
  readonly bytes: number;
}

/** Writes a file beside `path` and puts it in its place when it is whole. Throws `bad-argument` where that is not allowed. */
export async function writeSnapshot(path: string, header: Header, rows: AsyncIterable<Uint8Array>): Promise<void> {
  const part = `${path}.part`;
  const hash = createHash('sha256');
  const packed = deflateSync(strToU8(JSON.stringify(header)));
  try {
    const file = await open(part, 'w');
    try {
      const write = async (bytes: Uint8Array) => {
        hash.update(bytes);
        await file.writeFile(bytes); // goes on where the last one ended
      };
      await write(strToU8(MAGIC));
      await write(new Uint8Array(Uint32Array.of(packed.length).buffer));
      await write(packed);
      for await (const bytes of rows) await write(bytes);
      await file.writeFile(hash.digest());
    } finally {
      await file.close();
    }
    await rename(part, path);
  } catch (error) {
    await rm(part, { force: true }).catch(() => undefined);
    throw fileError(error, path, 'written');
  }
}

export interface Snapshot {
  readonly header: Header;
  /** The next rows, in order; throws `bad-file` when there are fewer. */
  read(bytes: number): Promise<Uint8Array>;
  /** After all rows: throws `bad-file` unless everything is as it was written. */
  verify(): Promise<void>;
  close(): Promise<void>;
}

/** Opens a file that writeSnapshot has made. Throws `bad-file` for any other, `bad-argument` where there is none. */
export async function openSnapshot(path: string): Promise<Snapshot> {
  const file = await open(path, 'r').catch((error) => {
    throw fileError(error, path, 'read');
  });
  const hash = createHash('sha256');
  const next = async (bytes: number): Promise<Uint8Array> => {
    const chunk = await readBytes(file, bytes, path);
    hash.update(chunk);
    return chunk;
  };
  try {
    const { size } = await file.stat();
    if (size < MAGIC.length || strFromU8(await next(MAGIC.length)) !== MAGIC) throw notASession(path);
    const headerBytes = new DataView((await next(4)).slice().buffer).getUint32(0, true);
    if (headerBytes > Math.min(size, MOST_HEADER_BYTES)) throw damaged(path);
    const header = parseHeader(await next(headerBytes), path);
    if (size !== MAGIC.length + 4 + headerBytes + header.bytes + DIGEST_BYTES) throw damaged(path);
    return {
      header,
      read: next,
      async verify() {
        const digest = await readBytes(file, DIGEST_BYTES, path);
        if (!hash.digest().equals(digest)) throw damaged(path);
      },
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw fileError(error, path, 'read');
  }
}

/**
 * Whether a session of `context` positions can go on from a file. Throws `bad-argument` for the session of another model or with
 * another form of cache, `context-full` for a text that is too long.
 */
export function checkSnapshot(model: Model, context: number, header: Header, path: string): void {
  const { fingerprint, kv, ids } = header;
  const refuse = (why: string) => {
    throw new FirstlightError('bad-argument', `${path} ${why}`);
  };
  if (fingerprint !== model.fingerprint)
    refuse(`is a session of another model (${header.model}), or of other weights of it: load that one, as it was then`);
  if (kv !== model.kv) refuse(`has its KV cache in ${kv}, this model's is in ${model.kv}: load the model with ${kv}`);
  if (header.ropeContext !== ropeContext(model.config, context))
    refuse(`was made with a context of ${header.ropeContext}, by which this model turns its keys: ask for the same`);
  if (header.bytes !== kvRowsBytes(model.config, kv, ids.length))
    throw new FirstlightError('bad-file', `${path} has not as many rows as ids: save the session again`);
  if (ids.length > context)
    throw new FirstlightError(
      'context-full',
      `${path} has ${ids.length} positions, the session only ${context}: ask for a larger context`,
    );
}

function parseHeader(packed: Uint8Array, path: string): Header {
  try {
    const header = JSON.parse(strFromU8(inflateSync(packed))) as Header;
    const { ids, bytes, fingerprint, model, kv } = header;
    const isSound =
      Array.isArray(ids) &&
      ids.every((id) => Number.isInteger(id) && id >= 0) &&
      Number.isSafeInteger(bytes) &&
      bytes >= 0 &&
      [fingerprint, model, kv].every((text) => typeof text === 'string');
    if (isSound) return header;
  } catch {
    // damaged as well
  }
  throw damaged(path);
}

async function readBytes(file: FileHandle, length: number, path: string): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  for (let filled = 0; filled < length; ) {
    const { bytesRead } = await file.read(bytes, filled, length - filled);
    if (bytesRead === 0) throw damaged(path);
    filled += bytesRead;
  }
  return bytes;
}

function notASession(path: string): FirstlightError {
  return new FirstlightError('bad-file', `${path} holds no session of this version: give a file that one was saved to`);
}

function damaged(path: string): FirstlightError {
  return new FirstlightError('bad-file', `${path} is cut off or damaged: save the session again`);
}

/** What the file system refuses, for people; anything else as it is. */
function fileError(error: unknown, path: string, done: string): unknown {
  const code = error instanceof Error && 'code' in error && 'syscall' in error ? error.code : undefined;
  if (code === undefined) return error;
  const why: Record<string, string> = {
    ENOENT: done === 'read' ? 'it does not exist' : 'its folder does not exist',
    ENOSPC: 'the disk is full',
    EACCES: 'its permissions forbid it',
    EPERM: 'its permissions forbid it',
    EISDIR: 'it is a folder',
  };
  return new FirstlightError('bad-argument', `${path} cannot be ${done}: ${why[String(code)] ?? code}`, {
    cause: error,
  });
}
