/** A model hub on this machine that behaves as badly as it is told to. */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Asked {
  readonly path: string;
  readonly host: string;
  readonly range: string | undefined;
  readonly ifRange: string | undefined;
  readonly authorization: string | undefined;
}

/** What to do with one request for a file; without any, all goes well. */
export type Trick =
  | { readonly kind: 'cut' | 'stall'; readonly after: number } // bytes of the body
  | { readonly kind: 'length'; readonly add: number } // to the true Content-Length
  | { readonly kind: 'wrong' } // bytes
  | { readonly kind: 'status'; readonly status: number }
  | { readonly kind: 'slow'; readonly pauseMs: number } // between pieces of 4 KiB
  | { readonly kind: 'no-range' | 'no-length' | 'html' };

export interface Hub {
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
  readonly asked: Asked[];
  /** Tricks for the next requests of a file, one each; the last one for good if `always`. */
  play(file: string, tricks: readonly Trick[], always?: boolean): void;
  close(): Promise<void>;
}

export interface HubOptions {
  /** By path in the model. */
  readonly files: Map<string, Uint8Array>;
  /** OWNER/NAME. */
  readonly name: string;
  /** Large files are redirected there: the other host of the same server, as the hub's storage is. */
  readonly storage?: string | undefined;
  /** Files from this size on have their SHA-256 in the list, smaller ones Git's name. */
  readonly largeFrom?: number;
  readonly token?: string;
  /** Leaves sizes out of the model's description; they are in the tree then, in pages of two. */
  readonly onlyTree?: boolean;
  /** Changes what the list says. */
  readonly editList?: (list: Record<string, unknown>[]) => Record<string, unknown>[];
}

const COMMIT = '0123456789abcdef0123456789abcdef01234567';

export async function startHub(options: HubOptions): Promise<Hub> {
  const { files, name, largeFrom = 1000 } = options;
  const asked: Asked[] = [];
  const tricks = new Map<string, { list: Trick[]; always: boolean }>();
  const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
  const gitId = (bytes: Uint8Array) => createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');

  function describe(path: string, bytes: Uint8Array, inTree: boolean): Record<string, unknown> {
    const isLarge = bytes.length >= largeFrom;
    const pointer = isLarge ? 'f'.repeat(40) : gitId(bytes);
    if (inTree) {
      const lfs = isLarge ? { lfs: { oid: sha256(bytes), size: bytes.length } } : {};
      return { type: 'file', path, size: bytes.length, oid: pointer, ...lfs };
    }
    if (options.onlyTree) return { rfilename: path };
    const lfs = isLarge ? { lfs: { sha256: sha256(bytes), size: bytes.length } } : {};
    return { rfilename: path, size: bytes.length, blobId: pointer, ...lfs };
  }

  function answerJson(response: ServerResponse, value: unknown, headers: Record<string, string> = {}): void {
    response.writeHead(200, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value));
  }

  function answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', 'http://x');
    const { host = '', range, authorization } = request.headers;
    asked.push({
      path: url.pathname,
      host,
      range,
      ifRange: request.headers['if-range'] as string | undefined,
      authorization,
    });
    if (
      options.token !== undefined &&
      !url.pathname.startsWith('/storage/') &&
      authorization !== `Bearer ${options.token}`
    )
      return void response.writeHead(401).end();
    const edit = options.editList ?? ((list) => list);
    if (url.pathname === `/api/models/${name}/revision/main`) {
      const siblings = edit([...files].map(([path, bytes]) => describe(path, bytes, false)));
      return void answerJson(response, { id: name, sha: COMMIT, siblings });
    }
    if (url.pathname === `/api/models/${name}/tree/${COMMIT}`) {
      const all = edit([...files].map(([path, bytes]) => describe(path, bytes, true)));
      const start = Number(url.searchParams.get('cursor') ?? 0);
      const next = `<${hub.url}${url.pathname}?recursive=true&cursor=${start + 2}>; rel="next"`;
      return void answerJson(response, all.slice(start, start + 2), start + 2 < all.length ? { link: next } : {});
    }
    const resolve = `/${name}/resolve/${COMMIT}/`;
    const isResolve = url.pathname.startsWith(resolve);
    const file = decodeURIComponent(
      isResolve ? url.pathname.slice(resolve.length) : url.pathname.replace(/^\/storage\//, ''),
    );
    const bytes = files.get(file);
    if (bytes === undefined) return void response.writeHead(404).end();
    if (isResolve && bytes.length >= largeFrom && options.storage !== undefined) {
      const headers = { 'x-linked-etag': `"${sha256(bytes)}"`, 'x-linked-size': String(bytes.length) };
      return void response
        .writeHead(302, { location: `${options.storage}/storage/${encodeURIComponent(file)}`, ...headers })
        .end();
    }
    void serve(file, bytes, request, response);
  }

  async function serve(
    file: string,
    whole: Uint8Array,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const queue = tricks.get(file);
    const trick = queue && (queue.list.length === 1 && queue.always ? queue.list[0] : queue.list.shift());
    if (trick?.kind === 'status') return void response.writeHead(trick.status).end();
    if (trick?.kind === 'html')
      return void response.writeHead(200, { 'content-type': 'text/html' }).end('<html></html>');
    const etag = `"${sha256(whole).slice(0, 12)}"`;
    if (request.headers['if-none-match'] === etag) return void response.writeHead(304, { etag }).end();
    const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const isSame = request.headers['if-range'] === undefined || request.headers['if-range'] === etag;
    const isPart = start > 0 && isSame && trick?.kind !== 'no-range';
    if (isPart && start >= whole.length)
      return void response.writeHead(416, { 'content-range': `bytes */${whole.length}` }).end();
    let body = isPart ? whole.subarray(start) : whole;
    const headers: Record<string, string> = { etag };
    if (isPart) headers['content-range'] = `bytes ${start}-${whole.length - 1}/${whole.length}`;
    const length = body.length + (trick?.kind === 'length' ? trick.add : 0);
    if (trick?.kind !== 'no-length') headers['content-length'] = String(length);
    if (trick?.kind === 'wrong') body = body.map((byte) => byte ^ 1);
    if (trick?.kind === 'cut' || trick?.kind === 'stall') body = body.subarray(0, trick.after);
    response.on('error', () => {}); // the other side may go away
    response.writeHead(isPart ? 206 : 200, headers);
    if (trick?.kind === 'slow') {
      for (let at = 0; at < body.length && !response.destroyed; at += 4096) {
        response.write(body.subarray(at, at + 4096));
        await new Promise((resume) => setTimeout(resume, trick.pauseMs));
      }
      return void response.end();
    }
    if (trick === undefined || trick.kind === 'wrong' || trick.kind.startsWith('no-')) return void response.end(body);
    response.write(trick.kind === 'length' ? body.subarray(0, Math.min(length, body.length)) : body, () => {
      if (trick.kind !== 'stall') setTimeout(() => response.destroy(), 20);
    });
  }

  const server = createServer(answer);
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  const hub: Hub = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    play: (file, list, always = false) => tricks.set(file, { list: [...list], always }),
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
  return hub;
}
