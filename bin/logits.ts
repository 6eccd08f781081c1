/** `firstlight logits`: the best next tokens at every position, to compare with other engines. */
import { defineCommand, UsageError } from './arguments.ts';
import { ABOUT_MODEL, pieceOf } from './model.ts';
import { MODEL_FLAGS } from './model-flags.ts';
import { print, printJson, table } from './output.ts';
import { withSession } from './session.ts';

const DEFAULT_TOP = 5;

export const logits = defineCommand({
  operands: ['[MODEL]'],
  about: ['Reads token ids and prints, after each of them, the best next tokens and their logits.', ABOUT_MODEL],
  flags: {
    ids: { kind: 'text', placeholder: '1,2,3', about: 'token ids of the text, as "firstlight tokenize" gives them' },
    top: {
      kind: 'number',
      whole: true,
      least: 1,
      most: 2 ** 31 - 1,
      about: `tokens a position (default ${DEFAULT_TOP})`,
    },
    ...MODEL_FLAGS,
    json: { kind: 'switch', about: 'one JSON object: positions, each with id and top' },
    quiet: { kind: 'switch', short: 'q', about: 'no placement on stderr' },
  },
  async run(values, [model = 'builtin'], signal) {
    const ids = readIds(values.ids);
    await withSession(model, values, signal, async (session) => {
      const { tokenizer } = session.model;
      const piece = (id: number) => (tokenizer ? { piece: pieceOf(tokenizer, id) } : {});
      const positions: Position[] = [];
      for await (const row of session.logits(ids, { signal })) {
        const top = bestOf(row, values.top ?? DEFAULT_TOP).map((id) => ({ id, logit: row[id]!, ...piece(id) }));
        const position = positions.length;
        positions.push({ position, id: ids[position]!, ...piece(ids[position]!), top });
      }
      if (values.json) return printJson({ positions });
      const rows = positions.flatMap(({ position, id, top }) =>
        top.map((one, i) => [
          ...(i === 0 ? [String(position), String(id)] : ['', '']),
          String(one.id),
          one.logit.toFixed(4),
          one.piece === undefined ? '' : JSON.stringify(one.piece),
        ]),
      );
      print(table([['position', 'id', 'next', 'logit', 'piece'], ...rows]));
    });
  },
});

interface Ranked {
  readonly id: number;
  readonly piece?: string;
}

interface Position extends Ranked {
  readonly position: number;
  readonly top: readonly (Ranked & { readonly logit: number })[];
}

function readIds(text: string | undefined): number[] {
  if (text === undefined) throw new UsageError('--ids is missing: give the token ids of a text, such as --ids 1,2,3');
  if (!/^\d{1,10}(,\d{1,10})*$/.test(text))
    throw new UsageError(
      `--ids is ${JSON.stringify(text)}: it must be whole numbers with commas between, such as 1,2,3`,
    );
  return text.split(',').map(Number);
}

/** Ids of the largest logits, best first. */
function bestOf(row: Float32Array, count: number): number[] {
  const order = Uint32Array.from(row.keys()).sort((a, b) => row[b]! - row[a]! || a - b);
  return [...order.subarray(0, count)];
}
