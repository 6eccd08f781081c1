/** JSON schemas as values: what two say together, and whether two can both hold. */

export type Schema = Readonly<Record<string, unknown>>;

export function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Keywords that say something of one type only. */
const BY_TYPE: Readonly<Record<string, readonly string[]>> = {
  object: ['properties', 'required', 'additionalProperties'],
  array: ['items', 'prefixItems', 'minItems', 'maxItems', 'additionalItems'],
  string: ['minLength', 'maxLength', 'pattern', 'format'],
  number: ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf'],
};

/** The types that documents may have: those that the schema names, else those that its keywords are about; none for any. */
export function typesOf(schema: Schema): string[] {
  const { type, nullable } = schema;
  const named = type === undefined ? [] : Array.isArray(type) ? type.map(String) : [String(type)];
  const types =
    named.length > 0
      ? named
      : Object.keys(BY_TYPE).filter((name) => BY_TYPE[name]!.some((keyword) => schema[keyword] !== undefined));
  // whatever is a number may be a whole one
  const distinct = [...new Set(types)].filter((name) => name !== 'integer' || !types.includes('number'));
  return nullable === true && distinct.length > 0 && !distinct.includes('null') ? [...distinct, 'null'] : distinct;
}

/** A schema that holds where both do. Calls `fail` where that cannot be said in one. */
export function mergeSchemas(a: Schema, b: Schema, fail: (what: string) => never): Schema {
  const merged: Record<string, unknown> = { ...a };
  for (const [key, value] of Object.entries(b)) {
    const before = merged[key];
    if (before === undefined || JSON.stringify(before) === JSON.stringify(value)) {
      merged[key] = value;
      continue;
    }
    merged[key] = mergeKeyword(key, before, value, fail);
  }
  for (const [one, other] of [
    [a, b],
    [b, a],
  ] as const)
    if (one.additionalProperties !== undefined && one.additionalProperties !== true && isSchema(other.properties))
      for (const key of Object.keys(other.properties))
        if (!isSchema(one.properties) || !Object.hasOwn(one.properties, key))
          fail(`additionalProperties of one branch is about ${JSON.stringify(key)} of another, which is not supported`);
  return merged;
}

function mergeKeyword(key: string, a: unknown, b: unknown, fail: (what: string) => never): unknown {
  switch (key) {
    case 'title':
    case 'description':
    case 'default':
    case 'example':
    case 'examples':
    case '$comment':
      return a;
    case 'type': {
      const types = typesOf({ type: a }).flatMap((one) =>
        typesOf({ type: b })
          .filter(
            (other) =>
              one === other || (one === 'integer' && other === 'number') || (one === 'number' && other === 'integer'),
          )
          .map((other) => (one === 'integer' ? one : other)),
      );
      return types.length > 0 ? types : fail('no type is allowed by all branches');
    }
    case 'required':
      return [...new Set([...(a as unknown[]), ...(b as unknown[])])];
    case 'enum': {
      const values = (a as unknown[]).filter((one) =>
        (b as unknown[]).some((other) => JSON.stringify(one) === JSON.stringify(other)),
      );
      return values.length > 0 ? values : fail('no value of enum is allowed by all branches');
    }
    case 'minimum':
    case 'exclusiveMinimum':
    case 'minLength':
    case 'minItems':
      return Math.max(a as number, b as number);
    case 'maximum':
    case 'exclusiveMaximum':
    case 'maxLength':
    case 'maxItems':
      return Math.min(a as number, b as number);
    case 'properties': {
      const [one, other] = [a as Schema, b as Schema];
      const both: Record<string, unknown> = { ...one };
      for (const [name, value] of Object.entries(other))
        both[name] = Object.hasOwn(one, name) ? { allOf: [one[name], value] } : value;
      return both;
    }
    case '$defs':
    case 'definitions':
      return { ...(b as Schema), ...(a as Schema) };
    default:
      return fail(`${key} differs between branches, which is not supported`);
  }
}

/** Whether no document can satisfy both, as far as types, values and required properties tell. */
export function isDisjoint(a: Schema, b: Schema, look: (value: unknown) => Schema, depth = 0): boolean {
  const [valuesOfA, valuesOfB] = [valuesOf(a), valuesOf(b)];
  if (valuesOfA && valuesOfB) return !valuesOfA.some((value) => valuesOfB.includes(value));
  // only what a schema says about types itself: keywords of objects say nothing about other documents
  const [typesOfA, typesOfB] = [a, b].map((schema) => (schema.type === undefined ? undefined : typesOf(schema)));
  if (typesOfA && typesOfB && !typesOfA.some((type) => typesOfB.some((other) => mayBeSame(type, other)))) return true;
  const onlyObjects = (types: readonly string[] | undefined) => types?.length === 1 && types[0] === 'object';
  if (depth > 8 || (!onlyObjects(typesOfA) && !onlyObjects(typesOfB))) return false;
  return keysOf(a).some((key) => {
    const [inA, inB] = [propertyOf(a, key), propertyOf(b, key)];
    const isRequired = (schema: Schema) => Array.isArray(schema.required) && schema.required.includes(key);
    if (!isRequired(a) && !isRequired(b)) return false;
    if ((inA === false && isRequired(b)) || (inB === false && isRequired(a))) return true;
    if (!isRequired(a) || !isRequired(b) || inA === undefined || inB === undefined) return false;
    return isDisjoint(look(inA), look(inB), look, depth + 1);
  });
}

function mayBeSame(a: string, b: string): boolean {
  const number = (type: string) => (type === 'integer' ? 'number' : type);
  return number(a) === number(b);
}

function valuesOf(schema: Schema): string[] | undefined {
  if (schema.const !== undefined) return [JSON.stringify(schema.const)];
  return Array.isArray(schema.enum) ? schema.enum.map((value) => JSON.stringify(value)) : undefined;
}

function keysOf(schema: Schema): string[] {
  return [
    ...(isSchema(schema.properties) ? Object.keys(schema.properties) : []),
    ...(Array.isArray(schema.required) ? schema.required.map(String) : []),
  ];
}

/** What a schema says of a property: its schema, false where it forbids it, undefined where it says nothing. */
function propertyOf(schema: Schema, key: string): unknown {
  if (isSchema(schema.properties) && Object.hasOwn(schema.properties, key)) return schema.properties[key];
  return schema.additionalProperties === false ? false : undefined;
}
