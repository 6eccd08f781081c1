/** Single values of config.json, and the errors of both kinds of configuration. */
import { FirstlightError } from '../quant/errors.ts';
import type { JsonObject } from './json.ts';

export function readNumber(json: JsonObject, key: string, file: string, fallback?: number): number {
  const value = json[key] ?? fallback;
  if (typeof value === 'number') return value;
  throw senseless(file, value === undefined ? `${key} is missing` : `${key} is no number`);
}

/** For values that may be null, which means "none"; `json` has the defaults in it. */
export function readOptionalNumber(json: JsonObject, key: string, file: string): number | undefined {
  return json[key] == null ? undefined : readNumber(json, key, file);
}

export function readFlag(json: JsonObject, key: string, fallback: boolean, file: string): boolean {
  const value = json[key] ?? fallback;
  if (typeof value === 'boolean') return value;
  throw senseless(file, `${key} is neither true nor false`);
}

export function unsupported(file: string, what: string): FirstlightError {
  return new FirstlightError('unsupported-model', `${file}: ${what}`);
}

export function senseless(file: string, what: string): FirstlightError {
  return new FirstlightError('bad-file', `${file}: ${what}: check that the file belongs to the model`);
}
