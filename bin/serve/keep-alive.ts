/** How long an unused model stays in memory, as requests and the command line say it. */
import { UsageError } from '../arguments.ts';
import { RequestError } from './errors.ts';

/** Milliseconds of Ollama's keep_alive: seconds, or a text such as `5m`; below 0: for ever. Throws RequestError. */
export function keepAliveMs(value: string | number | null | undefined): number | undefined {
  if (value === undefined || value === null || value === '') return undefined;
  const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
  const text = String(value);
  const wrong = new RequestError(400, 'invalid_value', 'keep_alive: say seconds, or a text such as 5m, 1h30m or -1', {
    param: 'keep_alive',
  });
  if (/^-?\d+(\.\d+)?$/.test(text)) return Number(text) < 0 ? Number.POSITIVE_INFINITY : Number(text) * 1000;
  if (!/^-?(\d+(\.\d+)?(ms|s|m|h))+$/.test(text)) throw wrong;
  if (text.startsWith('-')) return Number.POSITIVE_INFINITY;
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)) total += Number(amount) * units[unit!]!;
  return total;
}

/** The same of the flag --keep-alive. Throws UsageError. */
export function keepAliveOfFlag(value: string): number {
  try {
    const ms = keepAliveMs(value);
    if (ms !== undefined) return ms;
  } catch {} // it was not written for the command line
  throw new UsageError(`--keep-alive is ${JSON.stringify(value)}: it must be seconds, or a time such as 5m or 1h30m`);
}
