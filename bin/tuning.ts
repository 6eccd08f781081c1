/** Where measured kernel variants are kept, and when they are measured. */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Model } from '../engine/model.ts';
import { type ShapeReport, tune } from '../engine/tune.ts';
import { deviceKey, readTuning, writeTuning } from '../engine/tuning-store.ts';
import type { Tuning } from '../engine/variants.ts';
import type { TuningMode } from './model-flags.ts';
import { note } from './output.ts';

export function tuningPath(): string {
  const { XDG_CACHE_HOME } = process.env;
  return join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'firstlight', 'tune.json');
}

/** The tuning for a model on its device. CPU drivers are not tuned: they run other kernels. */
export async function tuningFor(
  model: Model,
  mode: TuningMode,
  options: { readonly budgetMs?: number; readonly onShape?: (report: ShapeReport) => void } = {},
): Promise<Tuning> {
  const { traits } = model.device;
  if (mode === 'never' || traits.software || model.preferences.arithmetic === 'f32') return {};
  const path = tuningPath();
  const key = deviceKey(traits, dawnVersion());
  const kept = (await readTuning(path, key)) ?? {};
  // a model of other shapes adds to what is there
  const fresh = mode === 'again' ? {} : kept;
  const measured = await tune(model, { ...options, known: fresh });
  if (Object.keys(measured).length === 0) return fresh;
  const tuning = { ...kept, ...measured };
  try {
    await writeTuning(path, key, tuning);
  } catch (error) {
    note(`the tuning could not be kept in ${path}: ${(error as Error).message}`);
  }
  return tuning;
}

/** Version of the package that brings Dawn. */
export function dawnVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL('./package.json', import.meta.resolve('webgpu')), 'utf8'));
  return version;
}
