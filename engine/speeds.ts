/** How fast a text was made. */
import type { Stats } from './session.ts';

/** Tokens a second. */
export interface Speeds {
  /** Prompt tokens a second, without those that were in the cache; undefined where nothing was timed. */
  readonly prefill: number | undefined;
  /** Tokens a second behind the first one, whose time is the prompt's. */
  readonly decode: number | undefined;
}

/** Tokens a second of a text, from its times and counts. */
export function speedsOf({ promptTokens, reusedTokens, prefillMs, tokens, decodeMs }: Stats): Speeds {
  return {
    prefill: prefillMs > 0 ? (1000 * (promptTokens - reusedTokens)) / prefillMs : undefined,
    decode: tokens > 1 && decodeMs > 0 ? (1000 * (tokens - 1)) / decodeMs : undefined,
  };
}

/** `prefill: 47.3 tok/s, decode: 12.4 tok/s`, with - for what was not timed. */
export function describeSpeeds(stats: Stats): string {
  const { prefill, decode } = speedsOf(stats);
  const rate = (speed: number | undefined) => `${speed?.toFixed(1) ?? '-'} tok/s`;
  return `prefill: ${rate(prefill)}, decode: ${rate(decode)}`;
}
