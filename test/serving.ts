/** A server in the test's own process, on the adapter that tests run on. */
import type { Hono } from 'hono';
import { createApp } from '../bin/serve/app.ts';
import type { GuardOptions } from '../bin/serve/guard.ts';
import { createHost, type Host, type HostOptions } from '../bin/serve/host.ts';
import { type Listening, listen } from '../bin/serve/listen.ts';
import type { KnownModel } from '../bin/serve/load.ts';
import { createMeter } from '../bin/serve/metrics.ts';
import { openDevice } from '../devices/open.ts';
import type { Device } from '../devices/types.ts';
import { openChatModel } from './chat-model.ts';
import { testAdapter } from './device.ts';

export interface Serving {
  readonly url: string;
  readonly host: Host;
  /** Of all devices that the host has opened. */
  readonly devices: readonly Device[];
  readonly log: readonly string[];
  stop(): Promise<void>;
}

export interface ServingOptions extends GuardOptions, Partial<HostOptions> {
  readonly names?: readonly string[] | undefined;
  readonly routes?: ((app: Hono) => void) | undefined;
}

/** Two chat models, `alpha` and `beta`, and `plain`, which has no chat template. */
export function testModels(): KnownModel[] {
  const model = (name: string, options: Parameters<typeof openChatModel>[0]): KnownModel => {
    return { name, bytes: 1000, modifiedMs: Date.UTC(2026, 0, 1), open: () => openChatModel(options) };
  };
  return [model('alpha', { seed: 1 }), model('beta', { seed: 2 }), model('plain', { seed: 3, chat: false })];
}

export async function startServing(options: ServingOptions = {}): Promise<Serving> {
  const models = testModels();
  const devices: Device[] = [];
  const log: string[] = [];
  const note = (line: string) => log.push(line);
  const host = createHost({
    models: async () => models,
    parallel: 4,
    queue: 64,
    maxLoaded: 1,
    keepAliveMs: Number.POSITIVE_INFINITY,
    device: { adapter: testAdapter, validate: true },
    load: { context: 512 },
    tuning: async () => ({}),
    note,
    async openDevice(deviceOptions) {
      const device = await openDevice(deviceOptions);
      devices.push(device);
      return device;
    },
    ...options,
  });
  const running = new Set<AbortController>();
  const service = { host, meter: createMeter(), version: '0.0.0', fingerprint: 'test', running, note };
  const app = createApp(service, options);
  const listening: Listening = await listen(app, '127.0.0.1', 0);
  return {
    url: `http://127.0.0.1:${listening.port}`,
    host,
    devices,
    log,
    async stop() {
      for (const abort of running) abort.abort(new Error('the test ends'));
      await listening.close();
      await host.close();
    },
  };
}
