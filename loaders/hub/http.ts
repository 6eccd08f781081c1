/** One HTTP request as downloads need it: redirects by hand, so that no token leaves its host, and no silence without end. */
import { FirstlightError } from '../../quant/errors.ts';

const MAX_REDIRECTS = 6;

export interface Access {
  /** Sent to `tokenOrigin` and nowhere else. */
  readonly token?: string | undefined;
  /** Scheme, host and port of the server that the token is for. */
  readonly tokenOrigin?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Silence after which a connection counts as lost. Default 30 s. */
  readonly stallMs?: number | undefined;
}

export interface Reply {
  /** Where the redirects ended. */
  readonly url: string;
  readonly status: number;
  readonly headers: Headers;
  /** Headers of all hops, the last one first: hubs tell size and hash in the redirect. */
  readonly hops: readonly Headers[];
  /** The body in pieces; throws ConnectionLost when it stalls or breaks off. Must be read to its end, or closed by return(). */
  readonly body: AsyncGenerator<Uint8Array, void, void>;
}

/** The connection failed in a way that another try may mend. */
export class ConnectionLost extends Error {}

/**
 * GETs a URL.
 *
 * @throws ConnectionLost, `download-failed` for redirects that must not be followed, or the signal's reason
 */
export async function get(url: string, headers: Readonly<Record<string, string>>, access: Access): Promise<Reply> {
  const hops: Headers[] = [];
  let from: URL | undefined;
  for (let target = url; ; ) {
    const { response, body } = await connect(target, headers, access);
    hops.unshift(response.headers);
    const location = response.headers.get('location');
    if (response.status < 300 || response.status > 399 || response.status === 304 || location === null)
      return { url: target, status: response.status, headers: response.headers, hops, body };
    await body.return();
    from = new URL(target);
    target = redirected(from, location, hops.length);
  }
}

function redirected(from: URL, location: string, hops: number): string {
  const refuse = (why: string) =>
    new FirstlightError('download-failed', `${from.href} leads to ${JSON.stringify(location)}: ${why}`);
  if (hops > MAX_REDIRECTS) throw refuse(`more than ${MAX_REDIRECTS} redirects; check the address`);
  const to = URL.canParse(location, from.href) ? new URL(location, from.href) : undefined;
  if (to === undefined || (to.protocol !== 'https:' && to.protocol !== 'http:'))
    throw refuse('no address that firstlight follows');
  if (from.protocol === 'https:' && to.protocol === 'http:') throw refuse('it gives up the encrypted connection');
  return to.href;
}

async function connect(
  url: string,
  headers: Readonly<Record<string, string>>,
  { token, tokenOrigin, signal, stallMs = 30_000 }: Access,
): Promise<{ response: Response; body: AsyncGenerator<Uint8Array, void, void> }> {
  const stall = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const wind = () => {
    clearTimeout(timer);
    timer = setTimeout(() => stall.abort(), stallMs);
  };
  const rephrase = (error: unknown): unknown => {
    clearTimeout(timer);
    if (signal?.aborted) return signal.reason;
    const { host } = new URL(url);
    if (stall.signal.aborted) return new ConnectionLost(`${host} sent nothing for ${stallMs / 1000} s`);
    return new ConnectionLost(`the connection to ${host} failed (${reasonOf(error)})`, { cause: error });
  };
  const authorization: Record<string, string> =
    token && new URL(url).origin === tokenOrigin ? { authorization: `Bearer ${token}` } : {};
  wind();
  let response: Response;
  try {
    response = await fetch(url, {
      // a packed answer has other lengths and ranges than the file
      headers: { 'accept-encoding': 'identity', 'user-agent': 'firstlight', ...headers, ...authorization },
      redirect: 'manual',
      signal: signal ? AbortSignal.any([signal, stall.signal]) : stall.signal,
    });
  } catch (error) {
    throw rephrase(error);
  }
  async function* read(): AsyncGenerator<Uint8Array, void, void> {
    try {
      for await (const chunk of response.body ?? []) {
        clearTimeout(timer); // what the reader does meanwhile is not the server's silence
        yield chunk;
        wind();
      }
    } catch (error) {
      throw rephrase(error);
    } finally {
      clearTimeout(timer);
    }
  }
  const body = read();
  const close = body.return.bind(body);
  body.return = async () => {
    clearTimeout(timer);
    await response.body?.cancel().catch(() => undefined); // a body that was never begun has no finally to run
    return close();
  };
  return { response, body };
}

/** fetch() hides the reason in its cause. */
function reasonOf(error: unknown): string {
  for (let one = error; one instanceof Error; one = one.cause) {
    if ('code' in one && typeof one.code === 'string') return one.code;
    if (!(one.cause instanceof Error)) return one.message;
  }
  return String(error);
}

/** Reads a short answer whole. Throws `download-failed` when it is longer than `mostBytes`. */
export async function readAll(reply: Reply, mostBytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of reply.body) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > mostBytes)
      throw new FirstlightError('download-failed', `${reply.url} answers with more than ${mostBytes} bytes`);
  }
  return Buffer.concat(chunks);
}

/** What a status that is no success means for the user. Undefined for those that another try may mend. */
export function refusalOf(status: number, url: string, hasToken: boolean): FirstlightError | undefined {
  const failed = (what: string) => new FirstlightError('download-failed', `${url} ${what}`);
  const { host } = new URL(url);
  if (status === 401 || status === 403)
    return failed(
      hasToken
        ? `is not open to this HF_TOKEN (${status}): ask for access on the model's page at ${host}`
        : `asks who you are (${status}): the model is private, gated or not there; set HF_TOKEN to a token of ${host}`,
    );
  if (status === 404 || status === 410) return failed(`is not there (${status}): check the name`);
  const mayMend = status === 408 || status === 429 || status >= 500;
  return mayMend ? undefined : failed(`answers with status ${status}`);
}
