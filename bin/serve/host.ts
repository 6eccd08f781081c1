/**
 * The models that a server has: which are loaded, for whom, and for how long. One model after another takes the place of those
 * that nobody uses; a lost GPU is opened anew and its models are loaded again.
 */
import type { Device, DeviceOptions, Purpose } from '../../devices/types.ts';
import { type Batch, createBatch } from '../../engine/batch.ts';
import type { Estimate } from '../../engine/estimate.ts';
import { type LoadOptions, loadModel, type Model } from '../../engine/model.ts';
import type { Tuning } from '../../engine/variants.ts';
import type { Checkpoint } from '../../loaders/types.ts';
import { FirstlightError } from '../../quant/errors.ts';
import { createGpu } from './gpu.ts';

/** A model by the name that clients use. */
export interface KnownModel {
  readonly name: string;
  /** In bytes, of its files. */
  readonly bytes: number | undefined;
  readonly modifiedMs: number;
  open(): Promise<Checkpoint>;
}

export interface HostOptions {
  /** What there is, at the time of asking: models may come and go. */
  models(): Promise<readonly KnownModel[]>;
  /** Sequences at once in each model. */
  readonly parallel: number;
  /** Requests that may wait, in each model. */
  readonly queue: number;
  /** Models in memory at once. */
  readonly maxLoaded: number;
  /** How long a model stays after its last use; Infinity: until its place is needed. */
  readonly keepAliveMs: number;
  readonly device: DeviceOptions;
  readonly load: LoadOptions;
  /** As in RunnerOptions. */
  readonly fastBatch?: boolean | undefined;
  tuning(model: Model): Promise<Tuning>;
  /** One line for the log. */
  note(line: string): void;
  /** Opens devices; tests bring their own. Default openDevice. */
  readonly openDevice?: ((options: DeviceOptions) => Promise<Device>) | undefined;
}

/** A loaded model. */
export interface Loaded {
  readonly name: string;
  readonly model: Model;
  readonly batch: Batch;
  readonly loadedMs: number;
  readonly loadMs: number;
}

/** The use of a loaded model; it stays until all have given theirs back. */
export interface Lease extends Loaded {
  /** Another one of the same model, which need not wait for anything. */
  share(): Lease;
  /** With how long the model is to stay from now on, unless somebody says otherwise. */
  release(keepAliveMs?: number): void;
}

export interface Resident extends Loaded {
  /** When it will leave, by Date.now(); undefined: not by itself. */
  readonly expiresMs: number | undefined;
  readonly leases: number;
}

/** Whether a token can be made. */
export interface Health {
  readonly status: 'ok' | 'loading' | 'recovering' | 'failed' | 'draining';
  readonly reason?: string | undefined;
}

export interface LoadProgress {
  readonly name: string;
  readonly plan: Estimate | undefined;
  readonly doneBytes: number;
  readonly totalBytes: number;
}

export interface Host {
  known(): Promise<readonly KnownModel[]>;
  resident(): readonly Resident[];
  /** The load that is under way. */
  readonly loading: LoadProgress | undefined;
  readonly deviceLosses: number;
  readonly device: Device | undefined;
  /** Bytes on the device. */
  memory(): Readonly<Partial<Record<Purpose, number>>>;
  /**
   * A model, loaded if it is not. An empty name means the one that is loaded, or the first. Throws `unknown-model`, whatever a
   * load throws, and `device-lost` while the GPU cannot be had back.
   */
  lease(name: string, signal?: AbortSignal): Promise<Lease>;
  /** Unloads a model when its last use ends. */
  unload(name: string): Promise<void>;
  /** Tells the host that a model's GPU does not answer: it is opened anew. */
  suspect(lease: Loaded, error: unknown): void;
  /** Whether tokens could be made, as far as is known. */
  readonly status: Health;
  /** The same once a token has been made, if none has lately. */
  health(): Promise<Health>;
  /** Takes no more leases; resolves when the last one is given back. */
  drain(): Promise<void>;
  close(): Promise<void>;
}

interface Entry extends Loaded {
  readonly known: KnownModel;
  readonly checkpoint: Checkpoint;
  leases: number;
  keepAliveMs: number;
  expiresMs: number | undefined;
  timer: NodeJS.Timeout | undefined;
  /** Called when the last lease is given back. */
  idle: () => void;
  /** Tokens at the last look, and when that number was new. */
  seenTokens: number;
  seenMs: number;
}

/** A token so old still shows that tokens can be made. */
const FRESH_MS = 10_000;
const PROBE_LIMIT_MS = 15_000;

export function createHost(options: HostOptions): Host {
  const entries = new Map<string, Entry>();
  let turn: Promise<unknown> = Promise.resolve(); // loads and unloads go one after another
  let waiting = 0;
  let loading: LoadProgress | undefined;
  let wanted: string[] = []; // models to load again after a loss
  let draining: (() => void) | undefined;
  let closed = false;
  let allLeases = 0;
  let started = false;
  let lastReason = '';
  const gpu = createGpu({
    device: options.device,
    open: options.openDevice,
    hasWorked: () => [...entries.values()].some(({ batch }) => batch.status.tokens > 0),
    onLost,
  });

  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    waiting++;
    const result = turn.then(work).finally(() => waiting--);
    turn = result.catch(() => {});
    return result;
  }

  async function find(name: string): Promise<KnownModel> {
    const models = await options.models();
    const bare = name.replace(/:latest$/, '');
    const found =
      name === ''
        ? (models.find((model) => entries.has(model.name)) ?? models[0])
        : models.find((model) => model.name === name || model.name === bare);
    if (found) return found;
    const names = models.map((model) => model.name).join(', ');
    throw new FirstlightError('unknown-model', `there is no model ${JSON.stringify(name)}: ask for one of ${names}`);
  }

  /** The GPU is gone, and with it all that was loaded; what was in use is loaded again. */
  function onLost(reason: string, retryMs: number): void {
    lastReason = reason;
    wanted = [...entries.keys()];
    options.note(`the GPU was lost (${reason}): it is opened again and ${wanted.join(', ') || 'nothing'} loaded`);
    const error = new FirstlightError('device-lost', `the GPU was lost (${reason})`);
    for (const entry of [...entries.values()]) void forget(entry, error);
    if (retryMs === 0) void recover();
    else setTimeout(() => void recover(), retryMs).unref();
  }

  async function recover(): Promise<void> {
    for (const name of [...wanted]) {
      try {
        await inTurn(async () => {
          if (!entries.has(name) && !closed) await load(await find(name));
        });
      } catch (error) {
        options.note(`${name} could not be loaded again: ${(error as Error).message}`);
      }
    }
    wanted = [];
  }

  /** Takes an entry out and gives back what it holds. */
  async function forget(entry: Entry, reason?: Error): Promise<void> {
    if (entries.get(entry.name) === entry) entries.delete(entry.name);
    clearTimeout(entry.timer);
    // what a lost device held cannot be given back
    await entry.batch.close(reason).catch(() => {});
    await entry.model.close().catch(() => {});
    await entry.checkpoint.close().catch(() => {});
  }

  async function load(known: KnownModel): Promise<Entry> {
    const startMs = performance.now();
    loading = { name: known.name, plan: undefined, doneBytes: 0, totalBytes: 0 };
    try {
      // by its name in all messages: clients need not know where it is
      const checkpoint: Checkpoint = { ...(await known.open()), path: known.name };
      try {
        const model = await loadModel(await gpu.get(), checkpoint, {
          ...options.load,
          slots: options.parallel,
          onPlan: (plan) => {
            loading = { name: known.name, plan, doneBytes: 0, totalBytes: plan.bytes.weights };
          },
          onProgress: (doneBytes, totalBytes) => {
            loading = { name: known.name, plan: loading?.plan, doneBytes, totalBytes };
          },
        });
        try {
          const batch = await createBatch(model, {
            slots: options.parallel,
            queue: options.queue,
            fastBatch: options.fastBatch,
            tuning: await options.tuning(model),
          });
          const entry: Entry = {
            name: known.name,
            known,
            checkpoint,
            model,
            batch,
            loadedMs: Date.now(),
            loadMs: performance.now() - startMs,
            leases: 0,
            keepAliveMs: options.keepAliveMs,
            expiresMs: undefined,
            timer: undefined,
            idle: () => {},
            seenTokens: 0,
            seenMs: 0,
          };
          entries.set(known.name, entry);
          started = true;
          scheduleExpiry(entry);
          options.note(describeLoad(entry));
          return entry;
        } catch (error) {
          await model.close().catch(() => {});
          throw error;
        }
      } catch (error) {
        await checkpoint.close();
        throw error;
      }
    } finally {
      loading = undefined;
    }
  }

  /** Loads into the place of models that nobody uses, if there is no other. */
  async function loadInPlace(known: KnownModel, signal: AbortSignal | undefined): Promise<Entry> {
    while (entries.size >= options.maxLoaded) await evict(signal);
    for (;;) {
      try {
        return await load(known);
      } catch (error) {
        const crowded = error instanceof FirstlightError && error.code === 'not-enough-memory' && entries.size > 0;
        if (!crowded) throw error;
        await evict(signal);
      }
    }
  }

  /** Unloads the model that was used least recently, when its last use has ended. */
  async function evict(signal: AbortSignal | undefined): Promise<void> {
    const [victim] = [...entries.values()].sort((a, b) => a.leases - b.leases || a.seenMs - b.seenMs);
    if (!victim) return;
    await whenIdle(victim, signal);
    if (entries.get(victim.name) !== victim) return;
    await forget(victim);
    options.note(`${victim.name} makes room`);
  }

  function whenIdle(entry: Entry, signal: AbortSignal | undefined): Promise<void> {
    if (entry.leases === 0) return Promise.resolve();
    return new Promise((resolve, reject) => {
      entry.idle = resolve;
      signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
    });
  }

  function scheduleExpiry(entry: Entry): void {
    clearTimeout(entry.timer);
    entry.expiresMs = undefined;
    if (entry.leases > 0 || entry.keepAliveMs === Number.POSITIVE_INFINITY) return;
    entry.expiresMs = Date.now() + entry.keepAliveMs;
    entry.timer = setTimeout(
      () => {
        void inTurn(async () => {
          if (entry.leases > 0 || entries.get(entry.name) !== entry || Date.now() < (entry.expiresMs ?? 0) - 5) return;
          await forget(entry);
          options.note(`${entry.name} was not used any more and is unloaded`);
        });
      },
      Math.min(entry.keepAliveMs, 2 ** 31 - 1),
    );
    entry.timer.unref();
  }

  function take(entry: Entry): Lease {
    entry.leases++;
    allLeases++;
    clearTimeout(entry.timer);
    entry.expiresMs = undefined;
    let released = false;
    const { name, model, batch, loadedMs, loadMs } = entry;
    return {
      name,
      model,
      batch,
      loadedMs,
      loadMs,
      share: () => take(entry),
      release(keepAliveMs) {
        if (released) return;
        released = true;
        entry.leases--;
        allLeases--;
        entry.seenMs = Date.now();
        if (keepAliveMs !== undefined) entry.keepAliveMs = keepAliveMs;
        if (entry.leases === 0) entry.idle();
        scheduleExpiry(entry);
        if (allLeases === 0) draining?.();
      },
    };
  }

  function status(): Health {
    if (draining) return { status: 'draining', reason: 'running answers are being finished' };
    const { trouble } = gpu;
    if (trouble) return { status: 'failed', reason: trouble.message };
    if (wanted.length > 0) return { status: 'recovering', reason: `the GPU was lost (${lastReason})` };
    if (loading && entries.size === 0) return { status: 'loading', reason: `${loading.name} is being loaded` };
    if (entries.size === 0 && !started) return { status: 'loading', reason: 'no model has been loaded yet' };
    return { status: 'ok' };
  }

  /** Makes one token, with a limit. */
  async function probe(entry: Entry): Promise<void> {
    const { batch, model } = entry;
    const signal = AbortSignal.timeout(PROBE_LIMIT_MS);
    const ids = [model.tokenizer?.bos ?? model.tokenizer?.eos[0] ?? 0];
    for await (const _ of batch.tokens(ids, { temperature: 0, maxTokens: 1, signal, client: 'health' }));
  }

  return {
    known: () => options.models(),
    resident: () =>
      [...entries.values()].map(({ name, model, batch, loadedMs, loadMs, expiresMs, leases }) => {
        return { name, model, batch, loadedMs, loadMs, expiresMs, leases };
      }),
    get loading() {
      return loading;
    },
    get deviceLosses() {
      return gpu.losses;
    },
    get device() {
      return gpu.opened;
    },
    memory: () => gpu.opened?.memory() ?? {},
    async lease(name, signal) {
      if (draining || closed) throw new FirstlightError('device-lost', 'the server is about to end');
      const known = await find(name);
      const present = entries.get(known.name);
      if (present && waiting === 0) return take(present);
      return inTurn(async () => {
        signal?.throwIfAborted();
        return take(entries.get(known.name) ?? (await loadInPlace(known, signal)));
      });
    },
    async unload(name) {
      const known = await find(name);
      await inTurn(async () => {
        const entry = entries.get(known.name);
        if (!entry) return;
        await whenIdle(entry, undefined);
        await forget(entry);
        options.note(`${entry.name} is unloaded`);
      });
    },
    suspect(loaded, error) {
      if (!(error instanceof FirstlightError) || error.code !== 'device-timeout') return;
      gpu.giveUp(loaded.model.device);
    },
    get status() {
      return status();
    },
    async health() {
      const known = status();
      if (known.status !== 'ok') return known;
      for (const entry of entries.values()) {
        const { tokens } = entry.batch.status;
        if (tokens > entry.seenTokens) {
          entry.seenTokens = tokens;
          entry.seenMs = Date.now();
        }
        if (Date.now() - entry.seenMs < FRESH_MS) continue;
        try {
          await probe(entry);
        } catch (error) {
          return { status: 'failed', reason: `${entry.name} makes no tokens: ${(error as Error).message}` };
        }
      }
      return { status: 'ok' };
    },
    drain() {
      return new Promise((resolve) => {
        draining = resolve;
        if (allLeases === 0) resolve();
      });
    },
    async close() {
      closed = true;
      for (const entry of [...entries.values()]) await forget(entry);
      gpu.close();
    },
  };
}

function describeLoad({ name, model, batch, loadMs }: Loaded): string {
  const { weights, kv } = model.memory();
  const mib = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`;
  return (
    `${name} on ${model.device.traits.name}: ${batch.slots} at once, context ${batch.context} each, ` +
    `weights ${mib(weights)} (${model.weightsOption}), KV ${mib(kv)}, loaded in ${(loadMs / 1000).toFixed(1)} s`
  );
}
