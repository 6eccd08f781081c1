/**
 * The small buffers that tell a pass what it is over and how its tokens are chosen; their layouts stand in state.wgsl,
 * sampler.wgsl, ring.wgsl, edit.wgsl and candidates.wgsl.
 */
import { assert } from '../quant/errors.ts';
import type { Edits } from './edits.ts';

/** Places of the ring in which a slot's chosen tokens wait for the CPU. */
export const RING = 64;
/** In `tokens`: the one that the GPU chose for this position. */
export const FROM_RING = 0xffffffff;

const HEADER_WORDS = 4;
/** Byte of the capacity in a State. */
export const CAPACITY_AT = 8;
const PLACE_WORDS = 4;
const SAMPLER_WORDS = 8;

export const SAMPLER_BYTES = SAMPLER_WORDS * 4;

/** Where a token stands: its position in a sequence, and the sequence's slot. */
export interface Place {
  readonly position: number;
  readonly slot: number;
}

/** Bytes of a State with room for so many columns. */
export function stateBytes(columns: number): number {
  return (HEADER_WORDS + columns * PLACE_WORDS) * 4;
}

/** The State of a pass over these columns, of which those in `outputs` are to have logits. */
export function encodeState(
  columns: readonly Place[],
  outputs: readonly number[],
  capacity: number,
  advance: boolean,
): Uint32Array {
  const words = new Uint32Array(HEADER_WORDS + columns.length * PLACE_WORDS);
  words.set([columns.length, outputs.length, capacity, advance ? 1 : 0]);
  for (const [i, { position, slot }] of columns.entries())
    words.set([position, slot, outputs[i] ?? 0], HEADER_WORDS + i * PLACE_WORDS);
  return words;
}

/** As in choose-*.wgsl. */
const CHOICE_CODES = { none: 0, list: 0, greedy: 1, noise: 2, top: 3 } as const;

/** What the GPU wants to know of a sequence's sampling; see Sampling in sampler.ts. */
export interface SamplerState {
  /** Who chooses in a pass over sequences that are sampled in several ways. */
  readonly choice?: keyof typeof CHOICE_CODES | undefined;
  readonly seed: number;
  readonly topK: number;
  readonly temperature: number;
  readonly topP: number;
  readonly minP: number;
}

/** A slot's Sampler. */
export function encodeSampler({ seed, topK, temperature, topP, minP, choice = 'none' }: SamplerState): Uint32Array {
  const words = new Uint32Array(SAMPLER_WORDS);
  words.set([seed, topK]);
  new Float32Array(words.buffer).set([temperature, topP, minP], 2);
  words[5] = CHOICE_CODES[choice];
  return words;
}

const EDITS_HEADER_WORDS = 2;
const EDIT_WORDS = 3;

/** Bytes of one slot's Edits. */
export function editsBytes(mostEdits: number): number {
  return (EDITS_HEADER_WORDS + mostEdits * EDIT_WORDS) * 4;
}

/** A slot's Edits; the mask goes into a buffer of its own. */
export function encodeEdits({ ids, divisors, biases, mask }: Edits): Uint32Array {
  const words = new Uint32Array(EDITS_HEADER_WORDS + ids.length * EDIT_WORDS);
  const floats = new Float32Array(words.buffer);
  words.set([ids.length, mask ? 1 : 0]);
  for (let i = 0; i < ids.length; i++) {
    const at = EDITS_HEADER_WORDS + i * EDIT_WORDS;
    words[at] = ids[i] as number;
    floats[at + 1] = divisors[i] as number;
    floats[at + 2] = biases[i] as number;
  }
  return words;
}

/** Most candidates that rank.wgsl lists. */
export const MOST_CANDIDATES = 64;
const CANDIDATES_HEADER_WORDS = 8;

export const CANDIDATES_BYTES = (CANDIDATES_HEADER_WORDS + 2 * MOST_CANDIDATES) * 4;

/** The best logits of a vocabulary in descending order, of equals the lower id first, and sums over the whole of it. */
export interface Candidates {
  readonly ids: Uint32Array;
  readonly logits: Float32Array;
  /** The largest logit. */
  readonly best: number;
  /** Sum of exp(x), x = logit - best. */
  readonly sum: number;
  /** Sum of exp(x / temperature). */
  readonly temperedSum: number;
  /** Sum of exp(x / temperature) x / temperature. */
  readonly moment: number;
}

/** The candidates of a choice before its edits, and what came of it. */
export interface Report extends Candidates {
  /** Logit of the chosen token, with its edits. */
  readonly chosen: number;
}

/** What a slot's Candidates say. */
export function decodeCandidates(bytes: Uint8Array): Report {
  assert(bytes.length === CANDIDATES_BYTES, `candidates of ${bytes.length} bytes`);
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  const floats = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  const [count = 0] = words;
  const [, best = 0, sum = 0, temperedSum = 0, moment = 0, chosen = 0] = floats;
  const ids = new Uint32Array(count);
  const logits = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    ids[i] = words[CANDIDATES_HEADER_WORDS + 2 * i] as number;
    logits[i] = floats[CANDIDATES_HEADER_WORDS + 2 * i + 1] as number;
  }
  return { ids, logits, best, sum, temperedSum, moment, chosen };
}
