/**
 * Rest while Dawn waits. As long as anything is pending, Dawn for Node asks the driver about it in every turn of the event loop, by
 * the global setImmediate: that keeps a core busy, on an APU with watts that are the GPU's, on a CPU driver with a core that should
 * compute. Short waits end sooner so; in long ones it may as well ask once in a millisecond.
 */

/** A result that took so long may be seen a hundredth later. */
const BUSY_MS = 50;
/** Of a CPU driver, which has better things to do with a core. */
const SOFTWARE_BUSY_MS = 5;
const REST_MS = 1;

let busyMs = 0; // the longest that any device has asked for

/**
 * Has Dawn ask less often once something has been pending for a while, by another global setImmediate. It is the same for everybody
 * else: Dawn's are the calls with a native function without a name.
 * @param software the device that is used is a CPU driver's
 */
export function pacePolling(software: boolean): void {
  const installed = busyMs > 0;
  busyMs = Math.max(busyMs, software ? SOFTWARE_BUSY_MS : BUSY_MS);
  if (installed) return;
  const original = globalThis.setImmediate;
  let sinceMs: number | undefined; // of the polls that have followed each other
  let goesOn = false; // the poll that has just been made asked for another one

  const setPaced = (callback: (...args: unknown[]) => void, ...args: unknown[]) => {
    if (args.length > 0 || !isDawns(callback)) return original(callback, ...args);
    goesOn = true;
    const nowMs = performance.now();
    sinceMs ??= nowMs;
    const poll = () => {
      goesOn = false;
      callback();
      if (!goesOn) sinceMs = undefined;
    };
    return nowMs - sinceMs < busyMs ? original(poll) : setTimeout(poll, REST_MS);
  };
  // its name, and what util.promisify asks it for
  Object.defineProperties(setPaced, Object.getOwnPropertyDescriptors(original));
  globalThis.setImmediate = setPaced as typeof setImmediate;
}

function isDawns(callback: unknown): boolean {
  return (
    typeof callback === 'function' &&
    callback.name === '' &&
    Function.prototype.toString.call(callback).endsWith('{ [native code] }')
  );
}
