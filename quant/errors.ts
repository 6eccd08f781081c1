/**
 * The errors a caller can act on. Every message says what is wrong, where, and what to do about it, in one line.
 * The class sits in the lowest layer so that every layer may throw it; each layer adds its own codes.
 */
export type ErrorCode =
  | 'bad-file' // damaged, truncated or not what it claims to be
  | 'unsupported-model' // a sound file that firstlight does not run
  | 'bad-tokenizer' // a tokenizer that cannot be read or does not fit the model
  | 'bad-argument' // a value that the caller passed
  | 'no-adapter' // no usable Vulkan device
  | 'not-enough-memory'
  | 'device-lost'
  | 'device-timeout' // the GPU did not answer in time
  | 'queue-full' // too many requests wait already
  | 'unknown-model' // no model has this name
  | 'context-full' // the prompt or the text no longer fits the context
  | 'download-failed' // a server or the way to it: what was there is kept
  | 'disk-full'
  | 'wrong-result'; // a self-test failed: driver or hardware computes wrongly

/** An error that the caller can act on: `code` says what kind it is, the message what to do. */
export class FirstlightError extends Error {
  readonly code: ErrorCode;
  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'FirstlightError';
    this.code = code;
  }
}

/** States an invariant of our own code; a failure is a bug in firstlight, not a mistake of the caller. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`firstlight bug: ${message}`);
}
