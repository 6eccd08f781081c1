/** What all routes share. */
import type { Context } from 'hono';
import type { Answering } from './answer.ts';
import { RequestError } from './errors.ts';

export interface Service extends Answering {
  /** Tells one version of the program from another. */
  readonly fingerprint: string;
  readonly version: string;
  /** Aborts when the server ends whatever is under way. */
  readonly signal: AbortSignal;
  note(line: string): void;
}

/** Bytes of a request's body, at most. */
export const MOST_BODY_BYTES = 8 << 20;

/** The body as JSON, whatever type it says it is. Throws RequestError. */
export async function readJson(c: Context): Promise<unknown> {
  const text = await c.req.text();
  try {
    return JSON.parse(text);
  } catch {
    throw new RequestError(400, 'invalid_json', 'the body is no JSON');
  }
}

/** Aborts when the client goes away or the server ends. */
export function requestAbort(c: Context, { signal }: Service): AbortController {
  const abort = new AbortController();
  const forward = (from: AbortSignal) => {
    if (from.aborted) abort.abort(from.reason);
    else from.addEventListener('abort', () => abort.abort(from.reason), { once: true, signal: abort.signal });
  };
  forward(c.req.raw.signal);
  forward(signal);
  return abort;
}

/** Whose request it is, for a fair queue: by key or address, and by the user that the client names. */
export function clientOf(c: Context, user: string | null | undefined): string {
  const address = (c.env as { incoming?: { socket?: { remoteAddress?: string } } }).incoming?.socket?.remoteAddress;
  return `${c.req.header('authorization') ?? address ?? ''} ${user ?? ''}`;
}
