/** All routes behind the guards, and what is said when something goes wrong. */
import { Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { describeFailure, openaiError, RequestError } from './errors.ts';
import { createFactFinder } from './facts.ts';
import { checkHost, checkKey, checkOrigin, type GuardOptions, type Visitor } from './guard.ts';
import { ollamaError, ollamaRoutes } from './ollama.ts';
import { openaiRoutes } from './openai.ts';
import { MOST_BODY_BYTES, type Service } from './service.ts';

const HEALTH_STATUS = { ok: 200, loading: 503, recovering: 503, failed: 503, draining: 503 } as const;
const RETRY_SECONDS = 5;
/** Browsers need not ask again for so long. */
const PREFLIGHT_SECONDS = 600;

export interface AppOptions extends GuardOptions {
  /** Adds the routes of a program that has more of its own. */
  readonly routes?: ((app: Hono) => void) | undefined;
}

export function createApp(service: Service, options: AppOptions): Hono {
  const { host, meter } = service;
  const app = new Hono();
  app.use(async (c, next) => {
    const startMs = performance.now();
    await next();
    const { status } = c.res;
    meter.request(c.req.routePath === '/*' ? 'none' : c.req.routePath, status);
    if (c.req.path !== '/health' && c.req.path !== '/metrics')
      service.note(`${c.req.method} ${c.req.path} ${status} ${Math.round(performance.now() - startMs)} ms`);
  });
  app.use(async (c, next) => {
    const visitor: Visitor = { path: c.req.path, method: c.req.method, header: (name) => c.req.header(name) };
    checkHost(visitor, options);
    const origin = checkOrigin(visitor, options);
    if (origin !== undefined) {
      c.header('access-control-allow-origin', origin);
      c.header('vary', 'origin');
      if (c.req.method === 'OPTIONS') {
        // whatever its client sends: openai's own adds half a dozen headers
        c.header('access-control-allow-headers', c.req.header('access-control-request-headers') ?? '*');
        c.header('access-control-allow-methods', 'GET, POST');
        c.header('access-control-max-age', String(PREFLIGHT_SECONDS));
        return c.body(null, 204);
      }
    }
    checkKey(visitor, options);
    return next();
  });
  app.use(
    bodyLimit({
      maxSize: MOST_BODY_BYTES,
      onError() {
        throw new RequestError(413, 'body_too_large', `the body is larger than ${MOST_BODY_BYTES >> 20} MiB`);
      },
    }),
  );

  options.routes?.(app); // first: they may have a page of their own
  app.get('/', (c) => c.text('firstlight is running'));
  app.get('/health', async (c) => {
    const health = await host.health();
    if (health.status !== 'ok') c.header('retry-after', String(RETRY_SECONDS));
    return c.json(health, HEALTH_STATUS[health.status]);
  });
  app.get('/metrics', (c) => {
    c.header('content-type', 'text/plain; version=0.0.4; charset=utf-8');
    return c.body(meter.text(host));
  });
  openaiRoutes(app, service);
  ollamaRoutes(app, service, createFactFinder());

  app.notFound((c) => {
    const error = new RequestError(404, 'not_found', `there is nothing at ${c.req.method} ${c.req.path.slice(0, 100)}`);
    return c.json(shapeFor(c.req.path)(error), 404);
  });
  app.onError((error, c) => {
    const failure = describeFailure(error);
    if (failure.status === 500) service.note(`${c.req.method} ${c.req.path}: ${error.stack ?? error.message}`);
    if (failure.retryAfterSeconds !== undefined) c.header('retry-after', String(failure.retryAfterSeconds));
    return c.json(shapeFor(c.req.path)(failure), failure.status as 400);
  });
  return app;
}

/** How the API that a path belongs to tells of errors. */
function shapeFor(path: string): (failure: RequestError) => object {
  return path.startsWith('/api/') ? ollamaError : openaiError;
}
