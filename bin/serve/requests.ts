/** What clients may send, field by field, and what that means to the engine. */
import * as v from 'valibot';
import type { ChatMessage } from '../../engine/chat-template.ts';
import type { TextOptions } from '../../engine/generate-text.ts';
import { RequestError } from './errors.ts';

const MOST_MESSAGES = 4096;
const MOST_STOPS = 16;
const MOST_TOOLS = 128;
const MOST_CHOICES = 8;
const MOST_INPUTS = 2048;
const MOST_ALTERNATIVES = 20;

const whole = (least: number, most: number) => v.pipe(v.number(), v.integer(), v.minValue(least), v.maxValue(most));
const between = (least: number, most: number) => v.pipe(v.number(), v.minValue(least), v.maxValue(most));
/** OpenAI's clients send null for what is not given. */
const maybe = <T extends v.GenericSchema>(schema: T) => v.optional(v.nullable(schema));

const Name = v.pipe(v.string(), v.maxLength(256));
const Stop = v.union([v.string(), v.pipe(v.array(v.string()), v.maxLength(MOST_STOPS))]);
/** Of an answer; -1 is how many clients say that there is no limit. */
const Limit = v.union([v.literal(-1), whole(1, 2 ** 31 - 1)]);
const Tokens = v.pipe(v.array(whole(0, 2 ** 31)), v.minLength(1));
const JsonObject = v.record(v.string(), v.unknown());

/** Sampling as OpenAI, llama.cpp and others call it; all of it is optional. */
const SAMPLING = {
  temperature: maybe(between(0, 100)),
  top_p: maybe(between(0, 1)),
  top_k: maybe(whole(-1, 2 ** 31 - 1)),
  min_p: maybe(between(0, 1)),
  typical_p: maybe(between(0, 1)),
  seed: maybe(v.pipe(v.number(), v.integer())),
  presence_penalty: maybe(between(-100, 100)),
  frequency_penalty: maybe(between(-100, 100)),
  repeat_penalty: maybe(between(0.01, 100)),
  repetition_penalty: maybe(between(0.01, 100)),
  repeat_last_n: maybe(whole(-1, 2 ** 31 - 1)),
  dry_multiplier: maybe(between(0, 100)),
  dry_base: maybe(between(1, 100)),
  dry_allowed_length: maybe(whole(1, 2 ** 31 - 1)),
  logit_bias: maybe(v.record(v.string(), between(-1000, 1000))),
  ignore_eos: maybe(v.boolean()),
  stop: maybe(Stop),
};

const Part = v.looseObject({ type: v.string(), text: v.optional(v.string()), refusal: v.optional(v.string()) });
const Message = v.looseObject({
  role: v.picklist(['system', 'developer', 'user', 'assistant', 'tool']),
  content: maybe(v.union([v.string(), v.array(Part)])),
  tool_calls: maybe(
    v.pipe(
      v.array(v.looseObject({ function: v.looseObject({ name: Name, arguments: v.union([v.string(), JsonObject]) }) })),
      v.maxLength(MOST_TOOLS),
    ),
  ),
});

const Tool = v.looseObject({
  type: v.literal('function'),
  function: v.looseObject({ name: v.pipe(Name, v.minLength(1)), parameters: maybe(JsonObject) }),
});

const ResponseFormat = v.variant('type', [
  v.object({ type: v.literal('text') }),
  v.object({ type: v.literal('json_object'), schema: maybe(JsonObject) }),
  v.object({
    type: v.literal('json_schema'),
    json_schema: v.looseObject({ schema: maybe(v.union([JsonObject, v.boolean()])) }),
  }),
]);

const STREAMING = {
  stream: maybe(v.boolean()),
  stream_options: maybe(v.looseObject({ include_usage: maybe(v.boolean()) })),
  n: maybe(whole(1, MOST_CHOICES)),
  user: maybe(v.string()),
  /** As llama.cpp's server: the progress of the prompt comes as events too. */
  return_progress: maybe(v.boolean()),
  keep_alive: maybe(v.union([v.string(), v.number()])),
};

export const ChatRequest = v.looseObject({
  model: maybe(Name),
  messages: v.pipe(v.array(Message), v.minLength(1), v.maxLength(MOST_MESSAGES)),
  max_tokens: maybe(Limit),
  max_completion_tokens: maybe(Limit),
  logprobs: maybe(v.boolean()),
  top_logprobs: maybe(whole(0, MOST_ALTERNATIVES)),
  response_format: maybe(ResponseFormat),
  tools: maybe(v.pipe(v.array(Tool), v.maxLength(MOST_TOOLS))),
  /** A function by name must be one of the tools. */
  tool_choice: maybe(
    v.union([
      v.picklist(['none', 'auto', 'required']),
      v.looseObject({ type: v.literal('function'), function: v.looseObject({ name: Name }) }),
    ]),
  ),
  /** As in OpenAI's newer API. `auto`: the oldest turns are left out where the context is too small for all. Default disabled. */
  truncation: maybe(v.picklist(['auto', 'disabled'])),
  reasoning_effort: maybe(v.string()),
  chat_template_kwargs: maybe(JsonObject),
  ...STREAMING,
  ...SAMPLING,
});

export const CompletionRequest = v.looseObject({
  model: maybe(Name),
  prompt: v.union([
    v.string(),
    Tokens,
    v.pipe(v.array(v.union([v.string(), Tokens])), v.minLength(1), v.maxLength(32)),
  ]),
  max_tokens: maybe(v.union([Limit, v.literal(0)])),
  logprobs: maybe(whole(0, MOST_ALTERNATIVES)),
  echo: maybe(v.boolean()),
  suffix: maybe(v.string()),
  best_of: maybe(whole(1, MOST_CHOICES)),
  response_format: maybe(ResponseFormat),
  ...STREAMING,
  ...SAMPLING,
});

const Input = v.union([
  v.string(),
  Tokens,
  v.pipe(v.array(v.union([v.string(), Tokens])), v.minLength(1), v.maxLength(MOST_INPUTS)),
]);

export const EmbeddingRequest = v.looseObject({
  model: maybe(Name),
  input: Input,
  encoding_format: maybe(v.picklist(['float', 'base64'])),
  dimensions: maybe(whole(1, 2 ** 20)),
  user: maybe(v.string()),
});

export const TokenizeRequest = v.looseObject({
  model: maybe(Name),
  content: v.string(),
  add_special: maybe(v.boolean()),
  with_pieces: maybe(v.boolean()),
});

export const DetokenizeRequest = v.looseObject({ model: maybe(Name), tokens: v.array(whole(0, 2 ** 31)) });

/** Ollama's options; those that are about how the model is loaded are the server's own business. */
const OllamaOptions = v.looseObject({
  ...SAMPLING,
  num_predict: maybe(whole(-2, 2 ** 31 - 1)),
});

const OLLAMA = {
  model: Name,
  stream: maybe(v.boolean()),
  format: maybe(v.union([v.picklist(['', 'json']), JsonObject])),
  options: maybe(OllamaOptions),
  keep_alive: maybe(v.union([v.string(), v.number()])),
  think: maybe(v.union([v.boolean(), v.string()])),
  logprobs: maybe(v.boolean()),
  top_logprobs: maybe(whole(0, MOST_ALTERNATIVES)),
};

export const OllamaChatRequest = v.looseObject({
  ...OLLAMA,
  /** None: the model is loaded. */
  messages: maybe(
    v.pipe(
      v.array(v.looseObject({ ...Message.entries, images: maybe(v.array(v.string())), thinking: maybe(v.string()) })),
      v.maxLength(MOST_MESSAGES),
    ),
  ),
  tools: maybe(v.pipe(v.array(Tool), v.maxLength(MOST_TOOLS))),
  /** The oldest turns are left out where the context is too small for all. Default true. */
  truncate: maybe(v.boolean()),
});

export const OllamaGenerateRequest = v.looseObject({
  ...OLLAMA,
  prompt: maybe(v.string()),
  system: maybe(v.string()),
  raw: maybe(v.boolean()),
  images: maybe(v.array(v.string())),
  suffix: maybe(v.string()),
});

export const OllamaEmbedRequest = v.looseObject({
  model: Name,
  input: v.union([v.string(), v.pipe(v.array(v.string()), v.maxLength(MOST_INPUTS))]),
  /** Texts that are longer than the context are cut; false: they are refused. Default true. */
  truncate: maybe(v.boolean()),
  dimensions: maybe(whole(1, 2 ** 20)),
  keep_alive: OLLAMA.keep_alive,
});

export const OllamaEmbeddingsRequest = v.looseObject({
  model: Name,
  prompt: v.string(),
  keep_alive: OLLAMA.keep_alive,
});

export const OllamaShowRequest = v.looseObject({ model: v.optional(Name), name: v.optional(Name) });

/** A body that follows a schema. Throws RequestError that names the field. */
export function parseBody<T extends v.GenericSchema>(schema: T, body: unknown): v.InferOutput<T> {
  const result = v.safeParse(schema, body, { abortEarly: true });
  if (result.success) return result.output;
  const [issue] = result.issues;
  const path = v.getDotPath(issue) ?? '';
  const what = path === '' ? 'the request' : path;
  throw new RequestError(400, 'invalid_value', `${what}: ${issue.message.replace(/\s+/g, ' ').slice(0, 300)}`, {
    param: path,
  });
}

type Sampling = v.InferOutput<v.ObjectSchema<typeof SAMPLING, undefined>>;

const MOST_SEED = 2 ** 32;

/** The engine's names for how tokens are chosen. Throws RequestError. */
export function textOptions(request: Sampling): TextOptions {
  const { stop, seed, repeat_last_n: window, top_k: topK, top_p: topP, typical_p: typicalP } = request;
  const stops = typeof stop === 'string' ? [stop] : (stop ?? []);
  return {
    temperature: request.temperature ?? undefined,
    // 0 and below are ways to say all of them, or the best alone
    topK: topK === undefined || topK === null ? undefined : Math.max(topK, 0),
    topP: topP === undefined || topP === null ? undefined : Math.max(topP, 1e-6),
    minP: request.min_p ?? undefined,
    typicalP: typicalP === undefined || typicalP === null ? undefined : Math.max(typicalP, 1e-6),
    seed: typeof seed === 'number' ? ((seed % MOST_SEED) + MOST_SEED) % MOST_SEED : undefined,
    presencePenalty: request.presence_penalty ?? undefined,
    frequencyPenalty: request.frequency_penalty ?? undefined,
    repetitionPenalty: request.repetition_penalty ?? request.repeat_penalty ?? undefined,
    penaltyTokens: typeof window === 'number' && window >= 0 ? window : undefined,
    dryMultiplier: request.dry_multiplier ?? undefined,
    dryBase: request.dry_base ?? undefined,
    dryAllowedLength: request.dry_allowed_length ?? undefined,
    logitBias: request.logit_bias ? biasMap(request.logit_bias) : undefined,
    ignoreEos: request.ignore_eos ?? undefined,
    stop: stops.filter((text) => text !== ''),
  };
}

function biasMap(biases: Readonly<Record<string, number>>): Map<number, number> {
  const map = new Map<number, number>();
  for (const [id, bias] of Object.entries(biases)) {
    if (!/^\d+$/.test(id))
      throw new RequestError(400, 'invalid_value', `logit_bias: ${JSON.stringify(id.slice(0, 40))} is no token id`, {
        param: 'logit_bias',
      });
    map.set(Number(id), bias);
  }
  return map;
}

type GivenMessage = v.InferOutput<typeof Message>;

/**
 * Messages as chat templates take them: contents as text, arguments of calls as values, OpenAI's newer name for the system as the
 * name that templates know. Throws RequestError for pictures.
 */
export function chatMessages(messages: readonly GivenMessage[]): ChatMessage[] {
  return messages.map((message, index) => {
    const { role, content, tool_calls: calls, ...rest } = message;
    const text = textOf(content, `messages.${index}.content`);
    return {
      ...rest,
      role: role === 'developer' ? 'system' : role,
      // templates that know calls may ask whether there is no content; others trim it
      content: text ?? (calls ? null : ''),
      ...(calls && { tool_calls: calls.map(withParsedArguments) }),
    };
  });
}

/** What a limit of tokens means to the engine. */
export function mostTokens(limit: number | null | undefined): number | undefined {
  return limit === -1 ? undefined : (limit ?? undefined);
}

function textOf(content: GivenMessage['content'], param: string): string | undefined {
  if (content === undefined || content === null || typeof content === 'string') return content ?? undefined;
  return content
    .map(({ type, text, refusal }) => {
      if (text !== undefined || refusal !== undefined) return text ?? refusal;
      throw new RequestError(
        400,
        'invalid_value',
        `${param}: parts of type ${JSON.stringify(type)} are not read: send text`,
        {
          param,
        },
      );
    })
    .join('');
}

function withParsedArguments<T extends { readonly function: { readonly arguments: unknown } }>(call: T): T {
  const given = call.function.arguments;
  if (typeof given !== 'string') return call;
  try {
    const value: unknown = JSON.parse(given);
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? { ...call, function: { ...call.function, arguments: value } } : call;
  } catch {
    return call; // not what it should be, but what the model said
  }
}

/** The JSON schema that an answer is to follow; true: any object. */
export function wantedSchema(
  format: v.InferOutput<typeof ResponseFormat> | null | undefined,
): object | boolean | undefined {
  if (!format || format.type === 'text') return undefined;
  if (format.type === 'json_object') return format.schema ?? true;
  return format.json_schema.schema ?? true;
}

/** Throws RequestError for a choice that none of the tools meets. */
export function checkToolChoice(
  tools: readonly v.InferOutput<typeof Tool>[],
  choice: v.InferOutput<typeof ChatRequest>['tool_choice'],
): void {
  const name = typeof choice === 'object' ? choice?.function.name : undefined;
  const met =
    name === undefined ? choice !== 'required' || tools.length > 0 : tools.some((tool) => tool.function.name === name);
  if (!met)
    throw new RequestError(400, 'invalid_value', 'tool_choice: there is no such function among the tools', {
      param: 'tool_choice',
    });
}
