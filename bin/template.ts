/** Which chat template a conversation uses: --template, the model's own, or its family's. */
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { CHAT_FAMILIES, namesChat } from '../engine/chat-families.ts';
import type { Model } from '../engine/model.ts';
import { decodeUtf8 } from '../loaders/json.ts';
import { fileSource } from '../loaders/source.ts';
import { FirstlightError } from '../quant/errors.ts';
import type { Flags } from './arguments.ts';

const NAMES = Object.keys(CHAT_FAMILIES).join(', ');
/** The longest that models have takes a thirtieth. */
const MOST_BYTES = 1 << 20;

export const TEMPLATE_FLAG = {
  template: {
    kind: 'text',
    placeholder: 'NAME|FILE',
    about: `chat template instead of the model's own: ${NAMES}, or a Jinja file`,
  },
} as const satisfies Flags;

/** The template that --template stands for. Throws `bad-argument`, `bad-file`. */
export async function readTemplate(choice: string | undefined): Promise<string | undefined> {
  if (choice === undefined) return undefined;
  if (Object.hasOwn(CHAT_FAMILIES, choice)) return CHAT_FAMILIES[choice as keyof typeof CHAT_FAMILIES];
  const isFile = await stat(choice).then(
    (stats) => stats.isFile(),
    () => false,
  );
  if (!isFile)
    throw new FirstlightError(
      'bad-argument',
      `--template ${JSON.stringify(choice)} is no file and none of the known templates: ${NAMES}`,
    );
  const source = await fileSource(choice);
  try {
    if (source.size > MOST_BYTES)
      throw new FirstlightError('bad-file', `${choice} has ${source.size} bytes: no chat template is that long`);
    return decodeUtf8(await source.read(0, source.size), choice);
  } finally {
    await source.close();
  }
}

/**
 * The template for a model; undefined for one that was not made for chats. Throws `bad-argument` for a model whose name
 * says that it was, but that has no template and belongs to no known family.
 */
export function templateFor(model: Model, chosen: string | undefined): string | undefined {
  const template = chosen ?? model.chatTemplate;
  if (template !== undefined || !namesChat([basename(model.path), model.name])) return template;
  throw new FirstlightError(
    'bad-argument',
    `${model.path} is a chat model without a chat template, of no known family: choose one with --template (${NAMES}, ` +
      'or a file), or let it go on with the text by --raw',
  );
}
