/** The models that a server has, by a name, never by a path: those of the command line, and those that were pulled. */
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { builtinPath } from '../../loaders/checkpoint.ts';
import { listModels, shortName, storeFolder } from '../../loaders/hub/store.ts';
import { openModel } from '../../loaders/named.ts';
import { FirstlightError } from '../../quant/errors.ts';
import { isBuiltin } from '../model.ts';
import type { KnownModel } from './load.ts';

/** What clients call the model that comes with firstlight. */
const BUILTIN_NAME = 'storyteller';

/** `NAME=MODEL` or `MODEL`, whose name is that of its file. Throws `bad-argument` for a name that is there twice. */
export async function modelsOf(operands: readonly string[]): Promise<KnownModel[]> {
  const models = await Promise.all(operands.map(describe));
  const seen = new Set<string>();
  for (const { name } of models) {
    if (seen.has(name))
      throw new FirstlightError('bad-argument', `two models are called ${name}: name one of them, as in other=${name}`);
    seen.add(name);
  }
  return models;
}

/** The models that `firstlight pull` brought. */
export async function pulledModels(): Promise<KnownModel[]> {
  const models = await listModels(storeFolder());
  return models.flatMap(({ name, variants }) =>
    variants.map((one): KnownModel => {
      const short = shortName(name, one.variant);
      return {
        name: short,
        bytes: one.files.reduce((sum, file) => sum + file.bytes, 0),
        modifiedMs: Date.parse(one.pulled) || 0,
        open: () => openModel(short),
      };
    }),
  );
}

async function describe(operand: string): Promise<KnownModel> {
  const [, given, path = operand] = /^([\w.:-]+)=(.+)$/.exec(operand) ?? [];
  const file = await stat(isBuiltin(path) ? builtinPath() : path).catch(() => undefined);
  return {
    name: given ?? (isBuiltin(path) ? BUILTIN_NAME : basename(path).replace(/\.(gguf|safetensors|zip)$/i, '')),
    bytes: file?.isFile() ? file.size : undefined,
    modifiedMs: file?.mtimeMs ?? 0,
    open: () => openModel(path),
  };
}
