/** The small buffers that tell a pass what it is over; their layouts stand in state.wgsl, sampler.wgsl and ring.wgsl. */

/** Places of the ring in which a slot's chosen tokens wait for the CPU. */
export const RING = 64;
/** In `tokens`: the one that the GPU chose for this position. */
export const FROM_RING = 0xffffffff;

const HEADER_WORDS = 4;
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
const CHOICE_CODES = { none: 0, greedy: 1, noise: 2, top: 3 } as const;

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
