/** `firstlight desktop`: the app in a window of its own. */
import { findAdapter } from '../devices/open.ts';
import { BUILTIN } from '../loaders/named.ts';
import { defineCommand, UsageError } from './arguments.ts';
import { install, uninstall } from './desktop/install.ts';
import { announce, raiseRunning } from './desktop/instance.ts';
import { startDesktop } from './desktop/start.ts';
import { steamKeyboard } from './desktop/steam.ts';
import { openWindow, WINDOW_KINDS } from './desktop/window.ts';
import { loadOptions, MODEL_FLAGS, tuningMode, wantedAdapter } from './model-flags.ts';
import { note, print } from './output.ts';
import { keepAliveOfFlag } from './serve/keep-alive.ts';
import { modelsOf, pulledModels } from './serve/models.ts';
import { tuningFor } from './tuning.ts';

/** Games want the memory back. */
const KEEP_ALIVE = '10m';
/** A browser that tells nothing has closed the page when none is open for so long. */
const NO_PAGE_MS = 30_000;
const POLL_MS = 500;
const SHOWN = 'firstlight: the app is running already: its window is shown';

export const desktop = defineCommand({
  operands: ['[MODEL...]'],
  about: [
    'Opens the app: conversations with models on this machine, in a window of its own by WebKitGTK and GJS where they are there, ' +
      'else by a browser. Nothing leaves this machine but the downloads that you ask for.',
    'Models that were pulled are there, the built-in one, and those that are named here. --install puts the app into the menu of ' +
      'the desktop, without root.',
  ],
  flags: {
    install: { kind: 'switch', about: 'put a menu entry and an icon below ~/.local/share' },
    uninstall: { kind: 'switch', about: 'take them away' },
    window: { kind: 'choice', choices: WINDOW_KINDS, about: 'what shows it; none = print the address (default auto)' },
    port: { kind: 'number', whole: true, least: 0, most: 65535, about: 'port on 127.0.0.1 (default any that is free)' },
    'keep-alive': {
      kind: 'text',
      placeholder: 'TIME',
      about: `how long an unused model stays in memory (default ${KEEP_ALIVE})`,
    },
    ...MODEL_FLAGS,
  },
  async run(values, operands, signal) {
    if (values.install && values.uninstall) throw new UsageError('--install and --uninstall together');
    if (values.install) return print(`${(await install()).join('\n')}\n`);
    if (values.uninstall) return print(`${(await uninstall()).join('\n')}\n`);
    const keepAliveMs = keepAliveOfFlag(values['keep-alive'] ?? KEEP_ALIVE);
    const kind = values.window ?? 'auto';
    if (await raiseRunning()) return note(SHOWN);

    const models = await modelsOf([...operands, BUILTIN]);
    const adapter = wantedAdapter(values);
    const app = await startDesktop({
      models: async () => [...models, ...(await pulledModels())],
      parallel: 1,
      queue: 64,
      maxLoaded: 1,
      keepAliveMs,
      device: { adapter, onNotice: (line) => note(`firstlight: ${line}`) },
      load: loadOptions(values),
      tuning: (model) => tuningFor(model, tuningMode(values)),
      note: (line) => note(`firstlight: ${line}`),
      adapter: () => findAdapter(adapter),
      showKeyboard: steamKeyboard(),
      port: values.port,
      onRaise: (address) => {
        openWindow(address, kind).catch((error: Error) => note(`firstlight: ${error.message}`));
      },
    });
    const withdraw = await announce({ url: app.url, key: app.key });
    if (!withdraw) {
      await app.stop();
      return note(SHOWN);
    }
    const told = untilToldToEnd(signal);
    try {
      if (kind === 'none') print(`${app.newAddress()}\n`);
      const window = await openWindow(app.newAddress(), kind);
      const closed = window.closed ?? (kind === 'none' ? new Promise<never>(() => {}) : noPages(app));
      await Promise.race([closed, told]);
      window.close();
    } finally {
      withdraw();
      await app.stop();
    }
  },
});

/** Resolves when a page has been open and none is any more, for a while. */
async function noPages(app: { readonly pages: number }): Promise<void> {
  let lastMs = Number.POSITIVE_INFINITY;
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    if (app.pages > 0) lastMs = Date.now();
    if (Date.now() - lastMs > NO_PAGE_MS) return;
  }
}

function untilToldToEnd(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGTERM', () => resolve());
    process.once('SIGHUP', () => resolve());
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
