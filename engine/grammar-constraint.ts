/** A grammar on a vocabulary, as the constraint of texts. */
import { FirstlightError } from '../quant/errors.ts';
import { checkGrammar, type Grammar } from './grammar.ts';
import { compileAutomaton } from './grammar-automaton.ts';
import { createMasks } from './grammar-masks.ts';
import { createStates, DEAD } from './grammar-states.ts';
import { trieOf } from './grammar-trie.ts';
import type { Constraint } from './steering.ts';
import type { Tokenizer } from './tokenizer.ts';

/** With more states, all are forgotten and made anew. */
const MOST_STATES = 100_000;

/** A grammar made ready for a vocabulary; may serve any number of texts. */
export interface TokenGrammar {
  /** The constraint of one text. */
  start(): Constraint;
}

const prepared = new WeakMap<Tokenizer, WeakMap<Grammar, TokenGrammar>>();

/**
 * Makes a grammar ready, once: the same object gives the same result, with all that earlier texts have found out.
 *
 * @param grammar is checked
 * @param vocab logits of the tokenizer's model, which may be more than it has tokens
 * Throws `bad-argument` for a grammar that cannot be run.
 */
export function prepareGrammar(grammar: Grammar, tokenizer: Tokenizer, vocab: number): TokenGrammar {
  const known = prepared.get(tokenizer) ?? new WeakMap<Grammar, TokenGrammar>();
  prepared.set(tokenizer, known);
  let made = known.get(grammar);
  if (!made) {
    made = createTokenGrammar(grammar, tokenizer, vocab);
    known.set(grammar, made);
  }
  return made;
}

function createTokenGrammar(grammar: Grammar, tokenizer: Tokenizer, vocab: number): TokenGrammar {
  checkGrammar(grammar);
  const automaton = compileAutomaton(grammar);
  const create = () => {
    const states = createStates(automaton);
    let masks: ReturnType<typeof createMasks> | undefined;
    const maskOf = (state: number): Uint32Array => {
      // the vocabulary's trie takes a moment, so it is not made before the GPU is busy with the prompt
      masks ??= createMasks(states, trieOf(tokenizer), tokenizer.eos, vocab);
      return masks(state);
    };
    return { states, maskOf };
  };
  let shared = create();
  return {
    start() {
      if (shared.states.count > MOST_STATES) shared = create();
      const { states, maskOf } = shared; // this text's own for good
      let state = states.start;
      let ended = false;
      return {
        mask: () => maskOf(state),
        accept(id) {
          if (tokenizer.eos.includes(id) && states.ends(state)) {
            ended = true;
            return;
          }
          let next = state;
          const bytes = tokenizer.isSpecial(id) ? [] : tokenizer.bytes(id);
          for (const byte of bytes) if (next !== DEAD) next = states.next(next, byte);
          if (next === DEAD || bytes.length === 0)
            throw new FirstlightError('bad-argument', `token ${id} is not what the grammar allows here`);
          state = next;
        },
        get done() {
          return ended || (states.ends(state) && states.isOver(state));
        },
      };
    },
  };
}
