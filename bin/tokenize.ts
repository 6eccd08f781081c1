/** `firstlight tokenize`: a text as token ids and pieces. Needs no GPU. */
import { defineCommand } from './arguments.ts';
import { ABOUT_MODEL, ABOUT_TEXT, openTokenizer, pieceOf, readText, requireText, splitOperands } from './model.ts';
import { print, printJson, table } from './output.ts';

export const tokenize = defineCommand({
  operands: ['[MODEL]', 'TEXT'],
  about: [
    'Prints the id and the text of each token, with the begin token if the model wants one.',
    `${ABOUT_MODEL} Its weights need not be there; a tokenizer.json or tokenizer.model will do.`,
    ABOUT_TEXT,
  ],
  flags: {
    'no-special': { kind: 'switch', about: 'control tokens that TEXT spells stay text, as in a prompt' },
    json: { kind: 'switch', about: 'one JSON object: ids, pieces' },
  },
  async run(values, operands) {
    const { model, text } = splitOperands(operands);
    const given = await readText(requireText(text));
    const tokenizer = await openTokenizer(model);
    const ids = tokenizer.encode(given, { special: !values['no-special'] });
    const pieces = ids.map((id) => pieceOf(tokenizer, id));
    if (values.json) printJson({ ids, pieces });
    else print(table(ids.map((id, i) => [String(id), JSON.stringify(pieces[i])])));
  },
});
