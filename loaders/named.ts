/** What a user calls a model: a path, the short name of one that was pulled, or `builtin`. */
import { existsSync } from 'node:fs';
import { FirstlightError } from '../quant/errors.ts';
import { builtinPath, openCheckpoint } from './checkpoint.ts';
import { findModel, storeFolder } from './hub/store.ts';
import type { Checkpoint } from './types.ts';

/** The small model that comes with firstlight. */
export const BUILTIN = 'builtin';

/** Opens what a name stands for. Throws as openCheckpoint, and `bad-argument` for a model that has not been pulled. */
export async function openModel(name: string): Promise<Checkpoint> {
  if (name === BUILTIN) return openCheckpoint(builtinPath());
  if (existsSync(name)) return openCheckpoint(name);
  const pulled = await findModel(storeFolder(), name);
  if (pulled !== undefined) return openCheckpoint(pulled);
  const looksLikeName = /^[\w][\w.-]*\/[\w.-]+(:[\w.-]+)?$/.test(name) && !/\.(gguf|safetensors|zip)$/i.test(name);
  if (!looksLikeName) return openCheckpoint(name); // says what is wrong with the path
  throw new FirstlightError(
    'bad-argument',
    `${name} does not exist, neither as a path nor as a model that was pulled: check it, or "firstlight pull ${name}"`,
  );
}
