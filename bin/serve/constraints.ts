/** What an answer must look like: JSON of any kind or by a schema. */
import type { Model } from '../../engine/model.ts';
import type { Constraint } from '../../engine/steering.ts';
import { RequestError } from './errors.ts';

/** Makes the constraint of one answer; undefined where there is none. */
export type Constraints = () => Constraint | undefined;

/**
 * @param schema a JSON schema; true: any JSON object; undefined: whatever the model says
 * Throws RequestError for a schema that is not understood.
 */
export function prepareConstraints(_model: Model, schema: object | boolean | undefined): Constraints {
  if (schema === undefined) return () => undefined;
  throw new RequestError(400, 'unsupported_value', 'response_format: only text is there yet', {
    param: 'response_format',
  });
}
