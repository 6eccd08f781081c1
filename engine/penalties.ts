/** Penalties and biases: how a sequence's own text and the caller's wishes change the next logits. */
import { FirstlightError } from '../quant/errors.ts';
import { type Edits, FORBIDDEN } from './edits.ts';
import { MOST_BIASES } from './plan.ts';

/** What makes tokens less probable, or more, by what the text has so far. */
export interface Penalties {
  /**
   * Logits of tokens that prompt or text have: above 0 divided by this, else multiplied (Keskar et al. 2019, CTRL). 1 = off.
   * Default 1.
   */
  readonly repetitionPenalty?: number | undefined;
  /** Taken from the logits of tokens that the text has (not the prompt), as OpenAI defines it. Default 0. */
  readonly presencePenalty?: number | undefined;
  /** Taken from them for each time. Default 0. */
  readonly frequencyPenalty?: number | undefined;
  /** The last tokens that these three look at. Default all. */
  readonly penaltyTokens?: number | undefined;
  /**
   * DRY: a token that would make a repetition of `n` tokens longer loses dryMultiplier * dryBase ^ (n - dryAllowedLength), if n
   * is at least dryAllowedLength. 0 = off. Default 0.
   */
  readonly dryMultiplier?: number | undefined;
  /** Default 1.75. */
  readonly dryBase?: number | undefined;
  /** Default 2. */
  readonly dryAllowedLength?: number | undefined;
  /** A token that contains one of these ends a repetition. Default line break, colon, double quote, asterisk. */
  readonly dryBreakers?: readonly string[] | undefined;
  /** Added to logits by token id; -Infinity forbids a token. At most 1024. Default none. */
  readonly logitBias?: ReadonlyMap<number, number> | undefined;
}

type CompletePenalties = { readonly [Key in keyof Penalties]-?: NonNullable<Penalties[Key]> };

/** What the penalties want to know of the tokens. */
export interface TokenFacts {
  readonly vocab: number;
  /** Control tokens are no repetition: they are never penalised. */
  isControl(id: number): boolean;
  text(id: number): string;
}

/** A sequence's edits, as its text grows. */
export interface PenaltyState {
  /** The edits change with the text. */
  readonly changes: boolean;
  /** For the next token; valid until `accept`. */
  edits(): Edits;
  /** The text goes on with this token. */
  accept(id: number): void;
}

/** Largest power of dryBase that is taken, so that numbers stay finite. */
const MOST_DRY = 1e6;

/** Fills in defaults. Throws `bad-argument` for values outside their range. */
export function completePenalties(penalties: Penalties, vocab: number): CompletePenalties {
  const complete = {
    repetitionPenalty: penalties.repetitionPenalty ?? 1,
    presencePenalty: penalties.presencePenalty ?? 0,
    frequencyPenalty: penalties.frequencyPenalty ?? 0,
    penaltyTokens: penalties.penaltyTokens ?? Number.POSITIVE_INFINITY,
    dryMultiplier: penalties.dryMultiplier ?? 0,
    dryBase: penalties.dryBase ?? 1.75,
    dryAllowedLength: penalties.dryAllowedLength ?? 2,
    dryBreakers: penalties.dryBreakers ?? ['\n', ':', '"', '*'],
    logitBias: penalties.logitBias ?? new Map(),
  };
  const check = (name: keyof Penalties, fine: boolean, range: string) => {
    if (!fine) throw new FirstlightError('bad-argument', `${name} is ${complete[name]}: it must be ${range}`);
  };
  const within = (value: number, least: number, most: number) => value >= least && value <= most;
  check('repetitionPenalty', within(complete.repetitionPenalty, 0.01, 100), 'between 0.01 and 100');
  check('presencePenalty', within(complete.presencePenalty, -100, 100), 'between -100 and 100');
  check('frequencyPenalty', within(complete.frequencyPenalty, -100, 100), 'between -100 and 100');
  const { penaltyTokens, dryAllowedLength, logitBias } = complete;
  const isCount = (value: number) => Number.isInteger(value) || value === Number.POSITIVE_INFINITY;
  check('penaltyTokens', isCount(penaltyTokens) && penaltyTokens >= 0, 'a whole number of at least 0, or Infinity');
  check('dryMultiplier', within(complete.dryMultiplier, 0, 100), 'between 0 and 100');
  check('dryBase', within(complete.dryBase, 1, 100), 'between 1 and 100');
  check(
    'dryAllowedLength',
    Number.isInteger(dryAllowedLength) && dryAllowedLength >= 1,
    'a whole number of at least 1',
  );
  if (complete.dryBreakers.includes(''))
    throw new FirstlightError('bad-argument', 'dryBreakers has an empty text: leave it out');
  if (logitBias.size > MOST_BIASES)
    throw new FirstlightError('bad-argument', `logitBias has ${logitBias.size} tokens: at most ${MOST_BIASES} fit`);
  for (const [id, bias] of logitBias) {
    if (!Number.isInteger(id) || id < 0 || id >= vocab)
      throw new FirstlightError('bad-argument', `logitBias names token ${id}: ids go from 0 to ${vocab - 1}`);
    if (!(bias >= Number.NEGATIVE_INFINITY && bias < Number.POSITIVE_INFINITY))
      throw new FirstlightError(
        'bad-argument',
        `logitBias of token ${id} is ${bias}: it must be a number, or -Infinity to forbid it`,
      );
  }
  return complete;
}

/**
 * The edits of a sequence that begins with `prompt`; undefined when nothing is to be changed.
 * Throws `bad-argument` as completePenalties.
 */
export function createPenalties(
  penalties: Penalties,
  prompt: readonly number[],
  tokens: TokenFacts,
): PenaltyState | undefined {
  const complete = completePenalties(penalties, tokens.vocab);
  const { repetitionPenalty, presencePenalty, frequencyPenalty, penaltyTokens, dryMultiplier, logitBias } = complete;
  const counts = repetitionPenalty !== 1 || presencePenalty !== 0 || frequencyPenalty !== 0;
  const changes = (counts && penaltyTokens > 0) || dryMultiplier > 0;
  if (!changes && logitBias.size === 0) return undefined;

  const table = createTable();
  const seen = new Map<number, number>(); // times in prompt and text, within the window
  const made = new Map<number, number>(); // in the text alone
  const history: number[] = [];
  const dry = dryMultiplier > 0 ? createRepetitions(complete, prompt, tokens) : undefined;

  const refresh = (id: number) => {
    const times = made.get(id) ?? 0;
    const penalty = times > 0 ? presencePenalty + frequencyPenalty * times : 0;
    const divisor = seen.has(id) ? repetitionPenalty : 1;
    table.set(id, divisor, Math.max((logitBias.get(id) ?? 0) - penalty, FORBIDDEN));
  };
  const count = (map: Map<number, number>, id: number, by: 1 | -1) => {
    const times = (map.get(id) ?? 0) + by;
    if (times > 0) map.set(id, times);
    else map.delete(id);
  };
  const push = (id: number, own: boolean) => {
    history.push(id);
    if (!counts || tokens.isControl(id)) return;
    count(seen, id, 1);
    if (own) count(made, id, 1);
    refresh(id);
  };
  /** The token that has just left the window. */
  const drop = () => {
    const at = history.length - 1 - penaltyTokens;
    const id = history[at];
    if (!counts || id === undefined || tokens.isControl(id)) return;
    count(seen, id, -1);
    if (at >= prompt.length) count(made, id, -1);
    refresh(id);
  };

  for (const id of logitBias.keys()) refresh(id);
  for (const id of prompt) {
    push(id, false);
    drop();
  }
  return {
    changes,
    edits: () => table.edits(dry?.penalties()),
    accept(id) {
      dry?.push(id);
      push(id, true);
      drop();
    },
  };
}

/** Edits that stay sorted while single ones change. */
function createTable() {
  let ids = new Uint32Array(64);
  let divisors = new Float32Array(64);
  let biases = new Float32Array(64);
  let count = 0;

  const place = (id: number) => {
    let low = 0;
    let high = count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((ids[middle] as number) < id) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  const grow = () => {
    const wider = <T extends Uint32Array | Float32Array>(from: T, to: T) => {
      to.set(from);
      return to;
    };
    ids = wider(ids, new Uint32Array(2 * ids.length));
    divisors = wider(divisors, new Float32Array(2 * divisors.length));
    biases = wider(biases, new Float32Array(2 * biases.length));
  };
  /** Opens a gap at `at`, or closes it. */
  const shift = (at: number, by: 1 | -1) => {
    for (const array of [ids, divisors, biases]) array.copyWithin(at + Math.max(by, 0), at + Math.max(-by, 0), count);
    count += by;
  };

  return {
    set(id: number, divisor: number, bias: number) {
      const at = place(id);
      const known = at < count && ids[at] === id;
      if (divisor === 1 && bias === 0) {
        if (known) shift(at, -1);
        return;
      }
      if (!known) {
        if (count === ids.length) grow();
        shift(at, 1);
        ids[at] = id;
      }
      divisors[at] = divisor;
      biases[at] = bias;
    },
    /** With `further` taken from the biases of some ids, which ascend. */
    edits(further: readonly (readonly [id: number, penalty: number])[] = []): Edits {
      if (further.length === 0)
        return {
          ids: ids.subarray(0, count),
          divisors: divisors.subarray(0, count),
          biases: biases.subarray(0, count),
          mask: undefined,
        };
      const merged = {
        ids: new Uint32Array(count + further.length),
        divisors: new Float32Array(count + further.length),
        biases: new Float32Array(count + further.length),
      };
      let size = 0;
      let at = 0;
      const put = (id: number, divisor: number, bias: number) => {
        merged.ids[size] = id;
        merged.divisors[size] = divisor;
        merged.biases[size] = bias;
        size++;
      };
      const putUntil = (id: number) => {
        for (; at < count && (ids[at] as number) < id; at++)
          put(ids[at] as number, divisors[at] as number, biases[at] as number);
      };
      for (const [id, penalty] of further) {
        putUntil(id);
        const known = at < count && ids[at] === id;
        put(id, known ? (divisors[at] as number) : 1, (known ? (biases[at] as number) : 0) - penalty);
        if (known) at++;
      }
      putUntil(Number.POSITIVE_INFINITY);
      return {
        ids: merged.ids.subarray(0, size),
        divisors: merged.divisors.subarray(0, size),
        biases: merged.biases.subarray(0, size),
        mask: undefined,
      };
    },
  };
}

/** What DRY ("don't repeat yourself", by p-e-w) takes: see Penalties. */
function createRepetitions(
  { dryMultiplier, dryBase, dryAllowedLength, dryBreakers }: CompletePenalties,
  prompt: readonly number[],
  tokens: TokenFacts,
) {
  const breaking = new Map<number, boolean>();
  const isBreaker = (id: number) => {
    let known = breaking.get(id);
    if (known === undefined) {
      const text = tokens.text(id);
      known = tokens.isControl(id) || dryBreakers.some((breaker) => text.includes(breaker));
      breaking.set(id, known);
    }
    return known;
  };
  const history = [...prompt];
  // [position]: how many tokens before and at it are the same as the last ones of all, down to a breaker
  const matches = suffixMatches(history);
  const reach = history.length - 1 - history.findLastIndex(isBreaker);
  for (let i = 0; i < matches.length; i++) matches[i] = Math.min(matches[i] as number, reach);
  return {
    push(id: number) {
      const ends = isBreaker(id);
      for (let i = history.length - 1; i >= 0; i--)
        matches[i] = !ends && history[i] === id ? (i > 0 ? (matches[i - 1] as number) : 0) + 1 : 0;
      history.push(id);
      matches.push(0);
    },
    /** By the tokens that would continue a repetition, ascending. */
    penalties(): (readonly [id: number, penalty: number])[] {
      const longest = new Map<number, number>();
      for (let i = 0; i + 1 < history.length; i++) {
        const length = matches[i] as number;
        if (length < dryAllowedLength) continue;
        const next = history[i + 1] as number;
        if (length > (longest.get(next) ?? 0) && !isBreaker(next)) longest.set(next, length);
      }
      return [...longest]
        .sort(([a], [b]) => a - b)
        .map(([id, length]) => [id, dryMultiplier * Math.min(dryBase ** (length - dryAllowedLength), MOST_DRY)]);
    },
  };
}

/** At each place, how long the run that ends there is also the list's own end; 0 for the end itself. The Z algorithm from behind. */
function suffixMatches(list: readonly number[]): number[] {
  const last = list.length - 1;
  const matches = new Array<number>(list.length).fill(0);
  let left = 0; // the stretch, from behind, that is known to equal the end and reaches furthest
  let right = 0;
  for (let i = 1; i <= last; i++) {
    let length = i < right ? Math.min(right - i, matches[last - (i - left)] as number) : 0;
    while (i + length <= last && list[last - length] === list[last - i - length]) length++;
    matches[last - i] = length;
    if (i + length > right) {
      left = i;
      right = i + length;
    }
  }
  return matches;
}
