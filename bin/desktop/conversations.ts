/** Conversations on disk: a JSON file each, below the user's data folder. */
import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { RequestError } from '../serve/errors.ts';
import { dataFolder, writeJson } from './files.ts';

const Id = v.pipe(v.string(), v.regex(/^[\w-]{1,64}$/));
const Message = v.looseObject({
  id: Id,
  /** The message before it; null for the first ones. Messages with one parent are branches. */
  parent: v.nullable(Id),
  role: v.picklist(['user', 'assistant']),
  content: v.string(),
});
const Conversation = v.looseObject({
  id: Id,
  title: v.string(),
  /** ISO 8601. */
  created: v.string(),
  updated: v.string(),
  messages: v.array(Message),
  /** The last message of the branch that is shown. */
  leaf: v.nullable(Id),
});

export type StoredConversation = v.InferOutput<typeof Conversation>;
export type ConversationSummary = Pick<StoredConversation, 'id' | 'title' | 'updated'>;

export interface Conversations {
  /** The latest first. */
  list(): Promise<ConversationSummary[]>;
  read(id: string): Promise<StoredConversation>;
  write(id: string, conversation: unknown): Promise<void>;
  remove(id: string): Promise<void>;
}

export function openConversations(folder = join(dataFolder(), 'conversations')): Conversations {
  const fileOf = (id: string) => {
    if (!v.is(Id, id)) throw new RequestError(400, 'invalid_value', 'that is no name of a conversation');
    return join(folder, `${id}.json`);
  };
  // titles and times of files that have not changed since they were read
  const known = new Map<string, { readonly modifiedMs: number; readonly summary: ConversationSummary }>();

  async function summaryOf(id: string): Promise<ConversationSummary | undefined> {
    const path = fileOf(id);
    try {
      const { mtimeMs: modifiedMs } = await stat(path);
      const before = known.get(id);
      if (before?.modifiedMs === modifiedMs) return before.summary;
      const { title, updated } = parse(await readFile(path, 'utf8'));
      known.set(id, { modifiedMs, summary: { id, title, updated } });
      return { id, title, updated };
    } catch {
      return undefined; // gone meanwhile, or damaged: the others are shown
    }
  }

  return {
    async list() {
      const names = await readdir(folder).catch(() => []);
      const ids = names.filter((name) => name.endsWith('.json')).map((name) => name.slice(0, -5));
      const summaries = await Promise.all(ids.filter((id) => v.is(Id, id)).map(summaryOf));
      return summaries
        .filter((summary) => summary !== undefined)
        .sort((a, b) => (a.updated < b.updated ? 1 : a.updated > b.updated ? -1 : 0));
    },
    async read(id) {
      const text = await readFile(fileOf(id), 'utf8').catch(() => undefined);
      if (text === undefined) throw new RequestError(404, 'not_found', 'there is no such conversation');
      return parse(text);
    },
    async write(id, conversation) {
      const path = fileOf(id);
      const checked = v.safeParse(Conversation, conversation);
      if (!checked.success || checked.output.id !== id)
        throw new RequestError(400, 'invalid_value', 'that is no conversation');
      await writeJson(path, checked.output);
    },
    async remove(id) {
      await rm(fileOf(id), { force: true });
    },
  };
}

function parse(text: string): StoredConversation {
  const result = v.safeParse(Conversation, JSON.parse(text));
  if (!result.success) throw new RequestError(500, 'damaged', 'the conversation is damaged');
  return result.output;
}
