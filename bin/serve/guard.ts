/** Who may speak to the server: names it answers to, pages that may use it, keys. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { RequestError } from './errors.ts';

export interface GuardOptions {
  /** Keys of which a request must bring one. Default none: everybody may. */
  readonly keys?: readonly string[] | undefined;
  /** Names that the server goes by, beside its addresses, localhost and the machine's own name. Default none. */
  readonly hosts?: readonly string[] | undefined;
  /** Web pages of other origins that may use it, such as `https://chat.example.com`; `*`: all. Default none. */
  readonly origins?: readonly string[] | undefined;
  /** Paths that need no key, beside /health. Default none. */
  readonly openPaths?: ReadonlySet<string> | undefined;
}

/** The parts of a request that a guard looks at. */
export interface Visitor {
  readonly path: string;
  readonly method: string;
  header(name: string): string | undefined;
}

/** Load balancers and process managers ask without a key. */
const OPEN_PATHS: ReadonlySet<string> = new Set(['/health']);

/**
 * Refuses names that are not the server's own: a foreign page can make its own name resolve to this machine (DNS rebinding)
 * and is then of the same origin, but it cannot choose the name that the browser sends. Addresses cannot be rebound.
 * Throws RequestError.
 */
export function checkHost({ path, header }: Visitor, { hosts = [] }: GuardOptions): void {
  const host = header('host') ?? '';
  if (host === '' && OPEN_PATHS.has(path)) return; // HTTP/1.0, as some load balancers speak it
  const name = host
    .replace(/:\d+$/, '')
    .replace(/^\[(.*)\]$/, '$1')
    .toLowerCase();
  const own = hostname().toLowerCase();
  const known =
    isIP(name) !== 0 ||
    name === 'localhost' ||
    name.endsWith('.localhost') ||
    name === own ||
    name === `${own}.local` ||
    hosts.some((allowed) => allowed.toLowerCase() === name);
  if (!known)
    throw new RequestError(403, 'forbidden_host', 'this server does not go by that name: start it with --allow-host');
}

/**
 * Refuses web pages of other origins. Answers the origin that the answer may be shown to, undefined for requests that no page
 * of another origin makes. Throws RequestError.
 */
export function checkOrigin({ header }: Visitor, { origins = [] }: GuardOptions): string | undefined {
  const origin = header('origin');
  if (origin === undefined) {
    // a page's pictures, scripts and the like come without an origin
    if (header('sec-fetch-site') === 'cross-site' && header('sec-fetch-mode') !== 'navigate') throw foreignPage();
    return undefined;
  }
  const host = header('host') ?? '';
  if (origin === `http://${host}` || origin === `https://${host}`) return undefined;
  if (origins.includes('*') || origins.includes(origin)) return origin;
  throw foreignPage();
}

function foreignPage(): RequestError {
  return new RequestError(
    403,
    'forbidden_origin',
    'web pages of that origin may not use this server: start it with --allow-origin',
  );
}

/** Refuses requests without one of the keys. Throws RequestError. */
export function checkKey({ path, method, header }: Visitor, { keys = [], openPaths }: GuardOptions): void {
  if (keys.length === 0 || OPEN_PATHS.has(path) || openPaths?.has(path) || method === 'OPTIONS') return;
  const given = /^Bearer\s+(.+)$/i.exec(header('authorization') ?? '')?.[1] ?? header('x-api-key') ?? '';
  // all are compared, each in a time that does not tell how much of it was right
  const fits = keys.map((key) => timingSafeEqual(digest(key), digest(given)));
  if (!fits.includes(true))
    throw new RequestError(
      401,
      'invalid_api_key',
      'the API key is missing or wrong: send it as "Authorization: Bearer KEY"',
    );
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
