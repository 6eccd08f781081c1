/** One request of a batch, from the queue to its last token. */
import { chooseFrom, sampleOnCpu } from './candidates.ts';
import { logprobsOf } from './logprobs.ts';
import type { Choice } from './plan.ts';
import type { Outcome } from './readbacks.ts';
import { type CompleteSampling, chooseChoice } from './sampler.ts';
import type { GeneratedToken, GenerateOptions, Stats, TokenOptions } from './session.ts';
import type { Slot } from './slots.ts';
import type { Constraint, Steering } from './steering.ts';

/** Options of one text of a batch. */
export interface BatchTokenOptions extends TokenOptions {
  /** Whose request it is: the queue is fair between clients. Default: all are one. */
  readonly client?: string | undefined;
  /** Called when the generation ends, however it does. */
  readonly onStats?: ((stats: BatchStats) => void) | undefined;
}

/** Counts of a batch. */
export interface BatchStats extends Stats {
  /** From the request to its first pass. */
  readonly queuedMs: number;
}

/** Ids that a caller may leave lying before its sequence pauses. */
const MOST_UNREAD = 64;

/** One request, from the queue to its last id. */
export interface Sequence {
  readonly ids: readonly number[];
  readonly client: string;
  readonly sampling: CompleteSampling;
  readonly choice: Choice;
  readonly steering: Steering;
  readonly constraint: Constraint | undefined;
  /** Alternatives to report for each token. */
  readonly logprobs: number | undefined;
  readonly maxTokens: number;
  /** Positions behind the prompt. */
  readonly room: number;
  readonly stopIds: ReadonlySet<number> | undefined;
  readonly onPrefill: GenerateOptions['onPrefill'];
  /** An embedding is wanted, not an answer. */
  readonly pooled: boolean;
  readonly startMs: number;
  slot: Slot | undefined;
  queuedMs: number;
  /** Prompt ids that were in the cache, and those that are by now (or will be after what has been submitted). */
  reused: number;
  fed: number;
  /** Tokens that have been made, those whose passes have been submitted, and those that the caller has taken. */
  readonly made: GeneratedToken[];
  submitted: number;
  taken: number;
  firstMs: number;
  lastMs: number;
  state: Float32Array | undefined;
  ended: boolean;
  error: unknown;
  /** Tells the caller that something has changed. */
  wake: () => void;
}

interface SequenceOptions extends BatchTokenOptions {
  readonly sampling: CompleteSampling;
  readonly steering: Steering;
  /** Positions behind the prompt. */
  readonly room: number;
  readonly pooled: boolean;
}

export function createSequence(ids: readonly number[], options: SequenceOptions): Sequence {
  const { sampling, steering, room, pooled } = options;
  return {
    ids,
    client: options.client ?? '',
    sampling,
    choice: chooseChoice(sampling),
    steering,
    constraint: options.constraint,
    logprobs: options.logprobs,
    maxTokens: Math.min(options.maxTokens ?? Number.POSITIVE_INFINITY, room),
    room,
    stopIds: options.stopIds,
    onPrefill: options.onPrefill,
    pooled,
    startMs: performance.now(),
    slot: undefined,
    queuedMs: 0,
    reused: 0,
    fed: 0,
    made: [],
    submitted: 0,
    taken: 0,
    firstMs: 0,
    lastMs: 0,
    state: undefined,
    ended: false,
    error: undefined,
    wake: () => {},
  };
}

/** Its prompt is not read to the end. */
export function isReading({ fed, ids }: Sequence): boolean {
  return fed < ids.length;
}

/** Its caller does not take what is there. */
export function isPaused({ made, taken }: Sequence): boolean {
  return made.length - taken >= MOST_UNREAD;
}

/** Whether the CPU must see each of its tokens before the next can be chosen. */
export function isWatched({ choice, steering }: Sequence): boolean {
  return choice === 'list' || steering.changes === 'always';
}

/** Whether its next token can be fed: it is known, or will be on the GPU by the time. */
export function isReady(sequence: Sequence): boolean {
  const { pooled, submitted, maxTokens, made } = sequence;
  if (isReading(sequence) || pooled || submitted >= maxTokens || isPaused(sequence)) return false;
  return !isWatched(sequence) || made.length === submitted;
}

/** Its next token and what was asked about it, from what a pass has left; `logits` are read where that does not tell enough. */
export async function readToken(
  { choice, sampling, steering, logprobs }: Sequence,
  outcome: Outcome,
  position: number,
  { vocab, logits }: { readonly vocab: number; readonly logits: () => Promise<Float32Array> },
): Promise<Pick<GeneratedToken, 'id' | 'logprobs'>> {
  const { candidates, report } = outcome;
  let id = outcome.id;
  let chosen = report?.chosen;
  if (choice === 'list') {
    const listed = candidates && chooseFrom(candidates, vocab, sampling, position);
    const all = listed === undefined ? await logits() : undefined;
    id = listed ?? sampleOnCpu(all as Float32Array, sampling, position);
    chosen = all ? all[id] : candidates?.logits[candidates.ids.indexOf(id)];
  }
  const edits = steering.changes === 'never' ? undefined : steering.edits();
  if (logprobs === undefined || !report || chosen === undefined) return { id, logprobs: undefined };
  return { id, logprobs: logprobsOf(id, { ...report, chosen }, edits, logprobs) };
}

/** Takes in a token; its `finish` tells whether it is the last. */
export function addToken(sequence: Sequence, id: number, logprobs: GeneratedToken['logprobs']): void {
  const { made, maxTokens, stopIds, constraint, room } = sequence;
  sequence.lastMs = performance.now();
  if (made.length === 0) sequence.firstMs = sequence.lastMs;
  const count = made.length + 1;
  const stopped = stopIds?.has(id) || constraint?.done;
  const finish = stopped ? 'stop' : count < maxTokens ? undefined : count < room ? 'length' : 'context';
  made.push({ id, logprobs, finish });
}

export function statsOf(sequence: Sequence): BatchStats {
  const { ids, reused, queuedMs, startMs, firstMs, lastMs, made } = sequence;
  return {
    promptTokens: ids.length,
    reusedTokens: reused,
    queuedMs,
    prefillMs: made.length > 0 ? firstMs - startMs - queuedMs : 0,
    tokens: made.length,
    decodeMs: lastMs - firstMs,
  };
}
