/**
 * JSON schemas as grammars: every text of the grammar is a document that the schema accepts. Not every such document is a text
 * of it: properties come in the schema's order, and none that it does not name unless additionalProperties says so. What a
 * grammar cannot promise is refused by name.
 */
import { FirstlightError } from '../quant/errors.ts';
import {
  characters,
  checkGrammar,
  choice,
  complement,
  type Expression,
  type Grammar,
  intersect,
  NOTHING,
  type Range,
  repeat,
  rule,
  sequence,
  text,
} from './grammar.ts';
import { FORMATS } from './grammar-formats.ts';
import {
  arrayOf,
  COMMA,
  JSON_RULES,
  listOf,
  objectOf,
  PLAIN,
  SPACE,
  stringOf,
  stringOfLength,
} from './grammar-json.ts';
import { contentMatching } from './grammar-regex.ts';
import { numberOf } from './grammar-schema-numbers.ts';
import { isDisjoint, isSchema, mergeSchemas, type Schema, typesOf } from './schema.ts';

const MOST_DEPTH = 100;

/** Builds the grammar. Throws `bad-argument` naming the place and the keyword that it cannot promise to keep. */
export function grammarOfSchema(schema: unknown): Grammar {
  const rules = new Map(JSON_RULES);
  const names = new Map<string, string>(); // rules by the JSON pointer of their schema
  const fail = (path: string, what: string): never => {
    throw new FirstlightError('bad-argument', `the JSON schema at ${path || '/'}: ${what}`);
  };

  const define = (expression: Expression): Expression => {
    const name = `schema-${rules.size}`;
    rules.set(name, expression);
    return rule(name);
  };

  const resolve = (reference: string, path: string): unknown => {
    if (!reference.startsWith('#'))
      fail(path, `$ref ${JSON.stringify(reference)} leads elsewhere: only # is supported`);
    let target: unknown = schema;
    for (const part of decodeURIComponent(reference.slice(1)).split('/').slice(1)) {
      const key = part.replaceAll('~1', '/').replaceAll('~0', '~');
      const has = typeof target === 'object' && target !== null && Object.hasOwn(target, key);
      if (!has) fail(path, `$ref ${JSON.stringify(reference)} leads nowhere`);
      target = (target as Record<string, unknown>)[key];
    }
    return target;
  };

  /** Follows references that stand alone, for comparing schemas. */
  const look = (value: unknown, path: string, depth = 0): Schema => {
    if (typeof value === 'boolean') return value ? {} : fail(path, 'false allows nothing');
    if (!isSchema(value)) return fail(path, 'a schema must be an object or true');
    if (typeof value.$ref !== 'string') return value;
    if (depth > MOST_DEPTH) fail(path, '$ref leads in a circle');
    return look(resolve(value.$ref, path), path, depth + 1);
  };

  const compile = (value: unknown, path: string, depth: number): Expression => {
    if (depth > MOST_DEPTH) fail(path, `nested deeper than ${MOST_DEPTH} levels`);
    if (value === true) return rule('value');
    if (!isSchema(value))
      return fail(path, value === false ? 'false allows nothing' : 'a schema must be an object or true');
    checkKeywords(value, (what) => fail(path, what));
    const { $ref, allOf, anyOf, oneOf, ...rest } = value;
    if ($ref !== undefined) {
      if (typeof $ref !== 'string') return fail(path, '$ref must be a text');
      const others = Object.keys({ ...strip(rest), ...strip({ allOf, anyOf, oneOf }) });
      if (others.length > 0) fail(path, `${others[0]} beside $ref is not supported: put both into allOf`);
      return reference($ref, path, depth);
    }
    if (allOf !== undefined) {
      let merged: Schema = { ...rest, ...strip({ anyOf, oneOf }) };
      for (const [i, branch] of list(allOf, `${path}/allOf`).entries())
        merged = mergeSchemas(merged, look(branch, `${path}/allOf/${i}`), (what) => fail(`${path}/allOf/${i}`, what));
      return compile(merged, `${path}/allOf`, depth + 1);
    }
    if (anyOf !== undefined || oneOf !== undefined) {
      const keyword = anyOf !== undefined ? 'anyOf' : 'oneOf';
      if (anyOf !== undefined && oneOf !== undefined) fail(path, 'anyOf and oneOf together are not supported');
      const branches = list(anyOf ?? oneOf, `${path}/${keyword}`);
      if (keyword === 'oneOf') checkOneOf(branches, path);
      const base = strip(rest);
      return choice(
        ...branches.map((branch, i) => {
          const at = `${path}/${keyword}/${i}`;
          if (Object.keys(base).length === 0) return compile(branch, at, depth + 1);
          return compile(
            mergeSchemas(base, look(branch, at), (what) => fail(at, what)),
            at,
            depth + 1,
          );
        }),
      );
    }
    return compilePlain(value, path, depth);
  };

  const list = (value: unknown, path: string): readonly unknown[] =>
    Array.isArray(value) && value.length > 0 ? value : fail(path, 'must be a list of at least one schema');

  const checkOneOf = (branches: readonly unknown[], path: string) => {
    for (let i = 0; i < branches.length; i++)
      for (let j = 0; j < i; j++)
        if (!isDisjoint(look(branches[i], path), look(branches[j], path), (value) => look(value, path)))
          fail(path, `oneOf: a document may be both ${j} and ${i}: use anyOf, or tell them apart by a const`);
  };

  /** A rule for what a reference leads to, so that it may lead to itself. */
  const reference = (pointer: string, path: string, depth: number): Expression => {
    let name = names.get(pointer);
    if (name === undefined) {
      name = `reference-${names.size}`;
      names.set(pointer, name);
      rules.set(name, NOTHING); // until it is known
      rules.set(name, compile(resolve(pointer, path), pointer.slice(1), depth + 1));
    }
    return rule(name);
  };

  const compilePlain = (schema: Schema, path: string, depth: number): Expression => {
    const types = typesOf(schema);
    if (schema.const !== undefined || schema.enum !== undefined) return compileValues(schema, path);
    if (types.length === 0) return rule('value');
    return choice(...types.map((type) => compileType(type, schema, path, depth)));
  };

  const compileValues = (schema: Schema, path: string): Expression => {
    const other = Object.keys(strip(schema)).find((key) => !['type', 'const', 'enum', 'nullable'].includes(key));
    if (other) fail(path, `${other} beside ${schema.const === undefined ? 'enum' : 'const'} is not supported`);
    if (schema.enum !== undefined && !Array.isArray(schema.enum)) fail(path, 'enum must be a list');
    const all = (schema.enum as unknown[] | undefined) ?? [schema.const];
    const wanted = schema.const === undefined ? all : all.filter((value) => isSame(value, schema.const));
    const types = schema.type === undefined ? undefined : typesOf(schema);
    const values = wanted.filter((value) => types?.includes(typeOfValue(value, types)) ?? true);
    if (values.length === 0) fail(path, 'none of the values is allowed');
    return choice(...values.map((value) => text(JSON.stringify(value))));
  };

  const compileType = (type: string, schema: Schema, path: string, depth: number): Expression => {
    if (type === 'null') return text('null');
    if (type === 'boolean') return choice(text('true'), text('false'));
    if (type === 'string') return compileString(schema, path);
    if (type === 'integer' || type === 'number')
      return numberOf(schema, type, { define, fail: (what) => fail(path, what) });
    if (type === 'array') return compileArray(schema, path, depth);
    if (type === 'object') return compileObject(schema, path, depth);
    return fail(path, `the type ${JSON.stringify(type)} is unknown`);
  };

  const compileString = (schema: Schema, path: string): Expression => {
    const least = wholeNumber(schema, 'minLength', path);
    const most = wholeNumber(schema, 'maxLength', path);
    const { pattern, format } = schema;
    const given = Object.entries({ 'minLength or maxLength': least ?? most, pattern, format }).filter(
      ([, value]) => value !== undefined,
    );
    if (given.length > 1) fail(path, `${given[0]![0]} together with ${given[1]![0]} is not supported`);
    if (pattern !== undefined) {
      if (typeof pattern !== 'string') return fail(path, 'pattern must be a text');
      return stringOf(contentMatching(pattern, (what) => fail(path, `pattern ${JSON.stringify(pattern)}: ${what}`)));
    }
    if (format !== undefined) {
      const known = typeof format === 'string' && Object.hasOwn(FORMATS, format) ? FORMATS[format] : undefined;
      if (known === undefined)
        return fail(
          path,
          `the format ${JSON.stringify(format)} is not supported, only ${Object.keys(FORMATS).join(', ')}`,
        );
      return define(stringOf(contentMatching(`^(?:${known})$`, (what) => fail(path, what))));
    }
    if (least === undefined && most === undefined) return rule('string');
    if ((most ?? Number.POSITIVE_INFINITY) < (least ?? 0)) fail(path, 'maxLength is below minLength');
    return stringOfLength(least ?? 0, most ?? Number.POSITIVE_INFINITY);
  };

  const compileArray = (schema: Schema, path: string, depth: number): Expression => {
    const least = wholeNumber(schema, 'minItems', path) ?? 0;
    const most = wholeNumber(schema, 'maxItems', path) ?? Number.POSITIVE_INFINITY;
    if (most < least) fail(path, 'maxItems is below minItems');
    const tuple = schema.prefixItems ?? (Array.isArray(schema.items) ? schema.items : undefined);
    const others =
      schema.prefixItems === undefined && Array.isArray(schema.items) ? schema.additionalItems : schema.items;
    const item = (): Expression =>
      others === undefined ? rule('value') : define(compile(others, `${path}/items`, depth + 1));
    if (tuple === undefined) {
      if (others !== false) return most === 0 ? text('[]') : arrayOf(item(), least, most);
      return least === 0 ? text('[]') : fail(path, 'minItems, but items allows none');
    }
    if (!Array.isArray(tuple)) return fail(path, 'prefixItems must be a list');
    const first = tuple.slice(0, most).map((one, i) => compile(one, `${path}/prefixItems/${i}`, depth + 1));
    const [needed, room] = [Math.max(0, least - first.length), most - first.length];
    if (needed > 0 && others === false) fail(path, 'minItems is more than prefixItems allow');
    // items behind the tuple come where the schema speaks of them
    const more = needed > 0 || (others !== undefined && others !== false && room > 0);
    if (first.length === 0) return more ? arrayOf(item(), needed, room) : text('[]');
    const rest = first.slice(1).map((one) => sequence(COMMA, one));
    if (more) rest.push(repeat(sequence(COMMA, item()), needed, room));
    return listOf('[', first[0]!, sequence(...rest), ']');
  };

  const compileObject = (schema: Schema, path: string, depth: number): Expression => {
    const properties = schema.properties ?? {};
    const required = schema.required ?? [];
    if (!isSchema(properties)) return fail(path, 'properties must be an object');
    if (!Array.isArray(required) || !required.every((key) => typeof key === 'string'))
      return fail(path, 'required must be a list of texts');
    const { additionalProperties: others } = schema;
    const all = Object.entries(properties).map(([key, value]) => ({ key, value, at: `${path}/properties/${key}` }));
    for (const key of new Set(required as string[])) {
      if (Object.hasOwn(properties, key)) continue;
      if (others === false) fail(path, `${JSON.stringify(key)} is required, but additionalProperties is false`);
      all.push({ key, value: others ?? true, at: `${path}/additionalProperties` });
    }
    const listed = all
      .filter(({ key, value }) => value !== false || required.includes(key))
      .map(({ key, value, at }) => ({
        member: sequence(text(JSON.stringify(key)), text(':'), SPACE, compile(value, at, depth + 1)),
        isRequired: required.includes(key),
      }));
    const isOpen = others !== undefined ? others !== false : listed.length === 0;
    const other = () =>
      sequence(
        keyUnlike(all.map(({ key }) => key)),
        text(':'),
        SPACE,
        others === undefined || others === true
          ? rule('value')
          : compile(others, `${path}/additionalProperties`, depth + 1),
      );
    if (listed.length === 0) return isOpen ? objectOf(define(other())) : text('{}');
    return define(choice(...members(listed, isOpen ? define(other()) : undefined)));
  };

  /** Properties in their order, those that are not required left out or not, then any number of others. */
  const members = (
    listed: readonly { readonly member: Expression; readonly isRequired: boolean }[],
    other: Expression | undefined,
  ): Expression[] => {
    // what may follow from the i-th property on, behind another one and as the first
    let behind: Expression = other ? repeat(sequence(COMMA, other), 0) : NOTHING;
    let first: Expression | undefined = other && sequence(other, behind);
    let mayBeEmpty = true;
    for (const { member, isRequired } of [...listed].reverse()) {
      const rest = define(behind);
      const asFirst = sequence(member, rest);
      const asNext = sequence(COMMA, member, rest);
      first = isRequired || !first ? asFirst : choice(asFirst, define(first));
      behind = isRequired ? asNext : choice(asNext, rest);
      mayBeEmpty &&= !isRequired;
    }
    return [listOf('{', first!, NOTHING, '}'), ...(mayBeEmpty ? [text('{}')] : [])];
  };

  /** A string that is none of the keys. Without escapes, so that it cannot be one of them in another spelling. */
  const keyUnlike = (keys: readonly string[]): Expression => {
    if (keys.length === 0) return rule('string');
    const anything = define(repeat(characters(...PLAIN), 0));
    const unlike = (rests: readonly string[]): Expression => {
      const starts = new Map<string, string[]>();
      for (const rest of rests) {
        const [sign = ''] = rest;
        if (sign !== '') starts.set(sign, [...(starts.get(sign) ?? []), rest.slice(sign.length)]);
      }
      const taken = [...starts.keys()].map((sign): Range => [sign.codePointAt(0)!, sign.codePointAt(0)!]);
      return choice(
        ...(rests.includes('') ? [] : [NOTHING]),
        sequence(characters(...intersect(PLAIN, complement(taken))), anything),
        ...[...starts]
          .filter(([sign]) => intersect(PLAIN, [[sign.codePointAt(0)!, sign.codePointAt(0)!]]).length > 0)
          .map(([sign, further]) => sequence(text(sign), define(unlike(further)))),
      );
    };
    return stringOf(define(unlike(keys)));
  };

  const wholeNumber = (schema: Schema, keyword: string, path: string): number | undefined => {
    const value = schema[keyword];
    if (value === undefined) return undefined;
    return typeof value === 'number' && Number.isInteger(value) && value >= 0
      ? value
      : fail(path, `${keyword} must be a whole number of at least 0`);
  };

  rules.set('root', compile(schema, '', 0));
  const grammar = { root: 'root', rules };
  checkGrammar(grammar);
  return grammar;
}

const ANNOTATIONS = new Set([
  ...['title', 'description', 'default', 'example', 'examples', 'deprecated', 'readOnly', 'writeOnly'],
  ...['$schema', '$id', 'id', '$comment', '$defs', 'definitions', '$anchor', 'contentMediaType', 'contentEncoding'],
]);
const KEYWORDS = new Set([
  ...['type', 'nullable', 'const', 'enum', '$ref', 'allOf', 'anyOf', 'oneOf'],
  ...['minLength', 'maxLength', 'pattern', 'format'],
  ...['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf'],
  ...['items', 'prefixItems', 'additionalItems', 'minItems', 'maxItems'],
  ...['properties', 'required', 'additionalProperties'],
]);
/** Keywords with values that ask for nothing. */
const HARMLESS: Readonly<Record<string, (value: unknown) => boolean>> = {
  uniqueItems: (value) => value === false,
  minProperties: (value) => value === 0,
  unevaluatedProperties: (value) => value === true,
  unevaluatedItems: (value) => value === true,
};

function checkKeywords(schema: Schema, fail: (what: string) => never): void {
  for (const [key, value] of Object.entries(schema)) {
    if (KEYWORDS.has(key) || ANNOTATIONS.has(key) || key.startsWith('x-') || HARMLESS[key]?.(value)) continue;
    fail(`the keyword ${JSON.stringify(key)} is not supported: leave it out and check the document yourself`);
  }
}

/** Without annotations and what is not set. */
function strip(schema: Schema): Schema {
  return Object.fromEntries(
    Object.entries(schema).filter(
      ([key, value]) =>
        value !== undefined && !ANNOTATIONS.has(key) && !key.startsWith('x-') && !HARMLESS[key]?.(value),
    ),
  );
}

function isSame(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function typeOfValue(value: unknown, wanted: readonly string[]): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value !== 'number') return typeof value;
  return Number.isInteger(value) && wanted.includes('integer') ? 'integer' : 'number';
}
