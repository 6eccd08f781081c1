/** All that changes a sequence's logits before the next token is chosen: penalties, biases, a grammar. */
import type { Edits } from './edits.ts';
import { createPenalties, type Penalties, type TokenFacts } from './penalties.ts';

/** Says which tokens may come next, as a grammar does; told each one that comes. */
export interface Constraint {
  /** A bit for each id, [ceil(vocab / 32)]; at least one is set. Valid until `accept`. */
  mask(): Uint32Array;
  /** Throws for a token that the mask does not have. */
  accept(id: number): void;
  /** Nothing may follow any more. */
  readonly done: boolean;
}

export interface Steering {
  /** `never`: nothing is changed. `once`: the same for every token. `always`: each token decides about the next ones. */
  readonly changes: 'never' | 'once' | 'always';
  /** For the next token; valid until `accept`. */
  edits(): Edits;
  /** The text goes on with this token. */
  accept(id: number): void;
}

/** Changes nothing. */
export const NO_EDITS: Edits = {
  ids: new Uint32Array(0),
  divisors: new Float32Array(0),
  biases: new Float32Array(0),
  mask: undefined,
};

/** Of a text of which the first `promptTokens` ids (default all) are the prompt. Throws `bad-argument` for penalties outside their range. */
export function createSteering(
  penalties: Penalties & { readonly promptTokens?: number | undefined },
  constraint: Constraint | undefined,
  ids: readonly number[],
  tokens: TokenFacts,
): Steering {
  const { promptTokens = ids.length } = penalties;
  const state = createPenalties(penalties, ids.slice(0, promptTokens), tokens);
  for (const id of ids.slice(promptTokens)) state?.accept(id); // the constraint has seen them
  return {
    changes: constraint || state?.changes ? 'always' : state ? 'once' : 'never',
    edits: () => {
      const edits = state?.edits() ?? NO_EDITS;
      return constraint ? { ...edits, mask: constraint.mask() } : edits;
    },
    accept(id) {
      state?.accept(id);
      constraint?.accept(id);
    },
  };
}
