/** What all routes share. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Context } from 'hono';
import type { Answering } from './answer.ts';
import { RequestError } from './errors.ts';

export interface Service extends Answering {
  /** Tells one version of the program from another. */
  readonly fingerprint: string;
  readonly version: string;
  /** Requests that are under way: aborted when the server ends. */
  readonly running: Set<AbortController>;
  note(line: string): void;
}

/** What the Node adapter hands to routes. */
interface NodeBindings {
  readonly incoming?: IncomingMessage;
  readonly outgoing?: ServerResponse;
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

/** Aborts with a RequestError when the client goes away or the server ends. */
export function requestAbort(c: Context, { running }: Service): AbortController {
  const abort = new AbortController();
  const { signal } = c.req.raw;
  signal.addEventListener('abort', () => abort.abort(clientGone()), { once: true });
  running.add(abort);
  (c.env as NodeBindings).outgoing?.once('close', () => running.delete(abort));
  return abort;
}

/** For the log and the counts alone: nobody reads the answer. The status is nginx's for that. */
function clientGone(): RequestError {
  return new RequestError(499, 'client_gone', 'the client has gone');
}

/** Whose request it is, for a fair queue: by key or address, and by the user that the client names. */
export function clientOf(c: Context, user: string | null | undefined): string {
  const address = (c.env as NodeBindings).incoming?.socket.remoteAddress;
  return `${c.req.header('authorization') ?? address ?? ''} ${user ?? ''}`;
}
