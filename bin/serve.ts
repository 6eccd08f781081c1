/** `firstlight serve`: models behind OpenAI's and Ollama's APIs. */
import { isIP } from 'node:net';
import { BUILTIN } from '../loaders/named.ts';
import { defineCommand } from './arguments.ts';
import { ABOUT_MODEL } from './model.ts';
import { loadOptions, MODEL_FLAGS, tuningMode, wantedAdapter } from './model-flags.ts';
import { note } from './output.ts';
import { createApp } from './serve/app.ts';
import { aboutToEnd } from './serve/errors.ts';
import { createHost } from './serve/host.ts';
import { keepAliveOfFlag } from './serve/keep-alive.ts';
import { listen } from './serve/listen.ts';
import { createMeter } from './serve/metrics.ts';
import { modelsOf, pulledModels } from './serve/models.ts';
import { ownVersion } from './serve/version.ts';
import { readTemplate, TEMPLATE_FLAG } from './template.ts';
import { tuningFor } from './tuning.ts';

const DEFAULT_PORT = 11435;
const DEFAULT_PARALLEL = 4;
const MOST_PARALLEL = 32;
const DEFAULT_QUEUE = 256;
/** For ever. */
const DEFAULT_KEEP_ALIVE = '-1';
/** Running answers may take so long when the server is told to end. */
const DEFAULT_DRAIN_SECONDS = 120;
/** For what has been made to reach the clients. */
const FLUSH_MS = 5000;

export const serve = defineCommand({
  operands: ['[MODEL...]'],
  about: [
    "Serves models by OpenAI's API (/v1/chat/completions, /v1/completions, /v1/embeddings, /v1/models, /v1/tokenize, " +
      "/v1/detokenize) and Ollama's (/api/chat, /api/generate, /api/embed, ...), with /health and /metrics beside them.",
    `${ABOUT_MODEL} NAME=MODEL gives it another name than that of its file. Models that were pulled are there as well.`,
    'Several requests at once share each pass over the weights. The first model is loaded at once, others when they are asked ' +
      'for. SIGTERM lets running answers come to their end.',
  ],
  flags: {
    host: {
      kind: 'text',
      placeholder: 'ADDRESS',
      about: 'address to listen on (default 127.0.0.1: this machine only)',
    },
    port: { kind: 'number', whole: true, least: 0, most: 65535, about: `port; 0 = any (default ${DEFAULT_PORT})` },
    parallel: {
      kind: 'number',
      whole: true,
      least: 1,
      most: MOST_PARALLEL,
      about: `answers at once, each with a context of its own (default ${DEFAULT_PARALLEL})`,
    },
    queue: {
      kind: 'number',
      whole: true,
      least: 0,
      most: 100_000,
      about: `requests that may wait (default ${DEFAULT_QUEUE})`,
    },
    'fast-batch': {
      kind: 'switch',
      about:
        'a dozen answers and more at once take the faster kernels of prompts, and may differ a little from what each would be alone',
    },
    'max-loaded': { kind: 'number', whole: true, least: 1, most: 64, about: 'models in memory at once (default 1)' },
    'keep-alive': {
      kind: 'text',
      placeholder: 'TIME',
      about: 'how long an unused model stays in memory, such as 5m; -1 = until its place is needed (default -1)',
    },
    'api-key': {
      kind: 'text',
      placeholder: 'KEY',
      about: 'requests must bring it; also FIRSTLIGHT_API_KEY; several by commas',
    },
    'allow-host': {
      kind: 'text',
      placeholder: 'NAMES',
      about: 'further names that the server goes by, separated by commas',
    },
    'allow-origin': {
      kind: 'text',
      placeholder: 'ORIGINS',
      about: 'web pages of other origins that may use it, separated by commas; * = all (default none)',
    },
    'drain-seconds': {
      kind: 'number',
      whole: true,
      least: 0,
      most: 86_400,
      about: `how long running answers may take once it is told to end (default ${DEFAULT_DRAIN_SECONDS})`,
    },
    template: {
      ...TEMPLATE_FLAG.template,
      about: `${TEMPLATE_FLAG.template.about}; holds for the models named here, not for those that were pulled`,
    },
    ...MODEL_FLAGS,
    quiet: { kind: 'switch', short: 'q', about: 'no line for each request' },
  },
  async run(values, operands, signal) {
    const template = await readTemplate(values.template);
    const models = await modelsOf(operands.length > 0 ? operands : [BUILTIN], template);
    const address = values.host ?? '127.0.0.1';
    const keys = list(values['api-key'] ?? process.env.FIRSTLIGHT_API_KEY);
    if (!isLoopback(address) && keys.length === 0)
      note(`firstlight: everybody who reaches ${address} may use this server: --api-key restricts it`);
    const host = createHost({
      models: async () => [...models, ...(await pulledModels())],
      parallel: values.parallel ?? DEFAULT_PARALLEL,
      queue: values.queue ?? DEFAULT_QUEUE,
      fastBatch: values['fast-batch'],
      maxLoaded: values['max-loaded'] ?? 1,
      keepAliveMs: keepAliveOfFlag(values['keep-alive'] ?? DEFAULT_KEEP_ALIVE),
      device: { adapter: wantedAdapter(values), onNotice: (line) => note(`firstlight: ${line}`) },
      load: loadOptions(values),
      tuning: (model) => tuningFor(model, tuningMode(values)),
      note: (line) => note(`firstlight: ${line}`),
    });
    const running = new Set<AbortController>();
    const version = ownVersion();
    const app = createApp(
      {
        host,
        meter: createMeter(),
        version,
        fingerprint: `firstlight-${version}`,
        running,
        note: values.quiet ? () => {} : (line) => note(line),
      },
      { keys, hosts: list(values['allow-host']), origins: list(values['allow-origin']) },
    );
    const listening = await listen(app, address, values.port ?? DEFAULT_PORT);
    note(`firstlight: listening on http://${isIP(address) === 6 ? `[${address}]` : address}:${listening.port}`);
    try {
      const ended = untilToldToEnd(signal);
      const first = await Promise.race([host.lease(''), ended]);
      if (first) first.release();
      await ended;
      const seconds = values['drain-seconds'] ?? DEFAULT_DRAIN_SECONDS;
      note('firstlight: finishing running answers');
      await Promise.race([host.drain(), pause(seconds * 1000)]);
      for (const abort of running) abort.abort(aboutToEnd());
    } finally {
      await listening.close(FLUSH_MS);
      await host.close();
    }
  },
});

function list(value: string | undefined): string[] {
  return (value ?? '')
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '');
}

function isLoopback(address: string): boolean {
  return address === 'localhost' || address === '::1' || /^127\./.test(address);
}

/** Resolves at the first SIGTERM or interruption. */
function untilToldToEnd(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    const end = () => resolve(undefined);
    process.once('SIGTERM', end);
    signal.addEventListener('abort', end, { once: true });
  });
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
}
