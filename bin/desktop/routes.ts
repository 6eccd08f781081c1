/** The app's page and what only it needs: conversations, models and their fit, downloads, the state of things as it changes. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Hono } from 'hono';
import * as v from 'valibot';
import type { AdapterInfo } from '../../devices/types.ts';
import type { LoadOptions } from '../../engine/model.ts';
import { removeModel, storeFolder } from '../../loaders/hub/store.ts';
import { RequestError } from '../serve/errors.ts';
import type { Host } from '../serve/host.ts';
import { parseBody } from '../serve/requests.ts';
import { readJson, requestAbort, type Service } from '../serve/service.ts';
import { eventStream, streamBody } from '../serve/stream.ts';
import type { Conversations } from './conversations.ts';
import type { Keys } from './keys.ts';
import { machineMemory, modelFit, readWatts } from './machine.ts';
import type { Pulls } from './pulls.ts';
import type { SettingsFile } from './settings.ts';

export interface DesktopParts {
  readonly conversations: Conversations;
  readonly pulls: Pulls;
  readonly settings: SettingsFile;
  /** The GPU that models will be loaded on. */
  adapter(): Promise<AdapterInfo>;
  /** How models will be loaded. */
  readonly load: LoadOptions;
  /** Shows the keyboard of the system, where there is one to show; undefined elsewhere. */
  readonly showKeyboard?: (() => void) | undefined;
  readonly keys: Keys;
  /** Shows the window once more. */
  onRaise(): void;
  /** Called when a page begins to listen and when it ends. */
  onPage(open: boolean): void;
  /** Where /proc and /sys are. Default `/`. */
  readonly root?: string | undefined;
}

const PAGE = new URL('bin/desktop/page/', import.meta.resolve('firstlight/package.json'));
const TYPES: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  svg: 'image/svg+xml',
};

/** Files of the page by the path that they are served at. */
const FILES: ReadonlyMap<string, URL> = new Map([
  ['/', new URL('index.html', PAGE)],
  ...[
    'app.css',
    'icon.svg',
    'main.js',
    'answers.js',
    'api.js',
    'branches.js',
    'chat.js',
    'dialogs.js',
    'elements.js',
    'machine.js',
    'markdown.js',
    'models.js',
    'navigation.js',
    'settings.js',
    'sidebar.js',
    'state.js',
  ].map((name) => [`/${name}`, new URL(name, PAGE)] as const),
  ['/marked.js', new URL('./lib/marked.esm.js', import.meta.resolve('marked/package.json'))],
]);

/** Paths that need no key: the page itself has nothing that is secret. */
export const PAGE_PATHS: ReadonlySet<string> = new Set(FILES.keys());

const EVENT_MS = 500;
/** Reading sensors and pools is not free: every so many events. */
const SENSOR_EVENTS = 2;

const Ticket = v.object({ ticket: v.string() });
const ModelName = v.object({ name: v.pipe(v.string(), v.minLength(1), v.maxLength(256)) });

export function desktopRoutes(app: Hono, service: Service, parts: DesktopParts): void {
  const { host } = service;
  const { conversations, pulls, settings } = parts;
  servePage(app);

  app.post('/app/key', async (c) => {
    const key = parts.keys.redeem(parseBody(Ticket, await readJson(c)).ticket);
    if (key === undefined) throw new RequestError(401, 'invalid_api_key', 'the address has been used, or is too old');
    return c.json({ key });
  });
  app.post('/app/raise', (c) => {
    parts.onRaise();
    return c.json({});
  });

  app.get('/app/events', (c) => {
    const abort = requestAbort(c, service);
    async function* states(): AsyncGenerator<object, void, void> {
      parts.onPage(true);
      try {
        let watts: number | undefined;
        for (let turn = 0; !abort.signal.aborted; turn++) {
          const { device } = host;
          if (turn % SENSOR_EVENTS === 0) watts = device && (await readWatts(device.traits, parts.root));
          yield { ...stateOf(host, pulls), watts: watts ?? null };
          await sleep(EVENT_MS, undefined, { signal: abort.signal }).catch(() => {});
        }
      } finally {
        parts.onPage(false);
      }
    }
    c.header('content-type', 'text/event-stream');
    c.header('cache-control', 'no-store');
    return c.body(
      streamBody(
        eventStream(states(), () => ({})),
        { abort },
      ),
    );
  });

  app.get('/app/machine', async (c) => c.json(await machineMemory(await parts.adapter(), parts.root)));
  app.get('/app/about', (c) =>
    c.json({
      version: service.version,
      keyboard: parts.showKeyboard !== undefined,
      context: parts.load.context ?? null,
    }),
  );
  app.post('/app/keyboard', (c) => {
    parts.showKeyboard?.();
    return c.json({});
  });

  app.get('/app/models', async (c) => {
    const adapter = await parts.adapter();
    const ownBytes = Object.values(host.memory()).reduce((sum, bytes) => sum + bytes, 0);
    const models = [];
    // one after another: each reads a header
    for (const model of await host.known()) {
      const fit = await modelFit(model, adapter, parts.load, { ownBytes, root: parts.root });
      models.push({ name: model.name, bytes: model.bytes ?? null, removable: model.name.includes('/'), fit });
    }
    return c.json({ models });
  });
  app.post('/app/models/load', async (c) => {
    const { name } = parseBody(ModelName, await readJson(c));
    (await host.lease(name, requestAbort(c, service).signal)).release();
    return c.json({});
  });
  app.post('/app/models/unload', async (c) => {
    await host.unload(parseBody(ModelName, await readJson(c)).name);
    return c.json({});
  });
  app.post('/app/models/remove', async (c) => {
    const { name } = parseBody(ModelName, await readJson(c));
    if (host.resident().some((resident) => resident.name === name)) await host.unload(name);
    if ((await removeModel(storeFolder(), name)) === undefined)
      throw new RequestError(404, 'not_found', 'only models that were pulled can be removed here');
    return c.json({});
  });
  app.post('/app/pulls', async (c) => {
    pulls.start(parseBody(ModelName, await readJson(c)).name.trim());
    return c.json({});
  });
  app.post('/app/pulls/stop', async (c) => {
    pulls.stop(parseBody(ModelName, await readJson(c)).name);
    return c.json({});
  });

  app.get('/app/settings', async (c) => c.json(await settings.read()));
  app.put('/app/settings', async (c) => {
    await settings.write(await readJson(c));
    return c.json({});
  });

  app.get('/app/conversations', async (c) => c.json({ conversations: await conversations.list() }));
  app.get('/app/conversations/:id', async (c) => c.json(await conversations.read(c.req.param('id'))));
  app.put('/app/conversations/:id', async (c) => {
    await conversations.write(c.req.param('id'), await readJson(c));
    return c.json({});
  });
  app.delete('/app/conversations/:id', async (c) => {
    await conversations.remove(c.req.param('id'));
    return c.json({});
  });
}

/** What the page shows of the machine and the models, as it is now. */
function stateOf(host: Host, pulls: Pulls): object {
  const { status, reason = null } = host.status;
  const { loading, deviceLosses } = host;
  const residents = host.resident();
  return {
    status,
    reason,
    deviceLosses,
    loading: loading ? { name: loading.name, doneBytes: loading.doneBytes, totalBytes: loading.totalBytes } : null,
    models: residents.map(({ name, batch, leases }) => ({ name, context: batch.context, slots: batch.slots, leases })),
    memory: host.memory(),
    tokens: residents.reduce((sum, { batch }) => sum + batch.status.tokens, 0),
    running: residents.reduce((sum, { batch }) => sum + batch.status.running, 0),
    queued: residents.reduce((sum, { batch }) => sum + batch.status.queued, 0),
    pulls: pulls.list(),
  };
}

/** Static files, with a policy under which the page can reach nothing but this server. */
function servePage(app: Hono): void {
  for (const [path, file] of FILES) {
    const text = readFileSync(file, 'utf8');
    const type = TYPES[file.pathname.split('.').at(-1) ?? ''] ?? 'text/plain';
    const policy = path === '/' ? pagePolicy(text) : undefined;
    app.get(path, (c) => {
      c.header('content-type', type);
      c.header('cache-control', 'no-store');
      c.header('x-content-type-options', 'nosniff');
      c.header('referrer-policy', 'no-referrer');
      if (policy) c.header('content-security-policy', policy);
      return c.body(text);
    });
  }
}

function pagePolicy(html: string): string {
  const inline = [...html.matchAll(/<script type="importmap">([\s\S]*?)<\/script>/g)].map(
    ([, code = '']) => `'sha256-${createHash('sha256').update(code).digest('base64')}'`,
  );
  return [
    "default-src 'none'",
    ["script-src 'self'", ...inline].join(' '),
    "style-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
}
