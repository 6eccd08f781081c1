import * as assert from 'uvu/assert';
import { type ErrorCode, FirstlightError } from '../../quant/errors.ts';

/** The work must throw a FirstlightError with this code and a message of one line that matches. */
export async function expectError(work: () => unknown, code: ErrorCode, message: RegExp): Promise<void> {
  let error: unknown;
  try {
    await work();
  } catch (thrown) {
    error = thrown;
  }
  if (error === undefined) assert.unreachable(`no error where ${code} with ${message} was expected`);
  if (!(error instanceof FirstlightError)) throw error;
  assert.is(error.code, code, error.message);
  assert.match(error.message, message);
  assert.not.match(error.message, /\n/);
}
