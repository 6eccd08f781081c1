/** The device that all GPU tests of a process share. */
import { openDevice } from '../devices/open.ts';
import type { Device } from '../devices/types.ts';

/** Whether what takes minutes or much memory is tested too, and more cases of the rest. */
export const LONG = Boolean(process.env.FIRSTLIGHT_TEST_LONG);

/** The adapter that tests run on: FIRSTLIGHT_TEST_ADAPTER, or whatever the machine has. */
export const testAdapter = process.env.FIRSTLIGHT_TEST_ADAPTER;

let shared: Promise<Device | undefined> | undefined;

/**
 * The shared device, validated; undefined, with the reason printed, on a machine without one. Rejects when the adapter
 * that was asked for is not there.
 */
export function testDevice(): Promise<Device | undefined> {
  shared ??= openShared();
  return shared;
}

async function openShared(): Promise<Device | undefined> {
  try {
    const device = await openDevice({ adapter: testAdapter, validate: true });
    console.log(`adapter: ${device.traits.name}, ${device.traits.driver}`);
    return device;
  } catch (error) {
    if (testAdapter !== undefined) throw error;
    console.log(`GPU tests are skipped: ${(error as Error).message}`);
    return undefined;
  }
}

/** The part of uvu's suites that is needed here. */
interface Tests {
  (name: string, run: () => Promise<void>): void;
  skip(name?: string): void;
}

/** Tests that are given the shared device, and skipped without one: `const check = await deviceTests(suite('x'))`. */
export async function deviceTests(
  test: Tests,
): Promise<(name: string, run: (device: Device) => Promise<void> | void) => void> {
  const device = await testDevice();
  return (name, run) => {
    if (device) test(name, async () => run(device));
    else test.skip(name);
  };
}

/**
 * A suite's tests by `run` where what they need is there; the others are skipped, and in the end it is said how many and why:
 * `const check = skipUnless('file', 'no tmux', test, test)`, then `check(hasTmux, 'name', body)`.
 */
export function skipUnless<Body>(
  file: string,
  why: string,
  test: Pick<Tests, 'skip'>,
  run: (name: string, body: Body) => void,
) {
  let skipped = 0;
  process.once('exit', () => {
    if (skipped > 0) console.log(`${file}: ${skipped} skipped, ${why}`);
  });
  return (there: boolean, name: string, body: Body) => {
    if (there) return run(name, body);
    skipped++;
    test.skip(name);
  };
}

export const NOT_FOR_DEVICE = 'not for this device';

/** A suite's tests that only FIRSTLIGHT_TEST_LONG=1 runs, by `run`. */
export function onlyLong<Body>(file: string, test: Pick<Tests, 'skip'>, run: (name: string, body: Body) => void) {
  const check = skipUnless(file, 'FIRSTLIGHT_TEST_LONG=1 runs them', test, run);
  return (name: string, body: Body) => check(LONG, name, body);
}
