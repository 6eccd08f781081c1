/**
 * The loop of a batch: gives requests slots, submits passes over one token of each sequence that is ready or over a chunk of one
 * prompt, and hands out what they have made. Nobody but it talks to the runner.
 */
import { FirstlightError } from '../quant/errors.ts';
import { createFairQueue } from './fair-queue.ts';
import { createPassTimes } from './pace.ts';
import type { ChoiceExtras } from './plan.ts';
import type { Outcome } from './readbacks.ts';
import type { Column, Runner } from './runner.ts';
import { addToken, isReading, isReady, isWatched, readToken, type Sequence } from './sequence.ts';
import { chooseSlot, commonPrefix, createSlots, findPrefix, type Slot } from './slots.ts';
import { FROM_RING } from './state.ts';
import { NO_EDITS } from './steering.ts';

/** What a batch is doing, and has done since it was made. */
export interface BatchStatus {
  readonly slots: number;
  /** Sequences in slots. */
  readonly running: number;
  /** Requests that wait for a slot. */
  readonly queued: number;
  /** Positions of the KV cache that sequences in slots have filled. */
  readonly positions: number;
  readonly promptTokens: number;
  readonly reusedTokens: number;
  readonly tokens: number;
  /** That the GPU has done, and when the last of them was, by performance.now(). */
  readonly passes: number;
  readonly lastPassMs: number;
}

export interface BatchLoop {
  readonly status: BatchStatus;
  readonly slots: readonly Slot[];
  /** Requests that can be taken at once, whether they get a slot or wait. */
  readonly room: number;
  enqueue(sequence: Sequence): void;
  /** Ends a sequence, waiting or running, between two passes. */
  end(sequence: Sequence, error?: unknown): void;
  /** Something has changed that the loop may be waiting for. */
  pump(): void;
  /** Ends all sequences with `error`; resolves when nothing is submitted any more. */
  close(error: Error): Promise<void>;
}

/** Passes submitted before the first of them has been read: the GPU has the next one when it ends one. */
const AHEAD = 2;
/** A beginning that is copied instead of computed should be worth its dispatches. */
const WORTH_COPYING = 16;
/** While answers are running, a pass over a prompt takes no longer than about this. */
const INTERRUPTION_MS = 100;
const LEAST_COLUMNS = 8;

interface Output {
  readonly sequence: Sequence;
  readonly position: number;
}

/** A pass on its way. */
interface Flight {
  readonly ticket: number;
  readonly kind: string;
  readonly startMs: number;
  /** Sequences whose next token it makes, and that token's position; in the order of the pass's outputs. */
  readonly outputs: readonly Output[];
  /** Called when it is done, with the time that it took. */
  readonly onDone?: ((ms: number) => void) | undefined;
}

/** A loop over a runner whose slots nobody else uses. @param mostQueued requests that may wait for a slot */
export function startLoop(runner: Runner, mostQueued: number): BatchLoop {
  const { model, chunk } = runner;
  const { config } = model;
  const slots = createSlots(runner.slots);
  const queue = createFairQueue<Sequence>();
  const running: Sequence[] = []; // in slots, in the order in which they came
  const flights: Flight[] = [];
  const times = createPassTimes();
  const totals = { promptTokens: 0, reusedTokens: 0, tokens: 0, passes: 0 };
  let uses = 0;
  let closed = false;
  let changed = false;
  let wakeLoop = () => {};
  let lastPass: 'prompt' | 'batch' = 'batch';
  let promptTurn = 0;
  let nextTicket = 0;
  let columnMs = 0; // of a prompt's pass, by the last measurement
  let lastArrivalMs = 0;

  function end(sequence: Sequence, error?: unknown): void {
    if (sequence.ended) return;
    sequence.ended = true;
    sequence.error = error;
    queue.remove(sequence);
    const at = running.indexOf(sequence);
    if (at >= 0) running.splice(at, 1);
    const { slot } = sequence;
    if (slot) {
      // the last id may not have been fed
      if (!isReading(sequence)) slot.history = [...sequence.ids, ...sequence.made.slice(0, -1).map(({ id }) => id)];
      slot.taken = false;
      slot.lastUse = ++uses;
    }
    sequence.wake();
    pump();
  }

  /** Gives waiting requests the free slots. */
  function admit(): void {
    const runningOf = (client: string) => running.filter((sequence) => sequence.client === client).length;
    while (queue.length > 0 && running.length < slots.length) {
      const sequence = queue.shift(runningOf);
      if (!sequence) return;
      const slot = chooseSlot(slots, sequence.ids);
      if (!slot) return;
      slot.taken = true;
      slot.lastUse = ++uses;
      sequence.slot = slot;
      sequence.queuedMs = performance.now() - sequence.startMs;
      // the last id is always computed again: its logits are wanted
      sequence.fed = sequence.pooled ? 0 : Math.min(commonPrefix(slot.history, sequence.ids), sequence.ids.length - 1);
      sequence.reused = sequence.fed;
      totals.reusedTokens += sequence.fed;
      slot.history = sequence.ids.slice(0, sequence.fed);
      runner.setSampler(slot.index, sequence.sampling);
      // what the sequence before has left would be applied to this one when it is in a pass with others that have edits
      if (sequence.steering.changes === 'never') runner.setEdits(slot.index, NO_EDITS);
      else runner.setEdits(slot.index, sequence.steering.edits());
      running.push(sequence);
    }
  }

  /** Copies to a sequence's slot what another has of its beginning. False: one that was here before will soon have more. */
  async function takePrefix(sequence: Sequence): Promise<boolean> {
    const { ids, slot } = sequence;
    if (!slot || sequence.pooled) return true;
    const found = findPrefix(slots, ids);
    const length = Math.min(found.length, ids.length - 1);
    for (const other of running.slice(0, running.indexOf(sequence))) {
      const common = Math.min(commonPrefix(other.ids, ids), ids.length - 1);
      const hasMoreSoon = isReading(other) && !other.pooled && common > Math.max(length, other.fed);
      if (hasMoreSoon && common >= sequence.fed + WORTH_COPYING) return false;
    }
    if (found.slot && length >= sequence.fed + WORTH_COPYING) {
      await runner.copyPrefix(found.slot.index, slot.index, length);
      sequence.reused += length - sequence.fed;
      totals.reusedTokens += length - sequence.fed;
      sequence.fed = length;
      slot.history = ids.slice(0, length);
    }
    return true;
  }

  /** The sequence whose prompt is read next: all in turn, except those that wait for another's beginning. */
  async function nextReader(): Promise<Sequence | undefined> {
    const readers = running.filter(isReading);
    for (let i = 0; i < readers.length; i++) {
      const sequence = readers[(promptTurn + i) % readers.length] as Sequence;
      if (!(await takePrefix(sequence)) || sequence.ended) continue;
      promptTurn = (promptTurn + i + 1) % readers.length;
      return sequence;
    }
    return undefined;
  }

  /** Has memory for these sequences up to the positions that they are about to fill; those for which there is none end. */
  async function reserve(wanted: readonly Output[]): Promise<readonly Output[]> {
    const kept = wanted.filter(({ sequence }) => !sequence.ended).sort((a, b) => a.position - b.position);
    for (let longest = kept.at(-1); longest; longest = kept.at(-1)) {
      try {
        await runner.reserve(longest.position);
        break;
      } catch (error) {
        if (!(error instanceof FirstlightError) || error.code !== 'not-enough-memory') throw error;
        end(longest.sequence, error);
        kept.pop();
      }
    }
    return kept;
  }

  async function submitPrompt(sequence: Sequence): Promise<void> {
    const { ids, slot } = sequence;
    if (!slot) return;
    const first = sequence.fed;
    const most = running.some(isReady) && columnMs > 0 ? Math.floor(INTERRUPTION_MS / columnMs) : chunk;
    const count = Math.min(Math.max(most, LEAST_COLUMNS), chunk, ids.length - first);
    const columns = ids
      .slice(first, first + count)
      .map((token, i): Column => ({ token, position: first + i, slot: slot.index }));
    if ((await reserve([{ sequence, position: first + count }])).length === 0) return;
    const last = first + count === ids.length;
    const answering = last && !sequence.pooled;
    runner.place(columns, [count - 1], false);
    const size = { columns: count, outputs: 1 };
    if (sequence.pooled) await runner.submit({ kind: 'pooled' }, size);
    else await runner.submit(last ? { kind: 'ending', choice: 'none' } : { kind: 'prompt' }, size);
    if (answering && model.selfTest.pending)
      model.selfTest.check(await runner.residual(count - 1), await runner.logits(0));
    sequence.fed += count;
    slot.history = ids.slice(0, sequence.fed);
    totals.promptTokens += count;
    if (answering) sequence.submitted++;
    if (last && sequence.pooled) sequence.state = await runner.pooled(slot.index);
    await send({
      kind: `prompt ${count}`,
      outputs: answering ? [{ sequence, position: ids.length }] : [],
      onDone(ms) {
        columnMs = ms / count;
        if (sequence.ended) return;
        sequence.onPrefill?.(first + count - sequence.reused, ids.length - sequence.reused);
        if (last && sequence.pooled) end(sequence);
      },
    });
  }

  async function submitBatch(ready: readonly Sequence[]): Promise<void> {
    const outputs = await reserve(
      ready.map((sequence) => ({ sequence, position: sequence.ids.length + sequence.submitted })),
    );
    if (outputs.length === 0) return;
    const columns: Column[] = [];
    for (const { sequence, position } of outputs) {
      const token = sequence.made[sequence.submitted - 1]?.id ?? FROM_RING;
      if (sequence.slot) columns.push({ token, position: position - 1, slot: sequence.slot.index });
      sequence.submitted++;
    }
    runner.place(columns, [...columns.keys()], false);
    await runner.submit({ kind: 'batch' }, { columns: columns.length, outputs: columns.length });
    await send({ kind: `batch ${columns.length}`, outputs });
  }

  /** Has the tokens of a pass's outputs chosen and sent. */
  async function send(flight: Omit<Flight, 'ticket' | 'startMs' | 'extras'>): Promise<void> {
    const { outputs } = flight;
    const some = (wanted: (sequence: Sequence) => boolean) => outputs.some(({ sequence }) => wanted(sequence));
    const extras: ChoiceExtras = {
      edited: some(({ steering }) => steering.changes !== 'never'),
      reported: some(({ logprobs }) => logprobs !== undefined),
      listed: some(({ choice }) => choice === 'list'),
    };
    for (const { sequence } of outputs)
      if (sequence.steering.changes === 'always' && sequence.slot)
        runner.setEdits(sequence.slot.index, sequence.steering.edits());
    const size = { columns: outputs.length, outputs: outputs.length };
    if (outputs.length > 0) await runner.submit({ kind: 'choice', choice: 'each', ...extras }, size);
    nextTicket = (nextTicket + 1) % AHEAD;
    runner.gather(nextTicket, extras);
    flights.push({ ...flight, ticket: nextTicket, startMs: performance.now() });
  }

  /** Waits for the oldest pass on its way and hands out what it has made. */
  async function land(): Promise<void> {
    const flight = flights.shift();
    if (!flight) return;
    const startMs = Math.max(flight.startMs, lastArrivalMs); // the pass before it had the GPU until then
    const dueMs = startMs + times.expectedMs(flight.kind) - performance.now();
    const gathered = await runner.gathered(flight.ticket, dueMs);
    lastArrivalMs = performance.now();
    totals.passes++;
    times.took(flight.kind, lastArrivalMs - startMs);
    for (const [i, output] of flight.outputs.entries()) {
      const { ended, slot } = output.sequence;
      if (!ended && slot) await deliver(output, gathered(slot.index, output.position), i);
    }
    flight.onDone?.(lastArrivalMs - startMs);
  }

  /** Hands a sequence its next token. Its own grammar may fail it; nobody else's business. */
  async function deliver({ sequence, position }: Output, outcome: Outcome, output: number): Promise<void> {
    // nothing else is on its way beside a watched sequence, so these are the pass's logits
    const logits = () => runner.logits(output);
    const { id, logprobs } = await readToken(sequence, outcome, position, { vocab: config.vocab, logits });
    if (sequence.ended) return;
    try {
      if (isWatched(sequence)) sequence.steering.accept(id);
    } catch (error) {
      return end(sequence, error);
    }
    addToken(sequence, id, logprobs);
    totals.tokens++;
    if (sequence.made.at(-1)?.finish) end(sequence);
    else sequence.wake();
  }

  /** Something has changed that the loop may be waiting for. */
  function pump(): void {
    changed = true;
    wakeLoop();
  }

  async function waitForChange(): Promise<void> {
    if (!changed) await new Promise<void>((resolve) => (wakeLoop = resolve));
    changed = false;
  }

  /** Submits the next pass if there is one, and waits for an earlier one if there are enough on their way. */
  async function step(): Promise<void> {
    admit();
    const hasReady = running.some(isReady);
    const reader = lastPass === 'batch' || !hasReady ? await nextReader() : undefined;
    if (reader) await submitPrompt(reader);
    else if (hasReady) await submitBatch(running.filter(isReady));
    lastPass = reader ? 'prompt' : 'batch';
    const idle = !reader && !hasReady;
    // a watched sequence needs its token before the next pass, and others would not wait for it
    const ahead = running.some(isWatched) ? 1 : AHEAD;
    if (idle && flights.length === 0) await waitForChange();
    else while (flights.length >= (idle ? 1 : ahead)) await land();
  }

  async function loop(): Promise<void> {
    while (!closed) {
      try {
        await step();
      } catch (error) {
        flights.length = 0;
        for (const sequence of [...running, ...queue.clear()]) end(sequence, error);
        for (const slot of slots) slot.history = []; // nobody knows what is left in the cache
      }
    }
  }

  const looping = loop();
  return {
    get status() {
      return {
        slots: slots.length,
        running: running.length,
        queued: queue.length,
        positions: running.reduce((sum, { fed, submitted }) => sum + fed + submitted, 0),
        lastPassMs: lastArrivalMs,
        ...totals,
      };
    },
    slots,
    get room() {
      return mostQueued - queue.length + slots.length - running.length;
    },
    enqueue(sequence) {
      queue.push(sequence.client, sequence);
      pump();
    },
    end,
    pump,
    close(error) {
      closed = true;
      for (const sequence of [...running, ...queue.clear()]) end(sequence, error);
      pump();
      return looping;
    },
  };
}
