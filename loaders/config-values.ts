/** Single values of config.json, and the errors of both kinds of configuration. */
import { FirstlightError } from '../quant/errors.ts';
import type { JsonObject } from './json.ts';

/** A value that must be there, or `fallback` where it is missing or null. Throws `bad-file` for what is no number. */
export function readNumber(json: JsonObject, key: string, file: string, fallback?: number): number {
  const value = json[key] ?? fallback;
  if (typeof value === 'number') return value;
  throw senseless(file, value === undefined ? `${key} is missing` : `${key} is no number`);
}

/** For values that may be null, which means "none"; `json` has the defaults in it. */
export function readOptionalNumber(json: JsonObject, key: string, file: string): number | undefined {
  return json[key] == null ? undefined : readNumber(json, key, file);
}

/** The same for true and false. */
export function readFlag(json: JsonObject, key: string, fallback: boolean, file: string): boolean {
  const value = json[key] ?? fallback;
  if (typeof value === 'boolean') return value;
  throw senseless(file, `${key} is neither true nor false`);
}

/** A sound file that is not run; `what` says it as a sentence. */
export function unsupported(file: string, what: string): FirstlightError {
  return new FirstlightError('unsupported-model', `${file}: ${what}`);
}

/** Values that no model has, or that do not fit each other. */
export function senseless(file: string, what: string): FirstlightError {
  return new FirstlightError('bad-file', `${file}: ${what}: check that the file belongs to the model`);
}
