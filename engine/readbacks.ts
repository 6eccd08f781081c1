/** What passes leave for the CPU, on its way there: chosen tokens, and what is known of them. */
import type { Device } from '../devices/types.ts';
import { mapLate } from '../devices/wait.ts';
import { assert } from '../quant/errors.ts';
import { type ChoiceExtras, READBACK_BYTES, TICKETS } from './plan.ts';
import { CANDIDATES_BYTES, type Candidates, decodeCandidates, type Report, RING } from './state.ts';

export interface Wanted {
  /** Below TICKETS; free again once `chosen` has resolved. */
  readonly ticket: number;
  readonly slot: number;
  readonly position: number;
  /** With what the choice `list` names. Default false. */
  readonly candidates?: boolean | undefined;
  /** With what a `reported` choice reports. Default false. */
  readonly report?: boolean | undefined;
}

/** Tokens that a pass or a burst leaves. */
export interface Chosen {
  readonly ids: readonly number[];
  /** They were on their way still when they were looked for. */
  readonly waited: boolean;
}

/** What a pass leaves. */
export interface Outcome {
  /** The chosen token; of no meaning where the CPU chooses. */
  readonly id: number;
  readonly candidates: Candidates | undefined;
  readonly report: Report | undefined;
}

/** What passes over several sequences leave; of each slot the last RING tokens are there. */
export type Gathered = (slot: number, position: number) => Outcome;

export interface Readbacks {
  /** Records that what a pass leaves travels to the ticket's buffer. */
  record(encoder: GPUCommandEncoder, wanted: Wanted): void;
  /** Records that so many tokens of a slot do, from `first.position` on: at most RING. */
  recordBurst(encoder: GPUCommandEncoder, first: Wanted, tokens: number): void;
  /** The tokens that a pass or a burst leaves in a readback buffer, due in about so many milliseconds. */
  chosen(ticket: number, dueMs: number, tokens?: number): Promise<Chosen>;
  /** The same with all that was wanted. */
  outcome(ticket: number, dueMs: number): Promise<Outcome & Pick<Chosen, 'waited'>>;
  /** Sends what has been chosen in all slots to gathering buffer `ticket`, as it is after what has been submitted. */
  gather(ticket: number, extras: ChoiceExtras): void;
  /** What `gather` sent, due in about so many milliseconds; the ticket, below TICKETS, is free again then. */
  gathered(ticket: number, dueMs: number): Promise<Gathered>;
  /** Gives the memory back. */
  close(): void;
}

/** Where the parts of an outcome lie in a readback buffer. */
const CANDIDATES_AT = 16;
const REPORT_AT = CANDIDATES_AT + CANDIDATES_BYTES;

/** The buffers of TICKETS tickets; `find` has the plan's. Those for gathering are made at first use. */
export function createReadbacks(device: Device, slots: number, find: (name: string) => GPUBuffer): Readbacks {
  const readbacks = Array.from({ length: TICKETS }, (_, i) =>
    device.buffer(`chosen token ${i}`, READBACK_BYTES, 'readback'),
  );
  const tickets: Wanted[] = []; // by ticket, what its readback buffer was last asked for
  const gatherings: { readonly buffer: GPUBuffer; extras: ChoiceExtras }[] = [];
  // in a gathering buffer, behind the rings of all slots: their candidates, then their reports
  const listsAt = slots * RING * 4;
  const gatheredBytes = listsAt + 2 * slots * CANDIDATES_BYTES;

  const readback = (ticket: number): GPUBuffer => {
    const buffer = readbacks[ticket];
    assert(buffer, `readback ${ticket} is one of ${TICKETS}`);
    return buffer;
  };
  const gathering = (ticket: number) => {
    assert(ticket < TICKETS, `gathering buffer ${ticket} is one of ${TICKETS}`);
    gatherings[ticket] ??= { buffer: device.buffer(`chosen tokens ${ticket}`, gatheredBytes, 'readback'), extras: {} };
    return gatherings[ticket];
  };

  return {
    record(encoder, wanted) {
      const { ticket, slot, position, candidates, report } = wanted;
      const into = readback(ticket);
      encoder.copyBufferToBuffer(find('picked'), (slot * RING + (position % RING)) * 4, into, 0, 4);
      const copy = (name: string, at: number) =>
        encoder.copyBufferToBuffer(find(name), slot * CANDIDATES_BYTES, into, at, CANDIDATES_BYTES);
      if (candidates) copy('candidates', CANDIDATES_AT);
      if (report) copy('reports', REPORT_AT);
      tickets[ticket] = wanted;
    },
    recordBurst(encoder, { ticket, slot, position }, tokens) {
      // they lie in a ring: up to its end, then from its start
      const from = position % RING;
      const before = Math.min(tokens, RING - from);
      const copy = (at: number, into: number, count: number) =>
        encoder.copyBufferToBuffer(find('picked'), (slot * RING + at) * 4, readback(ticket), into * 4, count * 4);
      copy(from, 0, before);
      if (before < tokens) copy(0, before, tokens - before);
    },
    async chosen(ticket, dueMs, tokens = 1) {
      const { bytes, waited } = await mapLate(device, readback(ticket), tokens * 4, dueMs);
      return { ids: Array.from(new Uint32Array(bytes.buffer, bytes.byteOffset, tokens)), waited };
    },
    async outcome(ticket, dueMs) {
      const { bytes, waited } = await mapLate(device, readback(ticket), READBACK_BYTES, dueMs);
      const part = (at: number) => decodeCandidates(bytes.subarray(at, at + CANDIDATES_BYTES));
      return {
        id: new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true),
        candidates: tickets[ticket]?.candidates ? part(CANDIDATES_AT) : undefined,
        report: tickets[ticket]?.report ? part(REPORT_AT) : undefined,
        waited,
      };
    },
    gather(ticket, { listed, reported }) {
      const into = gathering(ticket);
      const encoder = device.gpu.createCommandEncoder();
      const copy = (name: string, at: number, bytes: number) =>
        encoder.copyBufferToBuffer(find(name), 0, into.buffer, at, bytes);
      copy('picked', 0, slots * RING * 4);
      if (listed) copy('candidates', listsAt, slots * CANDIDATES_BYTES);
      if (reported) copy('reports', listsAt + slots * CANDIDATES_BYTES, slots * CANDIDATES_BYTES);
      device.gpu.queue.submit([encoder.finish()]);
      into.extras = { listed, reported };
    },
    async gathered(ticket, dueMs) {
      const { buffer, extras } = gathering(ticket);
      const { listed, reported } = extras;
      const { bytes } = await mapLate(device, buffer, listed || reported ? gatheredBytes : slots * RING * 4, dueMs);
      const view = new DataView(bytes.buffer, bytes.byteOffset);
      const part = (at: number) => decodeCandidates(bytes.subarray(at, at + CANDIDATES_BYTES));
      return (slot, position) => ({
        id: view.getUint32((slot * RING + (position % RING)) * 4, true),
        candidates: listed ? part(listsAt + slot * CANDIDATES_BYTES) : undefined,
        report: reported ? part(listsAt + (slots + slot) * CANDIDATES_BYTES) : undefined,
      });
    },
    close() {
      for (const buffer of readbacks) device.free(buffer);
      for (const each of gatherings) if (each) device.free(each.buffer); // tickets may have been skipped
    },
  };
}
