/**
 * Rest while Dawn waits. As long as anything is pending, Dawn for Node asks the driver about it in every turn of the event loop, by
 * the global setImmediate, a hundred thousand times a second: that keeps a core busy, on an APU with watts that are the GPU's, on a
 * CPU driver with a core that should compute; and a sixth of it is spent on collecting the garbage that each time leaves.
 */

/** So long it asks without a pause: who waits for a token looks for it shortly before it is due. */
const BUSY_MS = 1;
/** Then it rests for a part of the time that it has waited, or as long as the kernel's shortest sleep, about 0.1 ms. */
const REST_SHARE = 0.01;
/** So long the whole thread sleeps, which others of this event loop hardly notice: timers are not to be had as short. */
const BRIEF_MS = 50;
/** The shortest timer, from then on. */
const TIMER_MS = 1;

const nobodyWakes = new Int32Array(new SharedArrayBuffer(4));
let paced = false;

/**
 * Has Dawn ask less often once something has been pending for a while, by another global setImmediate. It is the same for everybody
 * else: Dawn's are the calls with a native function without a name.
 */
export function pacePolling(): void {
  if (paced) return;
  paced = true;
  const original = globalThis.setImmediate;
  let sinceMs: number | undefined; // of the polls that have followed each other
  let goesOn = false; // the poll that has just been made asked for another one

  const setPaced = (callback: (...args: unknown[]) => void, ...args: unknown[]) => {
    if (args.length > 0 || !isDawns(callback)) return original(callback, ...args);
    goesOn = true;
    const nowMs = performance.now();
    sinceMs ??= nowMs;
    const ageMs = nowMs - sinceMs;
    const poll = () => {
      if (ageMs >= BUSY_MS && ageMs < BRIEF_MS) Atomics.wait(nobodyWakes, 0, 0, ageMs * REST_SHARE);
      goesOn = false;
      callback();
      if (!goesOn) sinceMs = undefined;
    };
    return ageMs < BRIEF_MS ? original(poll) : setTimeout(poll, TIMER_MS);
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
