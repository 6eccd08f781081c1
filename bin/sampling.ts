/** The flags that say how tokens are chosen, what a text must be and where it ends, for all commands that make text. */
import type { TextOptions } from '../engine/generate-text.ts';
import type { Grammar } from '../engine/grammar.ts';
import { FirstlightError } from '../quant/errors.ts';
import { type Flags, UsageError, type Values } from './arguments.ts';
import { readTextFile } from './model.ts';

export const MOST_SEED = 2 ** 32 - 1;

const MOST_WHOLE = 2 ** 31 - 1;

export const SAMPLING_FLAGS = {
  temp: {
    kind: 'number',
    whole: false,
    least: 0,
    most: 100,
    about: 'temperature; 0 always takes the most probable token (default 0.8)',
  },
  'top-k': { kind: 'number', whole: true, least: 0, most: MOST_WHOLE, about: 'only the k best; 0 = all (default 40)' },
  'top-p': {
    kind: 'number',
    whole: false,
    least: 1e-6,
    most: 1,
    about: 'only the best that together have this probability; 1 = all (default 0.95)',
  },
  'min-p': {
    kind: 'number',
    whole: false,
    least: 0,
    most: 1,
    about: 'only those at least this probable relative to the best; 0 = all (default 0)',
  },
  typical: {
    kind: 'number',
    whole: false,
    least: 1e-6,
    most: 1,
    about: 'only those as surprising as is usual here, together this probable; 1 = all (default 1)',
  },
  'repeat-penalty': {
    kind: 'number',
    whole: false,
    least: 0.01,
    most: 100,
    about: 'makes what prompt or text have less probable; 1 = off (default 1)',
  },
  'presence-penalty': {
    kind: 'number',
    whole: false,
    least: -100,
    most: 100,
    about: 'taken from the logits of what the text has (default 0)',
  },
  'frequency-penalty': {
    kind: 'number',
    whole: false,
    least: -100,
    most: 100,
    about: 'taken from them for each time (default 0)',
  },
  'penalty-tokens': {
    kind: 'number',
    whole: true,
    least: 0,
    most: MOST_WHOLE,
    about: 'how many of the last tokens these penalties look at (default all)',
  },
  dry: {
    kind: 'number',
    whole: false,
    least: 0,
    most: 100,
    about: 'strength of DRY, which makes it costly to go on with a repetition; 0 = off (default 0)',
  },
  'dry-base': { kind: 'number', whole: false, least: 1, most: 100, about: 'growth of DRY with length (default 1.75)' },
  'dry-length': {
    kind: 'number',
    whole: true,
    least: 1,
    most: MOST_WHOLE,
    about: 'repetitions that DRY lets be (default 2)',
  },
  'logit-bias': {
    kind: 'texts',
    placeholder: 'ID=BIAS',
    about: 'added to the logit of a token, e.g. 42=-1.5, or 42=false to forbid it; may be given several times',
  },
  stop: { kind: 'texts', placeholder: 'TEXT', about: 'ends the text, and is left out; may be given several times' },
  'ignore-eos': { kind: 'switch', about: 'the model must go on to the most tokens: its end tokens are forbidden' },
  'json-schema': {
    kind: 'text',
    placeholder: 'FILE',
    about: 'the text becomes a JSON document of this schema; what begins with { is the schema itself, {} any JSON',
  },
  grammar: { kind: 'text', placeholder: 'FILE', about: "the text follows this grammar, in llama.cpp's notation GBNF" },
  seed: { kind: 'number', whole: true, least: 0, most: MOST_SEED, about: 'makes the draw repeatable (default random)' },
} as const satisfies Flags;

/**
 * The flags as options of the engine. Throws UsageError for a bias that is none and for two grammars, `bad-argument` for a
 * grammar or schema that cannot be used.
 */
export async function samplingOptions(values: Values<typeof SAMPLING_FLAGS>): Promise<TextOptions> {
  return {
    grammar: await readGrammar(values),
    temperature: values.temp,
    topK: values['top-k'],
    topP: values['top-p'],
    minP: values['min-p'],
    typicalP: values.typical,
    repetitionPenalty: values['repeat-penalty'],
    presencePenalty: values['presence-penalty'],
    frequencyPenalty: values['frequency-penalty'],
    penaltyTokens: values['penalty-tokens'],
    dryMultiplier: values.dry,
    dryBase: values['dry-base'],
    dryAllowedLength: values['dry-length'],
    logitBias: readBiases(values['logit-bias']),
    stop: values.stop?.map(readEscapes),
    ignoreEos: values['ignore-eos'],
    seed: values.seed,
  };
}

async function readGrammar(values: Values<typeof SAMPLING_FLAGS>): Promise<Grammar | undefined> {
  const { grammar, 'json-schema': schema } = values;
  if (grammar !== undefined && schema !== undefined)
    throw new UsageError('--grammar and --json-schema together: the text can follow only one of them');
  if (grammar !== undefined) {
    const { parseGbnf } = await import('../engine/grammar-gbnf.ts');
    return parseGbnf(await readTextFile(grammar, '--grammar'));
  }
  if (schema === undefined) return undefined;
  const text = schema.trimStart().startsWith('{') ? schema : await readTextFile(schema, '--json-schema');
  const { grammarOfSchema } = await import('../engine/grammar-schema.ts');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new FirstlightError('bad-argument', `--json-schema is no JSON: ${(cause as Error).message}`, { cause });
  }
  return grammarOfSchema(value);
}

function readBiases(texts: readonly string[] | undefined): ReadonlyMap<number, number> | undefined {
  return (
    texts &&
    new Map(
      texts.map((text) => {
        const [, id, bias] = text.match(/^(\d+)=(false|[-+]?\d+(?:\.\d+)?)$/) ?? [];
        if (id === undefined || bias === undefined)
          throw new UsageError(`--logit-bias is ${JSON.stringify(text)}: it must be ID=NUMBER or ID=false`);
        return [Number(id), bias === 'false' ? Number.NEGATIVE_INFINITY : Number(bias)] as const;
      }),
    )
  );
}

/** `\n` and `\t` as a shell's user would write them. */
function readEscapes(text: string): string {
  return text.replaceAll('\\n', '\n').replaceAll('\\t', '\t');
}
