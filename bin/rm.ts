/** `firstlight rm`: removes a model that was pulled. */
import { listModels, removeModel, shortName, storeFolder } from '../loaders/hub/store.ts';
import { FirstlightError } from '../quant/errors.ts';
import { defineCommand, nearest } from './arguments.ts';
import { note } from './output.ts';
import { size } from './transfer.ts';

export const rm = defineCommand({
  operands: ['NAME'],
  about: [
    'Removes a model that "firstlight pull" brought, by the name that "firstlight list" shows: OWNER/NAME with all its ' +
      'variants, OWNER/NAME:VARIANT that one alone. Files elsewhere are never touched.',
  ],
  flags: { quiet: { kind: 'switch', short: 'q', about: 'no word of what is free again' } },
  async run(values, [name = '']) {
    const store = storeFolder();
    const bytes = await removeModel(store, name);
    if (bytes === undefined) {
      const names = (await listModels(store)).flatMap((model) => [
        model.name,
        ...[...model.variants, ...model.unfinished].map((one) => shortName(model.name, one.variant)),
      ]);
      const close = nearest(name, names);
      throw new FirstlightError(
        'bad-argument',
        `there is no model ${JSON.stringify(name)}: ${close ? `did you mean ${close}?` : '"firstlight list" shows those that were pulled'}`,
      );
    }
    if (!values.quiet) note(`${name} is removed, ${size(bytes)} are free again`);
  },
});
