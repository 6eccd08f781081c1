/** Keeps what lives on a GPU alive: opens it anew after the device was lost, has hung, or ran out of memory. */
import { FirstlightError } from '../quant/errors.ts';

export interface Opened<T> {
  readonly value: T;
  /** Gives all memory back, whatever state the device is in. */
  close(): void;
}

export interface Keeper<T> {
  /** The value, opened if it is not there. Throws what opening throws; a device lost meanwhile is tried once more. */
  get(): Promise<T>;
  /**
   * To be called with what went wrong while `value` was used. Afterwards `get` opens another one. Throws the error where another one
   * would not help, and after the second fault in a row.
   */
  recover(value: T, error: unknown): void;
  /** The value has done something useful: the next fault counts as the first again. */
  worked(): void;
  close(): Promise<void>;
}

/** Faults without anything useful in between after which it is given up. */
const MOST_FAULTS = 2;

/**
 * @param open is told how many faults in a row there were: after the first it should ask less of the device at once
 * @param onFault gets a line that says what happened and what is done about it
 */
export function createKeeper<T>(
  open: (faults: number) => Promise<Opened<T>>,
  onFault: (line: string) => void = () => {},
): Keeper<T> {
  let opening: Promise<Opened<T>> | undefined;
  let opened: Opened<T> | undefined;
  let faults: FirstlightError[] = [];
  let closed = false;

  const drop = () => {
    const old = opened;
    opened = undefined;
    opening = undefined;
    old?.close();
  };
  /** Throws when there have been too many. */
  const count = (error: FirstlightError) => {
    faults.push(error);
    if (faults.length >= MOST_FAULTS) {
      const told = faults.map(({ message }) => message).join('; then again: ');
      faults = [];
      throw new FirstlightError(error.code, told, { cause: error });
    }
    onFault(`${error.message}. The device is opened again, and work goes on where it was`);
  };

  return {
    async get() {
      for (;;) {
        if (closed) throw new FirstlightError('bad-argument', 'the session is closed: create another one');
        opening ??= open(faults.length);
        const mine = opening;
        try {
          const made = await mine;
          if (mine !== opening) continue; // it was lost, or closed, before it was there
          opened = made;
          return made.value;
        } catch (error) {
          if (mine === opening) {
            opening = undefined;
            if (!isFault(error) || error.code === 'not-enough-memory') throw error;
            count(error);
          } else if (opening === undefined) throw error;
        }
      }
    },
    recover(value, error) {
      if (!isFault(error)) throw error;
      if (!opened || opened.value !== value) return; // somebody else has told already
      drop();
      count(error);
    },
    worked() {
      faults = [];
    },
    async close() {
      closed = true;
      const unfinished = opened ? undefined : opening;
      drop();
      await unfinished?.then((made) => made.close()).catch(() => undefined);
    },
  };
}

function isFault(error: unknown): error is FirstlightError {
  const codes = ['device-lost', 'device-timeout', 'not-enough-memory'];
  return error instanceof FirstlightError && codes.includes(error.code);
}
