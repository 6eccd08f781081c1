/** The app's server: models, page and all. */
import type { AdapterInfo } from '../../devices/types.ts';
import { createApp } from '../serve/app.ts';
import { aboutToEnd } from '../serve/errors.ts';
import { createHost, type HostOptions } from '../serve/host.ts';
import { listen } from '../serve/listen.ts';
import { createMeter } from '../serve/metrics.ts';
import { ownVersion } from '../serve/version.ts';
import { type Conversations, openConversations } from './conversations.ts';
import { createKeys } from './keys.ts';
import { createPulls, type Pulls } from './pulls.ts';
import { desktopRoutes, PAGE_PATHS } from './routes.ts';
import { openSettings, type SettingsFile } from './settings.ts';

export interface DesktopOptions extends HostOptions {
  adapter(): Promise<AdapterInfo>;
  readonly showKeyboard?: (() => void) | undefined;
  /** Shows the app's window; called when it is started once more. */
  onRaise(address: string): void;
  /** Port; default any. */
  readonly port?: number | undefined;
  /** Tests bring their own. */
  readonly conversations?: Conversations | undefined;
  readonly settings?: SettingsFile | undefined;
  readonly pulls?: Pulls | undefined;
  readonly root?: string | undefined;
}

export interface Desktop {
  readonly url: string;
  readonly key: string;
  /** An address for a window, good for one use within a minute. */
  newAddress(): string;
  /** Pages that are open. */
  readonly pages: number;
  stop(): Promise<void>;
}

export async function startDesktop(options: DesktopOptions): Promise<Desktop> {
  const host = createHost(options);
  const keys = createKeys();
  const running = new Set<AbortController>();
  const pulls = options.pulls ?? createPulls();
  const version = ownVersion();
  let pages = 0;
  let url = '';
  const newAddress = () => `${url}/#ticket=${keys.newTicket()}`;
  const service = {
    host,
    meter: createMeter(),
    version,
    fingerprint: `firstlight-${version}`,
    running,
    // requests are the page's own: only what goes wrong is of interest
    note: (line: string) => {
      if (/ 500 |\n/.test(line)) options.note(line);
    },
  };
  const app = createApp(service, {
    keys: [keys.key],
    openPaths: new Set([...PAGE_PATHS, '/app/key']),
    routes: (routes) =>
      desktopRoutes(routes, service, {
        conversations: options.conversations ?? openConversations(),
        settings: options.settings ?? openSettings(),
        pulls,
        keys,
        adapter: options.adapter,
        load: { ...options.load, slots: options.parallel },
        showKeyboard: options.showKeyboard,
        onPage(open) {
          pages += open ? 1 : -1;
        },
        onRaise: () => options.onRaise(newAddress()),
        root: options.root,
      }),
  });
  const listening = await listen(app, '127.0.0.1', options.port ?? 0);
  url = `http://127.0.0.1:${listening.port}`;
  return {
    url,
    key: keys.key,
    newAddress,
    get pages() {
      return pages;
    },
    async stop() {
      pulls.close();
      for (const abort of running) abort.abort(aboutToEnd());
      await listening.close();
      await host.close();
    },
  };
}
