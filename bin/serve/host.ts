/**
 * The models that a server has: which are loaded, for whom, and for how long. One model after another takes the place of those
 * that nobody uses; a lost GPU is opened anew and its models are loaded again.
 */
import type { Device, DeviceOptions, Purpose } from '../../devices/types.ts';
import { FirstlightError } from '../../quant/errors.ts';
import { aboutToEnd } from './errors.ts';
import { createGpu } from './gpu.ts';
import {
  describeLoad,
  type Held,
  type KnownModel,
  type Loaded,
  type LoadProgress,
  loadKnown,
  type ServedOptions,
} from './load.ts';

export interface HostOptions extends ServedOptions {
  /** What there is, at the time of asking: models may come and go. */
  models(): Promise<readonly KnownModel[]>;
  /** Models in memory at once. */
  readonly maxLoaded: number;
  /** How long a model stays after its last use; Infinity: until its place is needed. */
  readonly keepAliveMs: number;
  readonly device: DeviceOptions;
  /** One line for the log. */
  note(line: string): void;
  /** Until what could not be loaded after a loss is tried again. Default ten seconds. */
  readonly recoverMs?: number | undefined;
  /** Opens devices; tests bring their own. Default openDevice. */
  readonly openDevice?: ((options: DeviceOptions) => Promise<Device>) | undefined;
}

/** The use of a loaded model; it stays until all have given theirs back. */
export interface Lease extends Loaded {
  /** Another one of the same model, which need not wait for anything. */
  share(): Lease;
  /** Gives it back for another one of the same model, after its GPU was lost; also once the server is about to end. */
  renew(signal: AbortSignal): Promise<Lease>;
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

export interface Host {
  known(): Promise<readonly KnownModel[]>;
  /** One of them by its name; an empty name means the one that is loaded, or the first. Throws `unknown-model`. */
  find(name: string): Promise<KnownModel>;
  resident(): readonly Resident[];
  /** The load that is under way. */
  readonly loading: LoadProgress | undefined;
  readonly deviceLosses: number;
  readonly device: Device | undefined;
  /** Bytes on the device. */
  memory(): Readonly<Partial<Record<Purpose, number>>>;
  /**
   * A model by its name as in `find`, loaded if it is not. Throws what `find` and a load throw, `device-lost` while the GPU cannot
   * be had back, and RequestError once the server is about to end.
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

interface Entry extends Held {
  leases: number;
  keepAliveMs: number;
  expiresMs: number | undefined;
  timer: NodeJS.Timeout | undefined;
  /** Called when the last lease is given back. */
  idle: () => void;
  /** When the last lease was given back, by Date.now(). */
  usedMs: number;
}

/** A pass so old still shows that tokens can be made. */
const FRESH_MS = 10_000;
const PROBE_LIMIT_MS = 15_000;
const RECOVER_MS = 10_000;
/** What may pass: a driver that is being reset, memory that others have. */
const GPU_TROUBLE: ReadonlySet<string> = new Set(['device-lost', 'device-timeout', 'no-adapter', 'not-enough-memory']);

export function createHost(options: HostOptions): Host {
  const entries = new Map<string, Entry>();
  let turn: Promise<unknown> = Promise.resolve(); // loads and unloads go one after another
  let leaving: Entry | undefined; // in somebody else's turn: it takes no more leases
  let loading: LoadProgress | undefined;
  let wanted = new Set<string>(); // models to load again after a loss
  let recovery: NodeJS.Timeout | undefined;
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
    const result = turn.then(work);
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
    wanted = new Set([...wanted, ...entries.keys()]);
    options.note(`the GPU was lost (${reason}): it is opened again and ${[...wanted].join(', ') || 'nothing'} loaded`);
    const error = new FirstlightError('device-lost', `the GPU was lost (${reason})`);
    for (const entry of [...entries.values()]) void forget(entry, error);
    if (retryMs === 0) void recover();
    else recoverIn(retryMs);
  }

  function recoverIn(ms: number): void {
    recovery ??= setTimeout(() => {
      recovery = undefined;
      void recover();
    }, ms).unref();
  }

  /** Loads what is wanted, and tries again later what the GPU would not take. */
  async function recover(): Promise<void> {
    for (const name of [...wanted]) {
      try {
        await inTurn(async () => {
          if (!entries.has(name) && !closed) await load(await find(name));
        });
        wanted.delete(name);
      } catch (error) {
        options.note(`${name} could not be loaded again: ${(error as Error).message}`);
        if (!(error instanceof FirstlightError && GPU_TROUBLE.has(error.code))) wanted.delete(name);
      }
    }
    if (wanted.size > 0) recoverIn(options.recoverMs ?? RECOVER_MS);
  }

  /** Takes an entry out and gives back what it holds. */
  async function forget(entry: Entry, reason?: Error): Promise<void> {
    if (entries.get(entry.name) === entry) entries.delete(entry.name);
    clearTimeout(entry.timer);
    await entry.close(reason);
  }

  async function load(known: KnownModel): Promise<Entry> {
    try {
      const loaded = await loadKnown(
        known,
        () => gpu.get(),
        options,
        (progress) => {
          loading = progress;
        },
      );
      const entry: Entry = {
        ...loaded,
        leases: 0,
        keepAliveMs: options.keepAliveMs,
        expiresMs: undefined,
        timer: undefined,
        idle: () => {},
        usedMs: 0,
      };
      entries.set(known.name, entry);
      started = true;
      scheduleExpiry(entry);
      options.note(describeLoad(entry));
      return entry;
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
    const [victim] = [...entries.values()].sort((a, b) => a.leases - b.leases || a.usedMs - b.usedMs);
    if (victim) await retire(victim, 'makes room', signal);
  }

  /** Unloads a model when its last use has ended; who asks for it meanwhile waits. */
  async function retire(entry: Entry, why: string, signal: AbortSignal | undefined): Promise<void> {
    leaving = entry;
    try {
      if (entry.leases > 0)
        await new Promise<void>((resolve, reject) => {
          entry.idle = resolve;
          signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
        });
      if (entries.get(entry.name) !== entry) return; // lost with the GPU
      await forget(entry);
      options.note(`${entry.name} ${why}`);
    } finally {
      leaving = undefined;
    }
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
    const { name, model, batch, loadedMs, loadMs } = entry;
    entry.leases++;
    allLeases++;
    clearTimeout(entry.timer);
    entry.expiresMs = undefined;
    let released = false;
    const lease: Lease = {
      name,
      model,
      batch,
      loadedMs,
      loadMs,
      share: () => take(entry),
      async renew(signal) {
        allLeases++; // whoever waits for the last one waits for the new one too
        lease.release();
        try {
          return await obtain(name, signal);
        } finally {
          countDown();
        }
      },
      release(keepAliveMs) {
        if (released) return;
        released = true;
        entry.leases--;
        entry.usedMs = Date.now();
        if (keepAliveMs !== undefined) entry.keepAliveMs = keepAliveMs;
        if (entry.leases === 0) entry.idle();
        scheduleExpiry(entry);
        countDown();
      },
    };
    return lease;
  }

  function countDown(): void {
    allLeases--;
    if (allLeases === 0) draining?.();
  }

  async function obtain(name: string, signal: AbortSignal | undefined): Promise<Lease> {
    const known = await find(name);
    const present = entries.get(known.name);
    if (present && present !== leaving) return take(present);
    return inTurn(async () => {
      signal?.throwIfAborted();
      return take(entries.get(known.name) ?? (await loadInPlace(known, signal)));
    });
  }

  function status(): Health {
    if (draining) return { status: 'draining', reason: 'running answers are being finished' };
    const { trouble } = gpu;
    if (trouble) return { status: 'failed', reason: trouble.message };
    if (wanted.size > 0) return { status: 'recovering', reason: `the GPU was lost (${lastReason})` };
    if (loading && entries.size === 0) return { status: 'loading', reason: `${loading.name} is being loaded` };
    if (entries.size === 0 && !started) return { status: 'loading', reason: 'no model has been loaded yet' };
    return { status: 'ok' };
  }

  /** Whether a loaded model makes tokens: by a pass that was done lately, else by trying. Answers what is wrong. */
  async function faultOf(entry: Entry): Promise<string | undefined> {
    const { passes, lastPassMs } = entry.batch.status;
    if (passes > 0 && performance.now() - lastPassMs < FRESH_MS) return undefined;
    try {
      await entry.batch.probe(AbortSignal.timeout(PROBE_LIMIT_MS));
      return undefined;
    } catch (error) {
      suspect(entry, error);
      if (entries.get(entry.name) !== entry) return undefined; // it has left meanwhile, and the status tells why
      return `${entry.name} makes no tokens: ${(error as Error).message}`;
    }
  }

  /** The same where no model is loaded: the GPU itself must answer. */
  async function faultOfGpu(): Promise<string | undefined> {
    try {
      await (await gpu.get()).settle();
      return undefined;
    } catch (error) {
      return (error as Error).message;
    }
  }

  function suspect(loaded: Loaded, error: unknown): void {
    if (error instanceof FirstlightError && error.code === 'device-timeout') gpu.giveUp(loaded.model.device);
  }

  return {
    known: () => options.models(),
    find,
    resident: () => [...entries.values()],
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
      if (draining || closed) throw aboutToEnd();
      return obtain(name, signal);
    },
    async unload(name) {
      const known = await find(name);
      await inTurn(async () => {
        const entry = entries.get(known.name);
        if (entry) await retire(entry, 'is unloaded', undefined);
      });
    },
    suspect,
    get status() {
      return status();
    },
    async health() {
      const known = status();
      if (known.status !== 'ok') return known;
      const faults = await Promise.all(entries.size > 0 ? [...entries.values()].map(faultOf) : [faultOfGpu()]);
      const reason = faults.find((fault) => fault !== undefined);
      return reason === undefined ? status() : { status: 'failed', reason };
    },
    drain() {
      return new Promise((resolve) => {
        draining = resolve;
        if (allLeases === 0) resolve();
      });
    },
    async close() {
      closed = true;
      clearTimeout(recovery);
      for (const entry of [...entries.values()]) await forget(entry, aboutToEnd());
      gpu.close();
    },
  };
}
