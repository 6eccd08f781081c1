/**
 * The three loops that make one sequence's tokens behind its prompt. Which one is needed depends on what must be known before
 * a token can be chosen.
 */
import { chooseFrom, sampleOnCpu } from './candidates.ts';
import { type Logprobs, logprobsOf } from './logprobs.ts';
import type { Pace } from './pace.ts';
import { type Choice, type ChoiceExtras, TICKETS } from './plan.ts';
import type { Pass } from './programs.ts';
import type { Runner } from './runner.ts';
import { type CompleteSampling, chooseChoice } from './sampler.ts';
import type { Steering } from './steering.ts';

export interface Made {
  readonly id: number;
  readonly logprobs: Logprobs | undefined;
}

export interface Decoding {
  readonly runner: Runner;
  readonly sampling: CompleteSampling;
  readonly steering: Steering;
  /** Of the session: a text begins at the pace of the one before it. */
  readonly pace: Pace;
  /** Alternatives to report for each token; undefined: no log probabilities at all. */
  readonly logprobs: number | undefined;
}

/** How a prompt ends so that the loop can take over. */
export interface Method {
  /** Of the prompt's last pass. */
  readonly ending: Pass & { readonly kind: 'ending' };
  /** Compiles all that is needed, behind passes of so many columns over a prompt of so many `keys`. */
  prepare(columns: readonly number[], keys: number): Promise<void>;
  /** Makes tokens from `position` on, at most `maxTokens`, each by one turn of the generator. */
  tokens(position: number, maxTokens: number): AsyncGenerator<Made, void, void>;
}

const ONE_TOKEN = { columns: 1, outputs: 1 };
/** One pass that is awaited, one that the GPU goes on with, more for when the CPU is late. */
const PASSES_IN_FLIGHT = 4;
/**
 * Bursts are more in a long text, of which a quarter may be on its way: a stop of the CPU, such as for the collection of garbage or
 * for what else a computer does, then leaves the GPU with work for up to 0.1 s, and a text that ends wastes little.
 */
const BURSTS_IN_FLIGHT = { least: 3, most: TICKETS };
const MOST_AHEAD = 1 / 4;

/** Chooses the loop. */
export function chooseMethod(decoding: Decoding): Method {
  const { runner, sampling, steering, logprobs } = decoding;
  const choice = chooseChoice(sampling);
  const onCpu = choice === 'list';
  const edited = steering.changes !== 'never';
  // without edits the list that the CPU chooses from has the probabilities as well
  const extras: ChoiceExtras = { edited, reported: logprobs !== undefined && (edited || !onCpu) };
  const late = onCpu || steering.changes === 'always';
  const loop = onCpu ? decodeOnCpu : late ? decodeLate : decodeAhead;
  return {
    ending: { kind: 'ending', ...(late ? { choice: 'none' } : { choice, ...extras }) },
    async prepare(columns, keys) {
      await runner.prepare(choice, columns, extras, late, keys);
      runner.setSampler(0, sampling);
      if (steering.changes === 'once') runner.setEdits(0, steering.edits());
    },
    tokens: (position, maxTokens) => loop(decoding, choice, extras, position, maxTokens),
  };
}

/**
 * Nothing has to be known: tokens are chosen and fed back on the GPU, and submits run ahead of what has been read. The
 * prompt's last pass has made the first token, for ticket 0.
 */
async function* decodeAhead(
  { runner, steering, pace, logprobs }: Decoding,
  choice: Choice,
  extras: ChoiceExtras,
  first: number,
  maxTokens: number,
): AsyncGenerator<Made, void, void> {
  const edits = steering.changes === 'once' ? steering.edits() : undefined;
  pace.restart();
  const { stream } = runner.model;
  const flights = [{ ticket: 0, tokens: 1 }]; // on their way, the next to arrive first
  let made = 1; // tokens that are there or on their way
  const inFlight = () => {
    if (stream) return 1; // its layers keep the GPU waiting for the CPU: passes ahead would only make tokens late
    if (made <= 2) return 2; // the first token is looked for before the CPU is busy with those behind the second
    const burst = pace.burst();
    if (burst === 1) return PASSES_IN_FLIGHT;
    const { least, most } = BURSTS_IN_FLIGHT;
    return Math.min(Math.max(least, Math.floor((MOST_AHEAD * made) / burst)), most);
  };
  for (let flight = 1; ; ) {
    while (flights.length < inFlight() && made < maxTokens) {
      const ticket = flight++ % TICKETS;
      // no more than are on their way already, so that the GPU is not done with those while the CPU records
      const ahead = flights.reduce((sum, { tokens }) => sum + tokens, 0);
      const tokens = logprobs === undefined && !stream ? Math.min(pace.burst(), ahead, maxTokens - made) : 1;
      const position = first + made; // of the first token that is chosen
      const pass: Pass = { kind: 'decode', choice, ...extras, position: position - 1 };
      if (tokens > 1) await runner.submitBurst(pass, tokens, { ticket, slot: 0, position });
      else await runner.submit(pass, ONE_TOKEN, { ticket, slot: 0, position, report: extras.reported });
      flights.push({ ticket, tokens });
      made += tokens;
    }
    const next = flights.shift();
    if (!next) return;
    const { ticket, tokens } = next;
    const dueMs = pace.dueMs(performance.now(), tokens);
    if (logprobs === undefined) {
      const { ids, waited } = await runner.chosen(ticket, dueMs, tokens);
      pace.arrived(performance.now(), tokens, waited);
      for (const id of ids) yield { id, logprobs: undefined };
    } else {
      const { id, report, waited } = await runner.outcome(ticket, dueMs);
      pace.arrived(performance.now(), 1, waited);
      yield { id, logprobs: report && logprobsOf(id, report, edits, logprobs) };
    }
  }
}

/**
 * The edits of a choice depend on the token before it. The pass that computes the logits does not, so it is submitted before
 * that token is read: the CPU works out the edits while the GPU is busy with it, and the choice follows.
 */
async function* decodeLate(
  { runner, steering, pace, logprobs }: Decoding,
  choice: Choice,
  extras: ChoiceExtras,
  first: number,
  maxTokens: number,
): AsyncGenerator<Made, void, void> {
  pace.restart();
  for (let position = first; ; position++) {
    const edits = steering.edits();
    runner.setEdits(0, edits);
    const wanted = { ticket: position % TICKETS, slot: 0, position, report: extras.reported };
    await runner.submit({ kind: 'choice', choice, ...extras }, ONE_TOKEN, wanted);
    if (position - first + 1 < maxTokens) await runner.submit({ kind: 'decode', choice: 'none', position }, ONE_TOKEN);
    const { id, report, waited } = await runner.outcome(wanted.ticket, pace.dueMs(performance.now()));
    pace.arrived(performance.now(), 1, waited);
    const found = report && logprobsOf(id, report, edits, logprobs ?? 0);
    steering.accept(id);
    yield { id, logprobs: found };
  }
}

/** The CPU chooses, from the best candidates if they tell enough, else from all logits. */
async function* decodeOnCpu(
  { runner, sampling, steering, pace, logprobs }: Decoding,
  choice: Choice,
  extras: ChoiceExtras,
  first: number,
): AsyncGenerator<Made, void, void> {
  const { vocab } = runner.model.config;
  pace.restart();
  for (let position = first; ; position++) {
    const edits = extras.edited ? steering.edits() : undefined;
    if (edits) runner.setEdits(0, edits);
    const wanted = { ticket: 0, slot: 0, position, candidates: true, report: extras.reported };
    await runner.submit({ kind: 'choice', choice, ...extras }, ONE_TOKEN, wanted);
    const { candidates, report = candidates, waited } = await runner.outcome(0, pace.dueMs(performance.now()));
    pace.arrived(performance.now(), 1, waited);
    let id = candidates && chooseFrom(candidates, vocab, sampling, position);
    let chosen = candidates?.logits[candidates.ids.indexOf(id ?? -1)];
    if (id === undefined) {
      const logits = await runner.logits(0);
      id = sampleOnCpu(logits, sampling, position);
      chosen = logits[id];
    }
    const found =
      logprobs !== undefined && report && chosen !== undefined
        ? logprobsOf(id, { ...report, chosen }, edits, logprobs)
        : undefined;
    steering.accept(id);
    yield { id, logprobs: found };
    runner.place([{ token: id, position, slot: 0 }], [0], false);
    await runner.submit({ kind: 'decode', choice: 'none', position }, ONE_TOKEN);
  }
}
