/** The models that a server has, by a name, never by a path: those of the command line, and those that were pulled. */
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { builtinPath } from '../../loaders/checkpoint.ts';
import { listModels, shortName, storeFolder } from '../../loaders/hub/store.ts';
import { MODEL_FILE, openModel } from '../../loaders/named.ts';
import type { Checkpoint } from '../../loaders/types.ts';
import { FirstlightError } from '../../quant/errors.ts';
import { isBuiltin } from '../model.ts';
import type { KnownModel } from './load.ts';

/** What clients call the model that comes with firstlight. */
const BUILTIN_NAME = 'storyteller';

/**
 * `NAME=MODEL` or `MODEL`, whose name is that of its file.
 *
 * @param template chat template instead of the models' own
 * @throws `bad-argument` for a name that is there twice
 */
export async function modelsOf(operands: readonly string[], template?: string): Promise<KnownModel[]> {
  const models = await Promise.all(operands.map((operand) => describe(operand, template)));
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

async function describe(operand: string, template: string | undefined): Promise<KnownModel> {
  const [, given, path = operand] = /^([\w.:-]+)=(.+)$/.exec(operand) ?? [];
  const file = await stat(isBuiltin(path) ? builtinPath() : path).catch(() => undefined);
  return {
    name: given ?? (isBuiltin(path) ? BUILTIN_NAME : basename(path).replace(MODEL_FILE, '')),
    bytes: file?.isFile() ? file.size : undefined,
    modifiedMs: file?.mtimeMs ?? 0,
    async open() {
      const checkpoint = await openModel(path);
      return template === undefined ? checkpoint : withTemplate(checkpoint, template);
    },
  };
}

/** With another chat template, for chats with tools too. */
function withTemplate(checkpoint: Checkpoint, chatTemplate: string): Checkpoint {
  return {
    ...checkpoint,
    async vocab() {
      const vocab = await checkpoint.vocab();
      return vocab && { ...vocab, chatTemplate, toolTemplate: undefined };
    },
  };
}
