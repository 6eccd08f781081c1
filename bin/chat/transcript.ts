/** Conversations in files, as JSON. */
import { readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import type { ChatMessage } from '../../engine/chat-template.ts';
import { FirstlightError } from '../../quant/errors.ts';

const FORMAT = 'firstlight-chat';
const MOST_BYTES = 64 << 20;

export interface Transcript {
  readonly model: string;
  readonly messages: readonly ChatMessage[];
}

/** Writes a conversation. Throws `bad-argument` where something else is in the way, or the path cannot be written. */
export async function saveTranscript(path: string, { model, messages }: Transcript): Promise<void> {
  const fail = (cause: NodeJS.ErrnoException): never => {
    throw new FirstlightError('bad-argument', `${path} cannot be written: ${cause.message}`, { cause });
  };
  const there = await readSmallFile(path).catch((cause) => (cause.code === 'ENOENT' ? FORMAT : fail(cause)));
  if (!there?.includes(FORMAT))
    throw new FirstlightError('bad-argument', `${path} is there and is no saved chat: choose another name`);
  const text = `${JSON.stringify({ format: FORMAT, version: 1, model, messages }, undefined, 2)}\n`;
  const fresh = `${path}.${process.pid}.part`;
  try {
    await writeFile(fresh, text);
    await rename(fresh, path);
  } catch (cause) {
    await rm(fresh, { force: true }); // what a full disk took of it
    fail(cause as NodeJS.ErrnoException);
  }
}

/** Undefined for devices, folders and what is too large for a conversation. */
async function readSmallFile(path: string): Promise<string | undefined> {
  const found = await stat(path);
  return found.isFile() && found.size <= MOST_BYTES ? readFile(path, 'utf8') : undefined;
}

/** Reads a conversation back. Throws `bad-argument` for a path that cannot be read, `bad-file` for other files. */
export async function loadTranscript(path: string): Promise<Transcript> {
  const text = await readSmallFile(path).catch((cause: Error) => {
    throw new FirstlightError('bad-argument', `${path} cannot be read: ${cause.message}`, { cause });
  });
  let value: Partial<Transcript> & { readonly format?: unknown; readonly version?: unknown };
  try {
    if (text === undefined) throw new Error('no file, or too large');
    value = JSON.parse(text);
  } catch (cause) {
    throw new FirstlightError('bad-file', `${path} is no saved chat: ${(cause as Error).message}`, { cause });
  }
  const isMessage = (one: unknown) =>
    typeof one === 'object' && one !== null && 'role' in one && 'content' in one && typeof one.role === 'string';
  if (value?.format !== FORMAT || !Array.isArray(value.messages) || !value.messages.every(isMessage))
    throw new FirstlightError('bad-file', `${path} is no saved chat: it was not written by /save`);
  if (value.version !== 1)
    throw new FirstlightError('bad-file', `${path} was saved by a newer firstlight, as version ${value.version}`);
  return { model: String(value.model), messages: value.messages };
}
