/** What files a model on a hub has: the API of Hugging Face's hub, which others speak too. */
import { FirstlightError } from '../../quant/errors.ts';
import { isJsonObject, parseJson } from '../json.ts';
import type { RemoteFile } from './download.ts';
import { type Access, ConnectionLost, get, type Reply, readAll, refusalOf } from './http.ts';
import { isSafeFile } from './names.ts';
import { type Patience, withRetries } from './retry.ts';

const MOST_LIST_BYTES = 32 << 20;
const MOST_PAGES = 100;

export interface ListedFile extends RemoteFile {
  readonly path: string;
}

export interface Listing {
  /** The commit that the revision means now: all files are taken from it. */
  readonly commit: string;
  readonly files: readonly ListedFile[];
}

/**
 * The files of a model.
 *
 * @param endpoint address of the hub, without a slash at its end
 * @throws `download-failed`
 */
export async function listFiles(
  endpoint: string,
  name: string,
  revision: string,
  options: Access & Patience,
): Promise<Listing> {
  const api = `${endpoint}/api/models/${name}`;
  const at = encodeURIComponent(revision);
  const { json } = await readJson(`${api}/revision/${at}?blobs=true`, options);
  if (!isJsonObject(json)) throw notAHub(endpoint);
  const commit = typeof json.sha === 'string' && /^[\w.-]{1,100}$/.test(json.sha) ? json.sha : revision;
  const siblings: readonly unknown[] = Array.isArray(json.siblings) ? json.siblings : [];
  let entries = siblings.map(readSibling).filter((entry) => entry !== undefined);
  // hubs that leave sizes out here have them in the tree
  if (entries.length === 0 || entries.some((entry) => entry.bytes === undefined)) {
    const tree = await readTree(`${api}/tree/${encodeURIComponent(commit)}?recursive=true`, options);
    if (tree.length > 0) entries = tree;
  }
  if (entries.length === 0) throw new FirstlightError('download-failed', `${endpoint}/${name} has no files`);
  const files = entries
    .filter((entry) => isSafeFile(entry.path))
    .map((entry) => ({
      ...entry,
      url: `${endpoint}/${name}/resolve/${encodeURIComponent(commit)}/${entry.path.split('/').map(encodeURIComponent).join('/')}`,
    }));
  return { commit, files };
}

type Entry = Omit<ListedFile, 'url'>;

function readSibling(one: unknown): Entry | undefined {
  if (!isJsonObject(one) || typeof one.rfilename !== 'string') return undefined;
  const lfs = isJsonObject(one.lfs) ? one.lfs : undefined;
  return entryOf(one.rfilename, one.size, lfs?.sha256, one.blobId, lfs !== undefined);
}

async function readTree(url: string, options: Access & Patience): Promise<Entry[]> {
  const entries: Entry[] = [];
  let next: string | undefined = url;
  for (let page = 0; next !== undefined && page < MOST_PAGES; page++) {
    const { json, reply }: { json: unknown; reply: Reply } = await readJson(next, options);
    for (const one of Array.isArray(json) ? json : []) {
      if (!isJsonObject(one) || one.type !== 'file' || typeof one.path !== 'string') continue;
      const lfs = isJsonObject(one.lfs) ? one.lfs : undefined;
      entries.push(entryOf(one.path, one.size, lfs?.oid, one.oid, lfs !== undefined));
    }
    const link = /<([^>]+)>;\s*rel="next"/.exec(reply.headers.get('link') ?? '')?.[1];
    const following: URL | undefined = link !== undefined && URL.canParse(link, next) ? new URL(link, next) : undefined;
    next = following?.origin === new URL(url).origin ? following.href : undefined;
  }
  return entries;
}

function entryOf(path: string, size: unknown, sha256: unknown, gitId: unknown, isLarge: boolean): Entry {
  return {
    path,
    bytes: typeof size === 'number' && Number.isSafeInteger(size) && size >= 0 ? size : undefined,
    sha256: typeof sha256 === 'string' && /^[0-9a-f]{64}$/i.test(sha256) ? sha256.toLowerCase() : undefined,
    // for a large file this is the name of a pointer to it
    gitId: !isLarge && typeof gitId === 'string' && /^[0-9a-f]{40}$/.test(gitId) ? gitId : undefined,
  };
}

async function readJson(url: string, options: Access & Patience): Promise<{ json: unknown; reply: Reply }> {
  return withRetries(
    options,
    () => 0,
    async () => {
      const reply = await get(url, { accept: 'application/json' }, options);
      if (reply.status !== 200) {
        await reply.body.return();
        throw (
          refusalOf(reply.status, url, options.token !== undefined) ??
          new ConnectionLost(`${new URL(url).host} answers with status ${reply.status}`)
        );
      }
      const bytes = await readAll(reply, MOST_LIST_BYTES);
      try {
        return { json: parseJson(bytes, url), reply };
      } catch (error) {
        throw new FirstlightError('download-failed', `${url} does not answer as a model hub does`, { cause: error });
      }
    },
  );
}

function notAHub(endpoint: string): FirstlightError {
  return new FirstlightError(
    'download-failed',
    `${endpoint} does not answer as a model hub does: check --endpoint and HF_ENDPOINT`,
  );
}
