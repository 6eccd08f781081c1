/** What a user calls a model: a path, the short name of one that was pulled, or `builtin`. */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { FirstlightError } from '../quant/errors.ts';
import { builtinPath, openCheckpoint } from './checkpoint.ts';
import { findModel, storeFolder } from './hub/store.ts';
import { openVocab } from './open-vocab.ts';
import type { Checkpoint, Vocab } from './types.ts';

/** The small model that comes with firstlight. */
export const BUILTIN = 'builtin';

/** The usual endings of files with a model in them. */
export const MODEL_FILE = /\.(gguf|safetensors|firstlight|zip)$/i;

/** Opens what a name stands for. Throws as openCheckpoint, and `bad-argument` for a model that has not been pulled. */
export async function openModel(name: string): Promise<Checkpoint> {
  return openCheckpoint(await pathOf(name));
}

/** The tokenizer of what a name stands for, whose weights need not be there. Throws as openVocab and openModel. */
export async function openModelVocab(name: string): Promise<Vocab | undefined> {
  return openVocab(await pathOf(name));
}

/** What is not there stays as it is, for its reader to say so. */
async function pathOf(name: string): Promise<string> {
  if (name === BUILTIN) return builtinPath();
  if (existsSync(name)) return name;
  // no shell has seen it: in quotes, behind a =, or from a program
  if (name.startsWith('~/')) return join(homedir(), name.slice(2));
  const pulled = await findModel(storeFolder(), name);
  if (pulled !== undefined) return pulled;
  if (existsSync(`${name}.part`)) {
    throw new FirstlightError(
      'bad-argument',
      `${name} is not whole: ${name}.part is what "firstlight convert" left when it was cut off, run it again`,
    );
  }
  if (!/^[\w][\w.-]*\/[\w.-]+(:[\w.-]+)?$/.test(name) || MODEL_FILE.test(name)) return name;
  throw new FirstlightError(
    'bad-argument',
    `${name} does not exist, neither as a path nor as a model that was pulled: check it, or "firstlight pull ${name}"`,
  );
}
