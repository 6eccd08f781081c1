/** What goes wrong with a request, as clients are told: a status, a code, one line without anything of the inside. */
import { type ErrorCode, FirstlightError } from '../../quant/errors.ts';

/** A request that cannot be served. */
export class RequestError extends Error {
  readonly status: number;
  readonly code: string;
  /** The field of the request that is to blame. */
  readonly param: string | undefined;
  readonly retryAfterSeconds: number | undefined;
  constructor(
    status: number,
    code: string,
    message: string,
    { param, retryAfterSeconds }: { readonly param?: string; readonly retryAfterSeconds?: number } = {},
  ) {
    super(message);
    this.status = status;
    this.code = code;
    this.param = param;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

const STATUSES: Readonly<Partial<Record<ErrorCode, readonly [status: number, code: string]>>> = {
  'bad-argument': [400, 'invalid_value'],
  'bad-tokenizer': [400, 'unsupported_model'],
  'unsupported-model': [400, 'unsupported_model'],
  'context-full': [400, 'context_length_exceeded'],
  'unknown-model': [404, 'model_not_found'],
  'queue-full': [429, 'queue_full'],
  'not-enough-memory': [503, 'not_enough_memory'],
  'device-lost': [503, 'device_lost'],
  'device-timeout': [503, 'device_timeout'],
  'no-adapter': [503, 'no_adapter'],
};

const RETRY_SECONDS = 5;

/** Any error as a client may see it. */
export function describeFailure(error: unknown): RequestError {
  if (error instanceof RequestError) return error;
  if (error instanceof FirstlightError) {
    const [status, code] = STATUSES[error.code] ?? [500, 'internal_error'];
    const retryAfterSeconds = status === 429 || status === 503 ? RETRY_SECONDS : undefined;
    return new RequestError(status, code, withoutPaths(error.message), { retryAfterSeconds });
  }
  return new RequestError(500, 'internal_error', "something went wrong inside; the server's log has more");
}

/** What requests are told once the server has been told to end. */
export function aboutToEnd(): RequestError {
  return new RequestError(503, 'shutting_down', 'the server is about to end: ask another one, or again in a while', {
    retryAfterSeconds: RETRY_SECONDS,
  });
}

/** Files of the server are nobody's business: of a path the last name stays. */
function withoutPaths(message: string): string {
  return message.replace(/(^|[\s"'(])(?:[A-Za-z]:)?(?:\.{0,2}\/)(?:[^\s"'():]+\/)*([^\s"'():/]+)/g, '$1$2');
}

/** As OpenAI's API says it. */
export function openaiError({ status, code, message, param }: RequestError): object {
  return { error: { message, type: typeOf(status), param: param ?? null, code } };
}

function typeOf(status: number): string {
  if (status === 401) return 'authentication_error';
  if (status === 403) return 'permission_error';
  if (status === 429) return 'rate_limit_error';
  return status < 500 ? 'invalid_request_error' : 'server_error';
}
