/** The HTTP server: sockets, limits, the end. */
import type { Server } from 'node:http';
import { createAdaptorServer } from '@hono/node-server';
import type { Hono } from 'hono';
import { FirstlightError } from '../../quant/errors.ts';

export interface Listening {
  readonly port: number;
  /** Takes no more connections, and ends those that are there: within `graceMs` (default 0) as they come to rest, then all. */
  close(graceMs?: number): Promise<void>;
}

const MOST_HEADER_BYTES = 16 << 10;
const MOST_CONNECTIONS = 1024;
const HEADERS_LIMIT_MS = 10_000;
/** For a request to arrive as a whole. */
const REQUEST_LIMIT_MS = 60_000;
/** Longer than load balancers keep idle connections, so that they are the ones to close them. */
const KEEP_ALIVE_MS = 75_000;
const RESTING_POLL_MS = 20;

/** Listens; port 0 takes any that is free. Throws `bad-argument` for an address that cannot be had. */
export async function listen(app: Hono, host: string, port: number): Promise<Listening> {
  const server = createAdaptorServer({
    fetch: app.fetch,
    hostname: 'localhost', // of requests that name none
    serverOptions: { maxHeaderSize: MOST_HEADER_BYTES },
  }) as Server;
  server.headersTimeout = HEADERS_LIMIT_MS;
  server.requestTimeout = REQUEST_LIMIT_MS;
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  server.maxConnections = MOST_CONNECTIONS;
  server.on('clientError', (_error, socket) => {
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n');
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  }).catch((error: NodeJS.ErrnoException) => {
    const advice = error.code === 'EADDRINUSE' ? 'something else listens there: choose another --port' : error.message;
    throw new FirstlightError('bad-argument', `cannot listen on ${host} port ${port}: ${advice}`, { cause: error });
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address ? address.port : port,
    async close(graceMs = 0) {
      const closed = new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
      const resting = setInterval(() => server.closeIdleConnections(), RESTING_POLL_MS);
      const late = setTimeout(() => server.closeAllConnections(), graceMs);
      await closed;
      clearInterval(resting);
      clearTimeout(late);
    },
  };
}
