/** What a GPU takes from the mains or the battery, where the kernel tells: on APUs amdgpu's sensor has the whole chip. */
import { readFile } from 'node:fs/promises';

const SAMPLE_MS = 200;

export interface Energy {
  readonly joules: number;
  readonly seconds: number;
}

export interface PowerMeter {
  /** Takes a reading now, besides those that it takes by itself. */
  read(): Promise<void>;
  /** What was taken since the start; undefined when the sensor cannot be read. */
  stop(): Promise<Energy | undefined>;
}

/**
 * Starts to read a sensor (Gpu.powerSensor, microwatts) now and then. Nothing is measured without one.
 *
 * @param nowMs a clock, for tests
 */
export function startPowerMeter(
  sensor: string | undefined,
  sampleMs = SAMPLE_MS,
  nowMs: () => number = () => performance.now(),
): PowerMeter {
  const startMs = nowMs();
  let lastMs = startMs;
  let lastWatts: number | undefined;
  let joules = 0;
  let any = false;
  /** Adds what was taken since the last reading, by the mean of both. */
  const sample = async () => {
    const watts = sensor === undefined ? undefined : await readWatts(sensor);
    const now = nowMs();
    if (watts !== undefined) {
      joules += (((lastWatts ?? watts) + watts) / 2) * ((now - lastMs) / 1000);
      any = true;
      lastWatts = watts;
      lastMs = now;
    }
  };
  const timer = sensor === undefined ? undefined : setInterval(sample, sampleMs);
  timer?.unref();
  return {
    read: sample,
    async stop() {
      clearInterval(timer);
      await sample();
      return any ? { joules, seconds: (lastMs - startMs) / 1000 } : undefined;
    },
  };
}

async function readWatts(sensor: string): Promise<number | undefined> {
  const text = await readFile(sensor, 'utf8').catch(() => '');
  return /^\d+\s*$/.test(text) ? Number(text) / 1e6 : undefined;
}
