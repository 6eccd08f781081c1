/** The library: `import { openDevice, openCheckpoint, loadModel, createSession } from 'firstlight'`. */
export type { Budget } from '../devices/budget.ts';
export { findAdapter, listAdapters, openDevice } from '../devices/open.ts';
export { readTopology, type Topology } from '../devices/topology.ts';
export type { AdapterInfo, Device, DeviceOptions, Purpose, Traits } from '../devices/types.ts';
export { builtinPath, openCheckpoint } from '../loaders/checkpoint.ts';
export { type Pulled, type PullOptions, pull } from '../loaders/hub/pull.ts';
export { findModel, listModels, removeModel, type StoredModel, storeFolder } from '../loaders/hub/store.ts';
export { BUILTIN, openModel } from '../loaders/named.ts';
export type { Checkpoint, LlamaConfig } from '../loaders/types.ts';
export { type ErrorCode, FirstlightError } from '../quant/errors.ts';
export { type Batch, type BatchOptions, createBatch } from './batch.ts';
export { type Chat, type ChatSettings, createChat } from './chat.ts';
export { CHAT_FAMILIES, type ChatFamily } from './chat-families.ts';
export { type ChatMessage, type ChatOptions, encodeChat, renderChat } from './chat-template.ts';
export { type ContextEnd, type Dropped, type WhenFull, withContextEnd } from './context-end.ts';
export { createDurableSession, type DurableOptions } from './durable-session.ts';
export { type ContextOption, type Estimate, type EstimateOptions, estimate } from './estimate.ts';
export {
  generateSamples,
  generateText,
  type Sample,
  type TextOptions,
  type TextPart,
  type TokenSource,
} from './generate-text.ts';
export type { Grammar } from './grammar.ts';
export { prepareGrammar, type TokenGrammar } from './grammar-constraint.ts';
export { parseGbnf } from './grammar-gbnf.ts';
export { JSON_GRAMMAR } from './grammar-json.ts';
export { grammarOfSchema } from './grammar-schema.ts';
export type { Logprob, Logprobs } from './logprobs.ts';
export { type LoadOptions, loadModel, type MemoryOptions, type Model } from './model.ts';
export type { Penalties } from './penalties.ts';
export { measurePerplexity, type Perplexity, type PerplexityOptions } from './perplexity.ts';
export type { CompleteSampling, Sampling } from './sampler.ts';
export type { BatchStats, BatchTokenOptions } from './sequence.ts';
export {
  createSession,
  type GeneratedToken,
  type GenerateOptions,
  type Session,
  type SessionOptions,
  type Stats,
  type TokenOptions,
} from './session.ts';
export { describeSpeeds, type Speeds, speedsOf } from './speeds.ts';
export type { Constraint } from './steering.ts';
export { createTextStream, type TextStream, type TextStreamOptions } from './text-stream.ts';
export { createTokenizer, type Tokenizer } from './tokenizer.ts';
export type { WeightsOption } from './weights.ts';
