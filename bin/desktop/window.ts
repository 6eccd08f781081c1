/** The app's window: WebKitGTK by GJS where both are there, else a browser of Chromium's family, else the default browser. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FirstlightError } from '../../quant/errors.ts';
import { dataFolder } from './files.ts';
import { childEnvironment } from './steam.ts';

export const WINDOW_KINDS = ['auto', 'webkit', 'browser', 'default', 'none'] as const;
export type WindowKind = (typeof WINDOW_KINDS)[number];

export interface AppWindow {
  readonly kind: Exclude<WindowKind, 'auto'>;
  /** Resolves when it is closed; undefined where nothing tells. */
  readonly closed: Promise<void> | undefined;
  close(): void;
}

/** Browsers that can show a page without their own controls. */
const BROWSERS = [
  'chromium',
  'chromium-browser',
  'google-chrome-stable',
  'google-chrome',
  'brave-browser',
  'brave',
  'microsoft-edge',
  'vivaldi-stable',
];
const FLATPAKS = ['org.chromium.Chromium', 'com.google.Chrome', 'com.brave.Browser', 'com.microsoft.Edge'];
/** A window that is still there after this is one. */
const SETTLED_MS = 2500;

/** Opens the page. Throws `bad-argument` when the kind that was asked for is not there. */
export async function openWindow(url: string, kind: WindowKind): Promise<AppWindow> {
  if (kind === 'none') return { kind, closed: undefined, close() {} };
  const ways: Readonly<Record<'webkit' | 'browser' | 'default', () => Promise<AppWindow | undefined>>> = {
    webkit: () => openWebKit(url),
    browser: () => openBrowser(url),
    default: () => openDefault(url),
  };
  for (const way of kind === 'auto' ? (['webkit', 'browser', 'default'] as const) : [kind]) {
    const window = await ways[way]();
    if (window) return window;
  }
  throw new FirstlightError(
    'bad-argument',
    kind === 'auto'
      ? 'there is nothing to show the app with: install a browser, or GJS with WebKitGTK'
      : `there is no window of the kind ${kind} here: leave --window out, or install what it needs`,
  );
}

function run(command: string, args: readonly string[], more: Record<string, string> = {}): ChildProcess {
  return spawn(command, args, { env: { ...childEnvironment(), ...more }, stdio: 'ignore' });
}

/** The child as a window, unless it ends at once with an error. */
async function settle(child: ChildProcess, kind: AppWindow['kind']): Promise<AppWindow | undefined> {
  const ended = new Promise<number | null>((resolve) => {
    child.on('error', () => resolve(1));
    child.on('exit', (code) => resolve(code));
  });
  let timer: NodeJS.Timeout | undefined;
  const settled = new Promise<'there'>((resolve) => {
    timer = setTimeout(resolve, SETTLED_MS, 'there');
  });
  const first = await Promise.race([ended, settled]).finally(() => clearTimeout(timer));
  if (first !== 'there' && first !== 0) return undefined;
  return { kind, closed: ended.then(() => {}), close: () => child.kill() };
}

async function openWebKit(url: string): Promise<AppWindow | undefined> {
  const gjs = which('gjs');
  if (!gjs) return undefined;
  const script = fileURLToPath(new URL('bin/desktop/window.js', import.meta.resolve('firstlight/package.json')));
  // the newer renderer shows white windows on some drivers, Steam Decks among them
  const quirks = { WEBKIT_DISABLE_DMABUF_RENDERER: '1' };
  const found = spawnSync(gjs, ['-m', script, '--check'], {
    env: { ...childEnvironment(), ...quirks },
    timeout: 10_000,
  });
  if (found.status !== 0) return undefined;
  return settle(run(gjs, ['-m', script, url], quirks), 'webkit');
}

async function openBrowser(url: string): Promise<AppWindow | undefined> {
  const args = [
    `--app=${url}`,
    `--user-data-dir=${join(dataFolder(), 'browser')}`,
    '--class=firstlight',
    '--window-size=1280,800',
    '--no-first-run',
    '--no-default-browser-check',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []), // Chromium's sandbox refuses root
  ];
  for (const name of BROWSERS) {
    const path = which(name);
    const window = path && (await settle(run(path, args), 'browser'));
    if (window) return window;
  }
  const flatpak = which('flatpak');
  for (const name of flatpak ? FLATPAKS : []) {
    if (spawnSync(flatpak!, ['info', name], { stdio: 'ignore', timeout: 5000 }).status !== 0) continue;
    const window = await settle(run(flatpak!, ['run', name, ...args]), 'browser');
    if (window) return window;
  }
  return undefined;
}

async function openDefault(url: string): Promise<AppWindow | undefined> {
  const opener = which('xdg-open');
  if (!opener) return undefined;
  const opened = await settle(run(opener, [url]), 'default');
  return opened && { kind: 'default', closed: undefined, close() {} };
}

/** Where a program is. */
function which(name: string): string | undefined {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // not here
    }
  }
  return undefined;
}
