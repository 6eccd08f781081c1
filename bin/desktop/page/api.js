/** Talking to the server: the key of this launch, JSON, and streams of events. */

const KEY = 'firstlight-key';

let key = sessionStorage.getItem(KEY) ?? '';

/** Behind the # of the address that the launcher opens stands a ticket, good once; the key that it brings stays for this window. */
export async function takeKey() {
  const ticket = new URLSearchParams(location.hash.slice(1)).get('ticket');
  if (!ticket) return;
  history.replaceState(null, '', location.pathname);
  const taken = /** @type {{ key: string }} */ (await call('/app/key', { body: { ticket } }));
  key = taken.key;
  sessionStorage.setItem(KEY, key);
}

/** What the server says is wrong. */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} message
   */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/**
 * @param {string} path
 * @param {{ method?: string, body?: unknown, signal?: AbortSignal, keepalive?: boolean }} [options]
 * @returns {Promise<Response>}
 */
async function send(path, { method, body, signal, keepalive = false } = {}) {
  const response = await fetch(path, {
    method: method ?? (body === undefined ? 'GET' : 'POST'),
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
    signal,
    keepalive,
  });
  if (response.ok) return response;
  const told = await response.json().catch(() => undefined);
  throw new ApiError(response.status, told?.error?.message ?? `the server answers ${response.status}`);
}

/**
 * @template T
 * @param {string} path
 * @param {Parameters<typeof send>[1]} [options]
 * @returns {Promise<T>}
 */
export async function call(path, options) {
  return /** @type {T} */ (await (await send(path, options)).json());
}

/**
 * The events of a stream. Throws ApiError for one that tells of an error.
 *
 * @template T
 * @param {string} path
 * @param {Parameters<typeof send>[1]} [options]
 * @returns {AsyncGenerator<T, void, void>}
 */
export async function* events(path, options) {
  const response = await send(path, options);
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  const decoder = new TextDecoder();
  let rest = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      rest += decoder.decode(value, { stream: true });
      for (let end = rest.indexOf('\n\n'); end >= 0; end = rest.indexOf('\n\n')) {
        const event = rest.slice(0, end);
        rest = rest.slice(end + 2);
        if (!event.startsWith('data: ')) continue; // a sign of life
        if (event === 'data: [DONE]') return;
        const data = JSON.parse(event.slice(6));
        if (data.error) throw new ApiError(0, data.error.message);
        yield data;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
