/** `firstlight list`: the models that were pulled. */
import { listModels, shortName, storeFolder } from '../loaders/hub/store.ts';
import { defineCommand } from './arguments.ts';
import { note, print, printJson, table } from './output.ts';
import { size } from './transfer.ts';

export const list = defineCommand({
  operands: [],
  about: [
    'Lists the models that "firstlight pull" brought: the name that commands take for MODEL, its size, and when it came. ' +
      'Downloads that have not come to their end are named too.',
  ],
  flags: { json: { kind: 'switch', about: 'one JSON object: folder, models' } },
  async run(values) {
    const folder = storeFolder();
    const models = await listModels(folder);
    if (values.json) return printJson({ folder, models });
    const rows = models.flatMap(({ name, variants, unfinished }) => {
      const row = ({ variant, files }: (typeof variants)[number] | (typeof unfinished)[number], when: string) => [
        shortName(name, variant),
        size(files.reduce((sum, file) => sum + file.bytes, 0)),
        when,
      ];
      return [
        ...variants.map((one) => row(one, one.pulled.slice(0, 10))),
        ...unfinished.map((one) => row(one, 'not finished: pull it again')),
      ];
    });
    if (rows.length === 0) note(`no models in ${folder}: firstlight pull OWNER/NAME`);
    else print(table([['name', 'size', 'pulled'], ...rows]));
  },
});
