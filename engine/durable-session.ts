/** A session that outlives its device: what was computed is lost with it, what was said is not. */
import type { Device } from '../devices/types.ts';
import type { Checkpoint } from '../loaders/types.ts';
import { createKeeper, type Opened } from './keeper.ts';
import { type LoadOptions, loadModel, type Model } from './model.ts';
import { completeSampling } from './sampler.ts';
import { createSession, type Session, type SessionOptions, type TokenOptions } from './session.ts';

/** Options of createDurableSession(). */
export interface DurableOptions {
  /** Stays open as long as the session. */
  readonly checkpoint: Checkpoint;
  /** Opens a device, which the session then owns; called again after a fault. */
  readonly openDevice: () => Promise<Device>;
  readonly load?: LoadOptions | undefined;
  /** Options that depend on the loaded model, such as its tuning. */
  readonly session?: SessionOptions | ((model: Model) => Promise<SessionOptions>) | undefined;
  /** Gets a line for each fault: what happened, and what is done about it. */
  readonly onFault?: ((line: string) => void) | undefined;
}

/** With fewer prompt tokens at once, a pass is shorter: a driver that takes long ones for hung may like that better. */
const LEAST_CHUNK = 8;
/** Tokens after which a new device is taken to be well. */
const WELL_AFTER = 32;

/**
 * Opens a device, loads a model and makes a session whose `tokens`, `generate` and `logits` go on after the device was lost,
 * has hung, or ran out of memory while they were under way: device, model and cache are made anew, the text so far is read
 * again, and the same tokens follow. After two faults in a row the error is thrown. `close` closes the device too.
 */
export async function createDurableSession(options: DurableOptions): Promise<Session> {
  const { checkpoint } = options;
  let present: Session | undefined;
  const keeper = createKeeper(async (faults): Promise<Opened<Session>> => {
    const device = await options.openDevice();
    try {
      const model = await loadModel(device, checkpoint, options.load);
      const wanted = typeof options.session === 'function' ? await options.session(model) : (options.session ?? {});
      const chunk = Math.max(LEAST_CHUNK, Math.floor((wanted.chunk ?? model.plan.chunk) / 2 ** faults));
      const session = await createSession(model, faults > 0 ? { ...wanted, chunk } : wanted);
      await device.settle(); // memory that is not there is told now
      present = session;
      return { value: session, close: () => device.close() };
    } catch (error) {
      device.close();
      throw error;
    }
  }, options.onFault);
  const current = () => present as Session; // there since the first get()
  await keeper.get();

  async function* tokens(ids: readonly number[], wanted: TokenOptions = {}) {
    const { maxTokens, promptTokens = ids.length } = wanted;
    const { seed } = completeSampling(wanted); // the same for all attempts
    const made: number[] = [];
    let well = 0;
    for (;;) {
      const session = await keeper.get();
      const rest = maxTokens === undefined ? undefined : maxTokens - made.length;
      try {
        const text = [...ids, ...made];
        for await (const token of session.tokens(text, { ...wanted, seed, promptTokens, maxTokens: rest })) {
          made.push(token.id);
          if (++well === WELL_AFTER) keeper.worked();
          yield token;
        }
        keeper.worked();
        return;
      } catch (error) {
        well = 0;
        keeper.recover(session, error);
      }
    }
  }

  async function* logits(ids: readonly number[], wanted?: Parameters<Session['logits']>[1]) {
    let told = 0;
    for (;;) {
      const session = await keeper.get();
      try {
        let position = 0;
        for await (const row of session.logits(ids, wanted)) {
          if (position++ < told) continue;
          told++;
          yield row;
        }
        keeper.worked();
        return;
      } catch (error) {
        keeper.recover(session, error);
      }
    }
  }

  const close = async () => {
    await current()
      .close()
      .catch(() => undefined); // a generation comes to its next token
    await keeper.close();
  };

  return {
    get model() {
      return current().model;
    },
    get context() {
      return current().context;
    },
    get history() {
      return current().history;
    },
    get stats() {
      return current().stats;
    },
    tokens,
    async *generate(ids, wanted) {
      for await (const { id } of tokens(ids, wanted)) yield id;
    },
    logits,
    rewind: (position) => current().rewind(position),
    async shift(first, count) {
      const session = await keeper.get();
      try {
        // of a session that was made anew nothing is in the cache
        if (session.history.length > 0) await session.shift(first, count);
      } catch (error) {
        keeper.recover(session, error);
      }
    },
    async save(path) {
      const ids = current().history;
      for (;;) {
        const session = await keeper.get();
        try {
          // of a session that was made anew nothing is in the cache
          if (session.history.length < ids.length)
            for await (const _ of session.generate(ids, { temperature: 0, maxTokens: 1 }));
          await session.save(path);
          keeper.worked();
          return;
        } catch (error) {
          keeper.recover(session, error);
        }
      }
    },
    async restore(path) {
      for (;;) {
        const session = await keeper.get();
        try {
          await session.restore(path);
          keeper.worked();
          return;
        } catch (error) {
          keeper.recover(session, error);
        }
      }
    },
    timedPass: (timer, columns) => current().timedPass(timer, columns),
    timedSubmissions: (submits, passes) => current().timedSubmissions(submits, passes),
    inspect: (buffer) => current().inspect(buffer),
    close,
    [Symbol.asyncDispose]: close,
  };
}
