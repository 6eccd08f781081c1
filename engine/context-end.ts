/** What happens at the end of the context: the caller's choice, and never in silence. */
import { FirstlightError } from '../quant/errors.ts';
import type { TokenSource } from './generate-text.ts';
import type { GeneratedToken, Session, Stats, TokenOptions } from './session.ts';

/**
 * `stop`: generation ends, with the finish `context`.
 * `drop`: the oldest turns are left out, and the rest is read again: exact, but it takes a prompt's time.
 * `shift`: the oldest ids are left out, and the rest stays as it was computed, only moved up: at once, and not quite exact.
 */
export type WhenFull = 'stop' | 'drop' | 'shift';

/** What was left out of a text that had outgrown its context. */
export interface Dropped {
  /** Ids from here on were left out of the text so far... */
  readonly first: number;
  /** ...so many. */
  readonly count: number;
}

/** Options of withContextEnd(). */
export interface ContextEnd {
  readonly whenFull: WhenFull;
  /**
   * Where turns of the conversation begin in the ids, in order. What stands before the first one, such as a system message,
   * and the last one are always kept. Needed for `drop`.
   */
  readonly turns?: readonly number[] | undefined;
  /** Ids at the start that are always kept. Default: those before the first turn, or the first id. */
  readonly keep?: number | undefined;
  /** Called each time before ids are left out. */
  readonly onDrop?: ((dropped: Dropped) => void) | undefined;
}

/** Room that is made at once, as a part of the context: with less, it would have to be made again soon. */
const ROOM = 1 / 4;

/**
 * A session whose text may be longer than its context. `tokens` takes and yields what Session.tokens does, but goes on past
 * the end of the context, and leaves out the beginning of a prompt that is too long. Throws `bad-argument` for `drop` without
 * turns, `context-full` when nothing can be left out. Its `stats` are those of the whole text: of the prompt as it was read first, and
 * of all tokens, with what was read again between them.
 */
export function withContextEnd(session: Session, end: ContextEnd): TokenSource & Pick<Session, 'stats'> {
  const { model, context } = session;
  if (end.whenFull === 'stop') return session;
  if (end.whenFull === 'drop' && end.turns === undefined)
    throw new FirstlightError('bad-argument', 'to drop turns at the end of the context, say where turns begin');

  let { stats } = session;
  async function* tokens(
    prompt: readonly number[],
    options: TokenOptions = {},
  ): AsyncGenerator<GeneratedToken, void, void> {
    const { maxTokens = Number.POSITIVE_INFINITY } = options;
    let ids = prompt;
    let turns = end.turns ?? [];
    let made = 0;
    let first: { readonly stats: Stats; readonly ms: number } | undefined; // of the first token
    let { seed } = options;
    const choose = () => {
      const room = Math.max(1, Math.min(maxTokens - made, Math.floor(context * ROOM)));
      return chooseDropped(end, turns, ids.length, context, room);
    };
    const drop = async (dropped: Dropped) => {
      end.onDrop?.(dropped);
      const { first, count } = dropped;
      const { history } = session;
      if (end.whenFull === 'shift' && history.length >= first + count && startsWith(ids, history))
        await session.shift(first, count);
      ids = [...ids.slice(0, first), ...ids.slice(first + count)];
      turns = turns.filter((turn) => turn < first || turn >= first + count);
      turns = turns.map((turn) => (turn < first ? turn : turn - count));
      if (seed !== undefined) seed = (seed + 1) >>> 0; // positions come again, and draws go by them
    };

    const tooLong = ids.length >= context ? choose() : undefined;
    if (tooLong) await drop(tooLong);
    for (;;) {
      const more: number[] = [];
      let last: GeneratedToken | undefined;
      for await (const token of session.tokens(ids, { ...options, seed, maxTokens: maxTokens - made })) {
        made++;
        first ??= { stats: session.stats, ms: performance.now() };
        stats = { ...first.stats, tokens: made, decodeMs: performance.now() - first.ms };
        more.push(token.id);
        last = token;
        if (token.finish !== 'context') yield token;
      }
      if (last?.finish !== 'context') return;
      ids = [...ids, ...more];
      const next = made < maxTokens ? choose() : undefined;
      yield { ...last, finish: next ? undefined : made < maxTokens ? 'context' : 'length' };
      if (!next) return;
      await drop(next);
    }
  }

  return {
    model,
    tokens,
    get stats() {
      return stats;
    },
  };
}

/** What to leave out of a text of `length` so that there is room for more; undefined when nothing can be. */
export function chooseDropped(
  { whenFull, keep }: ContextEnd,
  turns: readonly number[],
  length: number,
  context: number,
  room: number,
): Dropped | undefined {
  if (whenFull === 'drop') {
    const first = Math.max(turns[0] ?? length, keep ?? 0);
    // up to the beginning of a turn behind it: of the first that leaves enough room, or the last that leaves any
    const ends = turns.filter((turn) => turn > first);
    const enough = ends.find((turn) => length - (turn - first) <= context - room);
    const last = ends.at(-1);
    const to = enough ?? (last !== undefined && length - (last - first) < context ? last : undefined);
    return to === undefined ? undefined : { first, count: to - first };
  }
  const first = Math.min(keep ?? turns[0] ?? 1, length);
  // half of what may go, or what a prompt that is far too long needs
  const count = Math.max((length - first) >> 1, length + room - context);
  return count > 0 && first + count < length ? { first, count } : undefined;
}

function startsWith(ids: readonly number[], beginning: readonly number[]): boolean {
  return beginning.length <= ids.length && beginning.every((id, i) => ids[i] === id);
}
