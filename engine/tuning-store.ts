/** Keeps measured tunings in a file, for each device by itself. A file that cannot be read is as good as none. */
import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Traits } from '../devices/types.ts';
import { specialise } from '../shaders/specialise.ts';
import { dotSpec, type GemvCut, type Tuning } from './variants.ts';

/** Of the file, and of the way of measuring: 1 could keep a cut that had been measured without the usual one beside it. */
const VERSION = 2;

/** What a tuning is good for: this adapter, driver, Dawn version and kernel source, and no other. */
export function deviceKey(traits: Traits, dawnVersion: string): string {
  return [traits.name, traits.driver, `webgpu ${dawnVersion}`, `kernels ${kernelHash()}`].join(' | ');
}

function kernelHash(): string {
  const spec = {
    TILE: 32,
    COLS: 1,
    SG: 32,
    THREADS: 256,
    K_SPLIT: 1,
    SIZE: 'given',
    ...dotSpec('i8', 'q4'),
    BLOCKS: 1,
  };
  const rest = { FIRST_ROW: 0, OUTPUTS: false, NORM: 'none', EPILOGUE: 'residual', STORE: 'i8', Y_BLOCKS: 1 };
  const { code } = specialise('gemv-lanes', { ...spec, ...rest });
  return createHash('sha256').update(code).digest('hex').slice(0, 12);
}

/** The tuning of a device, or undefined when the file has none, is damaged, or is not ours. */
export async function readTuning(path: string, key: string): Promise<Tuning | undefined> {
  const tuning = (await readDevices(path))[key];
  return tuning && Object.values(tuning).every(isCut) ? tuning : undefined;
}

/** Adds a device's tuning to the file: written beside it and renamed, so that no reader sees half of it. */
export async function writeTuning(path: string, key: string, tuning: Tuning): Promise<void> {
  const devices = { ...(await readDevices(path)), [key]: tuning };
  const temporary = `${path}.${process.pid}`;
  await mkdir(dirname(path), { recursive: true });
  try {
    await writeFile(temporary, `${JSON.stringify({ version: VERSION, devices }, undefined, 2)}\n`);
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}

async function readDevices(path: string): Promise<Record<string, Tuning>> {
  try {
    const file: unknown = JSON.parse(await readFile(path, 'utf8'));
    if (isRecord(file) && file.version === VERSION && isRecord(file.devices))
      return Object.fromEntries(Object.entries(file.devices).filter(([, tuning]) => isRecord(tuning))) as Record<
        string,
        Tuning
      >;
  } catch {
    // missing or damaged: tuned anew
  }
  return {};
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCut(value: unknown): value is GemvCut {
  return (
    isRecord(value) &&
    [value.subgroup, value.rowsEach, value.split].every((number) => Number.isInteger(number) && (number as number) > 0)
  );
}
