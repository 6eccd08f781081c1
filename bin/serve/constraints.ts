/** What an answer must look like: JSON of any kind, by a schema, or a call of one of several functions. */
import { prepareGrammar, type TokenGrammar } from '../../engine/grammar-constraint.ts';
import { JSON_GRAMMAR } from '../../engine/grammar-json.ts';
import { grammarOfSchema } from '../../engine/grammar-schema.ts';
import type { Model } from '../../engine/model.ts';
import type { Constraint } from '../../engine/steering.ts';
import { tokenizerOf } from './prompts.ts';

/** Makes the constraint of one answer; undefined where there is none. */
export type Constraints = () => Constraint | undefined;

/** Grammars of a model that are kept ready. */
const MOST_KEPT = 32;
const kept = new WeakMap<Model, Map<string, TokenGrammar>>();

/**
 * @param schema a JSON schema; true: any JSON object; undefined: whatever the model says
 * Throws `bad-argument` for a schema that cannot be kept to.
 */
export function prepareConstraints(name: string, model: Model, schema: object | boolean | undefined): Constraints {
  if (schema === undefined) return () => undefined;
  const grammar = preparedGrammar(name, model, schema);
  return () => grammar.start();
}

function preparedGrammar(name: string, model: Model, schema: object | boolean): TokenGrammar {
  const grammars = kept.get(model) ?? new Map<string, TokenGrammar>();
  kept.set(model, grammars);
  const key = JSON.stringify(schema);
  const grammar =
    grammars.get(key) ??
    prepareGrammar(
      schema === true ? JSON_GRAMMAR : grammarOfSchema(schema),
      tokenizerOf(name, model),
      model.config.vocab,
    );
  grammars.delete(key);
  grammars.set(key, grammar); // last in the order of use
  const [oldest] = grammars.keys();
  if (grammars.size > MOST_KEPT && oldest !== undefined) grammars.delete(oldest);
  return grammar;
}

interface FunctionTool {
  readonly function: { readonly name: string; readonly parameters?: object | null | undefined };
}

type ToolChoice = string | { readonly function: { readonly name: string } } | null | undefined;

/** The schema of a call that must be made; undefined where the model may choose. */
export function callSchema(tools: readonly FunctionTool[], choice: ToolChoice): object | undefined {
  const name = typeof choice === 'object' && choice !== null ? choice.function.name : undefined;
  if (name === undefined && choice !== 'required') return undefined;
  const calls = tools
    .filter((tool) => name === undefined || tool.function.name === name)
    .map((tool) => ({
      type: 'object',
      properties: {
        name: { const: tool.function.name },
        arguments: tool.function.parameters ?? { type: 'object' },
      },
      required: ['name', 'arguments'],
      additionalProperties: false,
    }));
  return calls.length === 1 ? calls[0] : { anyOf: calls };
}
