/** Changes to logits before a token is chosen, as the GPU applies them (edit.wgsl), and the same on the CPU. */

/** Ids ascend; each is there once. */
export interface Edits {
  readonly ids: Uint32Array;
  /** Logits above 0 are divided by this, others multiplied. 1 = as they are. */
  readonly divisors: Float32Array;
  /** Added then. */
  readonly biases: Float32Array;
  /** Ids that may be chosen, a bit each, [ceil(vocab / 32)]; undefined: all. */
  readonly mask: Uint32Array | undefined;
}

/** The logit of a token that must not be chosen: finite, for WGSL knows no infinity, and its weight is 0 at any temperature. */
export const FORBIDDEN = -1e30;

/** Changes logits in place. The twin of edit.wgsl. */
export function applyEdits(logits: Float32Array, { ids, divisors, biases, mask }: Edits): void {
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i] as number;
    const logit = logits[id] as number;
    const divisor = divisors[i] as number;
    logits[id] = Math.fround(logit > 0 ? logit / divisor : logit * divisor) + (biases[i] as number);
  }
  if (mask) for (let id = 0; id < logits.length; id++) if (!isAllowed(mask, id)) logits[id] = FORBIDDEN;
}

/** What a token's logit was before the edits, from what it became. */
export function beforeEdits({ ids, divisors, biases }: Edits, id: number, logit: number): number {
  const i = find(ids, id);
  if (i === undefined) return logit;
  const scaled = logit - (biases[i] as number);
  return scaled > 0 ? scaled * (divisors[i] as number) : scaled / (divisors[i] as number);
}

export function isAllowed(mask: Uint32Array, id: number): boolean {
  return (((mask[id >>> 5] as number) >>> (id & 31)) & 1) === 1;
}

function find(ids: Uint32Array, id: number): number | undefined {
  let low = 0;
  let high = ids.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ids[middle] as number) < id) low = middle + 1;
    else high = middle;
  }
  return ids[low] === id ? low : undefined;
}
