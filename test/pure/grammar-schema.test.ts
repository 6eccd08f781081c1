/** JSON schemas: whatever random logits choose, the document that comes out is valid, as a validator of others says. */
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { isAllowed } from '../../engine/edits.ts';
import type { TokenGrammar } from '../../engine/grammar-constraint.ts';
import { prepareGrammar } from '../../engine/grammar-constraint.ts';
import { JSON_GRAMMAR } from '../../engine/grammar-json.ts';
import { grammarOfSchema } from '../../engine/grammar-schema.ts';
import { createRandom, type Random } from '../kernel.ts';
import { jsonVocabulary, tokenizerOf } from '../words.ts';
import { expectError } from './expect-error.ts';

const test = suite('grammar schema');

const VOCABULARY = tokenizerOf(jsonVocabulary(3000, createRandom(11)));
const TEXTS = Array.from({ length: VOCABULARY.vocabSize }, (_, id) =>
  Buffer.from(VOCABULARY.bytes(id)).toString('latin1'),
);
/** Tokens that bring a document towards its end. */
const CLOSING = ['}', ']', '"}', '"]', '"', '}]', ']}', ',', 'abc']
  .map((text) => TEXTS.indexOf(text))
  .filter((id) => id >= 0);
const PATIENCE = 40;
const MOST_TOKENS = 3000;

/** A document as a model with random logits would make it, which is brought to an end after some tokens. */
function babble(prepared: TokenGrammar, random: Random): string {
  const constraint = prepared.start();
  const parts: Uint8Array[] = [];
  while (!constraint.done) {
    const mask = constraint.mask();
    let id = random.below(VOCABULARY.vocabSize);
    if (parts.length > PATIENCE || random.below(6) === 0) {
      const closing = CLOSING.filter((one) => isAllowed(mask, one));
      id = closing[random.below(closing.length)] ?? id;
    }
    while (!isAllowed(mask, id)) id = (id + 1) % VOCABULARY.vocabSize;
    constraint.accept(id);
    if (!VOCABULARY.isSpecial(id)) parts.push(VOCABULARY.bytes(id));
    assert.ok(parts.length < MOST_TOKENS, `no end: ${Buffer.concat(parts).toString().slice(0, 200)}`);
  }
  return Buffer.concat(parts).toString();
}

const ajv = new Ajv2020({ strict: false, allowUnionTypes: true });
addFormats.default(ajv);

function checkDocuments(schema: object, random: Random, count: number): string[] {
  const prepared = prepareGrammar(grammarOfSchema(schema), VOCABULARY, VOCABULARY.vocabSize);
  const validate = ajv.compile(schema);
  return Array.from({ length: count }, () => {
    const document = babble(prepared, random);
    let value: unknown;
    try {
      value = JSON.parse(document);
    } catch (error) {
      throw new Error(`no JSON: ${document} of ${JSON.stringify(schema)}`, { cause: error });
    }
    assert.ok(validate(value), `${ajv.errorsText(validate.errors)}: ${document} of ${JSON.stringify(schema)}`);
    return document;
  });
}

const string = { type: 'string' };
const integer = { type: 'integer' };
const object = (properties: object, required: readonly string[] = Object.keys(properties), others?: unknown) => ({
  type: 'object',
  properties,
  required,
  ...(others === undefined ? {} : { additionalProperties: others }),
});

/** By what they are about. Each makes several documents. */
const SCHEMAS: Readonly<Record<string, object>> = {
  anything: {},
  'a string': string,
  'a short string': { type: 'string', minLength: 2, maxLength: 5 },
  'a long string': { type: 'string', minLength: 20, maxLength: 300 },
  'a string that is not empty': { type: 'string', minLength: 1 },
  'a pattern': { type: 'string', pattern: '^[A-Z][a-z]{1,8}( [A-Z]\\.)?$' },
  'a pattern that is found anywhere': { type: 'string', pattern: 'ab+c|^x' },
  'a pattern with signs that JSON escapes': { type: 'string', pattern: '^["\\\\\\n\\t/]{3}[\\u0001-\\u0020]\\x41$' },
  'a pattern with classes': { type: 'string', pattern: '^\\d{3}-\\w+\\s\\S[^\\d\\s]?(?:x|y|)$' },
  'a pattern without anchors': { type: 'string', pattern: '\\u{1F600}|[\\u00e9-\\u00ff]' },
  'a named group': { type: 'string', pattern: '^(?<year>\\d{4})-(?<month>0[1-9]|1[0-2])$' },
  date: { type: 'string', format: 'date' },
  time: { type: 'string', format: 'time' },
  'date-time': { type: 'string', format: 'date-time' },
  duration: { type: 'string', format: 'duration' },
  uuid: { type: 'string', format: 'uuid' },
  email: { type: 'string', format: 'email' },
  hostname: { type: 'string', format: 'hostname' },
  ipv4: { type: 'string', format: 'ipv4' },
  ipv6: { type: 'string', format: 'ipv6' },
  uri: { type: 'string', format: 'uri' },
  'an integer': integer,
  'an integer of at least 0': { type: 'integer', minimum: 0 },
  'an integer in a range': { type: 'integer', minimum: 17, maximum: 4321 },
  'a negative range': { type: 'integer', minimum: -250, maximum: -7 },
  'a range around 0': { type: 'integer', exclusiveMinimum: -13, exclusiveMaximum: 101 },
  'an integer at most': { type: 'integer', maximum: -3 },
  'bounds that are no integers': { type: 'integer', minimum: 1.5, exclusiveMaximum: 9.2 },
  'one integer': { type: 'integer', minimum: 5, maximum: 5 },
  'a number': { type: 'number' },
  'a number from 0 to 1': { type: 'number', minimum: 0, maximum: 1 },
  'a number below 1': { type: 'number', exclusiveMinimum: 0, exclusiveMaximum: 1 },
  'a number in a range': { type: 'number', minimum: -1.25, exclusiveMaximum: 33.125 },
  'a small range': { type: 'number', exclusiveMinimum: 0.12, maximum: 0.1275 },
  'a number of at least': { type: 'number', minimum: 99.95 },
  'a number of at most': { type: 'number', exclusiveMaximum: -0.5 },
  'multiples of 7': { type: 'integer', multipleOf: 7 },
  'multiples of 15 in a range': { type: 'integer', multipleOf: 15, minimum: -40, maximum: 200 },
  'a number that is a multiple': { type: 'number', multipleOf: 3 },
  boolean: { type: 'boolean' },
  null: { type: 'null' },
  'one of several types': { type: ['string', 'integer', 'null'] },
  'nullable, as OpenAPI has it': { type: 'string', nullable: true },
  'a constant': { const: { a: [1, 'x"\u00e9'], b: null } },
  'an enum': { enum: ['red', 'green', 3, null, { x: 1 }] },
  'an enum of one type': { type: 'string', enum: ['a', 1, 'b'] },
  'an enum of integers': { type: 'integer', enum: [1, 2.5, 3] },
  'a list': { type: 'array', items: integer },
  'any list': { type: 'array' },
  'a list of lists': { type: 'array', items: { type: 'array', items: string } },
  'a list of so many': { type: 'array', items: { type: 'boolean' }, minItems: 2, maxItems: 4 },
  'a list of many': { type: 'array', items: { type: 'null' }, minItems: 12, maxItems: 30 },
  'a list of at least one': { type: 'array', items: string, minItems: 1 },
  'an empty list': { type: 'array', maxItems: 0 },
  'no items': { type: 'array', items: false },
  'a tuple': { type: 'array', prefixItems: [string, integer, { type: 'boolean' }], items: false },
  'a tuple with more': { type: 'array', prefixItems: [string], items: integer, minItems: 3, maxItems: 5 },
  'a tuple that is cut': { type: 'array', prefixItems: [string, integer], maxItems: 1 },
  'an object': object({ name: string, age: integer }),
  'any object': { type: 'object' },
  'an object of integers': { type: 'object', additionalProperties: integer },
  'an empty object': { type: 'object', additionalProperties: false },
  'some properties not required': object({ a: string, b: integer, c: { type: 'boolean' } }, ['b']),
  'none required': object({ a: { type: 'null' }, b: { type: 'null' }, c: { type: 'null' } }, []),
  'the last one required': object({ a: integer, b: integer, c: integer }, ['c']),
  'further properties': object({ name: string, no: integer }, ['name'], integer),
  'further properties of any kind': object({ a: string, ab: string, '\u4e2d"': string }, [], true),
  'only further properties': object({ key: { type: 'null' } }, [], string),
  'required but not named': { type: 'object', required: ['x'], properties: { a: integer } },
  'names that need escapes': object({ 'a"b\\c\n\u4e2d': integer, '': string }),
  'objects in objects': object({
    a: object({ b: object({ c: integer }) }),
    list: { type: 'array', items: object({ d: string }) },
  }),
  'without a type': { properties: { a: integer }, required: ['a'] },
  'a property that must not be there': object({ a: integer, b: false }, ['a']),
  'a tree': {
    type: 'object',
    properties: { value: integer, children: { type: 'array', items: { $ref: '#' }, maxItems: 2 } },
    required: ['value'],
  },
  definitions: {
    $defs: { point: object({ x: { type: 'number' }, y: { type: 'number' } }), 'a/b~c': string },
    ...object({ from: { $ref: '#/$defs/point' }, to: { $ref: '#/$defs/point' }, name: { $ref: '#/$defs/a~1b~0c' } }),
  },
  'a linked list': {
    $ref: '#/definitions/node',
    definitions: { node: object({ next: { anyOf: [{ $ref: '#/definitions/node' }, { type: 'null' }] }, v: integer }) },
  },
  'two that call each other': {
    $defs: {
      a: { type: 'array', items: { $ref: '#/$defs/b' } },
      b: object({ as: { $ref: '#/$defs/a' } }, []),
    },
    $ref: '#/$defs/a',
  },
  anyOf: { anyOf: [string, { type: 'array', items: integer, maxItems: 3 }, object({ a: integer })] },
  'anyOf beside keywords': {
    type: 'object',
    properties: { a: integer, b: string },
    anyOf: [{ required: ['a'] }, { required: ['b'] }],
  },
  'oneOf types': { oneOf: [string, integer, { type: 'array' }] },
  'oneOf constants': { oneOf: [{ const: 1 }, { const: 'x' }, { enum: [2, 3] }] },
  'oneOf told apart by a constant': {
    oneOf: [
      object({ kind: { const: 'circle' }, r: { type: 'number' } }),
      object({ kind: { const: 'box' }, w: integer, h: integer }),
    ],
  },
  'oneOf told apart by what is required': {
    oneOf: [object({ a: integer }, ['a'], false), object({ b: integer }, ['b'], false)],
  },
  allOf: { allOf: [object({ a: integer }), object({ b: string }, []), { required: ['b'] }] },
  'allOf with bounds': { allOf: [{ type: 'integer', minimum: 3 }, { type: 'number', maximum: 8 }, { minimum: 4 }] },
  'allOf with references': {
    $defs: { named: object({ name: string }) },
    allOf: [{ $ref: '#/$defs/named' }, object({ size: integer })],
  },
  'the same property in two branches': {
    allOf: [object({ n: { type: 'integer', minimum: 1 } }), object({ n: { maximum: 5 } })],
  },
  annotations: {
    title: 'T',
    description: 'd',
    default: 1,
    examples: [2],
    $comment: 'c',
    'x-order': 3,
    type: 'integer',
  },
  'a function call': object({
    name: { const: 'get_weather' },
    arguments: object(
      { city: string, unit: { enum: ['celsius', 'fahrenheit'] }, days: { type: 'integer', minimum: 1, maximum: 14 } },
      ['city'],
      false,
    ),
  }),
  'an invoice': object({
    id: { type: 'string', pattern: '^INV-\\d{6}$' },
    issued: { type: 'string', format: 'date' },
    lines: {
      type: 'array',
      minItems: 1,
      maxItems: 20,
      items: object({
        text: { type: 'string', maxLength: 60 },
        amount: { type: 'number', minimum: 0 },
        tax: { enum: [0, 7, 19] },
      }),
    },
    paid: { type: ['boolean', 'null'] },
  }),
};

for (const [i, [name, schema]] of Object.entries(SCHEMAS).entries())
  test(`documents are valid: ${name}`, () => {
    const documents = checkDocuments(schema, createRandom(500 + i), 6);
    assert.ok(documents.every((document) => document.length > 0));
  });

/** A schema of all that is supported, at random. */
function randomSchema(random: Random, depth: number): object {
  const pick = <T>(...list: readonly T[]): T => list[random.below(list.length)]!;
  const inner = () => randomSchema(random, depth - 1);
  const least = random.below(4);
  const low = random.below(2000) - 1000;
  const kinds: (() => object)[] = [
    () => pick<object>(string, { type: 'string', minLength: least, maxLength: least + random.below(30) }),
    () => ({ type: 'string', format: pick('date', 'time', 'uuid', 'ipv4', 'email') }),
    () => ({ type: 'string', pattern: pick('^[a-f]+$', '^\\d{1,3}(\\.\\d{2})?$', 'c', '^(ab|c){2,12}z?$', '^.{3}$') }),
    () =>
      pick<object>(
        integer,
        { type: 'integer', minimum: low },
        { type: 'integer', minimum: low, maximum: low + random.below(500) },
      ),
    () => ({ type: 'number', minimum: low / 8, maximum: low / 8 + random.below(64) / 4 + 0.125 }),
    () => ({
      enum: Array.from({ length: 1 + least }, () => pick<unknown>('a', 'b"', 1, -2.5, null, true, [1], { k: 'v' })),
    }),
    () => pick<object>({ type: 'boolean' }, { type: 'null' }, { const: pick<unknown>('x', 7) }, {}),
    () => ({ type: pick(['string', 'null'], ['integer', 'boolean'], ['array', 'null']) }),
  ];
  const nested: (() => object)[] = [
    () => ({ type: 'array', items: inner(), minItems: least, maxItems: least + random.below(12) }),
    () => ({ type: 'array', prefixItems: [inner(), inner()], items: pick<unknown>(false, inner()) }),
    () => {
      const keys = ['a', 'ab', 'b c', '\u00e9', 'n"'].slice(0, 1 + random.below(5));
      const properties = Object.fromEntries(keys.map((key) => [key, inner()]));
      return object(
        properties,
        keys.filter(() => random.below(2) === 0),
        pick<unknown>(undefined, false, true, inner()),
      );
    },
    () => ({ anyOf: [inner(), inner()] }),
    () => ({ type: 'object', additionalProperties: inner() }),
  ];
  return pick(...(depth > 0 ? [...nested, ...nested, ...kinds] : kinds))();
}

const HUNDRED = 120;
test(`documents of ${HUNDRED} random schemas are valid`, () => {
  const random = createRandom(2024);
  let length = 0;
  for (let i = 0; i < HUNDRED; i++) length += checkDocuments(randomSchema(random, 3), random, 3).join('').length;
  assert.ok(Object.keys(SCHEMAS).length + HUNDRED >= 200, 'two hundred schemas in all');
  assert.ok(length > 20 * 3 * HUNDRED, `${length} characters`);
});

test('JSON mode makes objects', () => {
  const prepared = prepareGrammar(JSON_GRAMMAR, VOCABULARY, VOCABULARY.vocabSize);
  const random = createRandom(5);
  for (let i = 0; i < 40; i++) {
    const value = JSON.parse(babble(prepared, random));
    assert.ok(typeof value === 'object' && value !== null && !Array.isArray(value));
  }
});

/** Whether a grammar reads a document, token by token of single bytes. */
function accepts(schema: object, document: string): boolean {
  const constraint = prepareGrammar(grammarOfSchema(schema), VOCABULARY, VOCABULARY.vocabSize).start();
  for (const byte of Buffer.from(document)) {
    if (constraint.done || !isAllowed(constraint.mask(), byte)) return false;
    constraint.accept(byte);
  }
  return constraint.done || isAllowed(constraint.mask(), VOCABULARY.eos[0]!);
}

test('documents as people and models write them are possible', () => {
  const person = object(
    { name: string, age: { type: 'integer', minimum: 0, maximum: 150 }, tags: { type: 'array', items: string } },
    ['name'],
  );
  for (const document of [
    '{"name":"Ada"}',
    '{ "name": "Ada", "age": 36 }',
    '{"name": "Z\u00fcrich \\"x\\" \\u00e9 \\ud83d\\ude00 \ud83d\ude00", "tags": ["a", "b"]}',
    '{\n  "name": "Ada",\n  "age": 150,\n  "tags": [\n    "a",\n    "b"\n  ]\n}',
    '{"name": "Ada", "tags": []}',
  ])
    assert.ok(accepts(person, document), document);
  for (const document of [
    '{}',
    '{"age": 3}',
    '{"name": "Ada", "age": 151}',
    '{"name": "Ada", "age": 036}',
    '{"name": "Ada", "size": 1}',
    '{"name": "\\ud83d"}',
    '{"name": "a\nb"}',
    '{"name": "Ada",}',
  ])
    assert.not.ok(accepts(person, document), document);
  const open = object({ a: integer, ab: integer }, ['a'], string);
  assert.ok(accepts(open, '{"a": 1, "b": "x", "abc": "y", "": "z", "A": "B"}'));
  assert.not.ok(accepts(open, '{"a": 1, "b": 2}'));
  assert.not.ok(accepts(open, '{"a": 1, "a": "x"}'), 'not the same again with another type');
  assert.not.ok(accepts(open, '{"a": 1, "\\u0061b": "x"}'), 'nor in another spelling');
});

test('numbers within bounds are those, and no others', () => {
  const random = createRandom(8);
  for (let i = 0; i < 60; i++) {
    const scale = [1, 10, 100][random.below(3)]!;
    const low = (random.below(4000) - 2000) / scale;
    const high = Number((low + random.below(3000) / scale).toFixed(2));
    const exclusive = random.below(2) === 0;
    const isWhole = random.below(2) === 0;
    const bounds = exclusive
      ? { exclusiveMinimum: low, exclusiveMaximum: Number((high + 1).toFixed(2)) }
      : { minimum: low, maximum: high };
    const schema = { type: isWhole ? 'integer' : 'number', ...bounds };
    let grammarIsEmpty = false;
    try {
      grammarOfSchema(schema);
    } catch {
      grammarIsEmpty = true;
    }
    const validate = ajv.compile(schema);
    for (let sample = 0; sample < 25; sample++) {
      const near = [low, high, high + 1, (low + high) / 2, 0][random.below(5)]!;
      const value = isWhole
        ? Math.round(near) + random.below(5) - 2
        : Number((near + (random.below(41) - 20) / 100).toFixed(2));
      const number = String(value || 0);
      assert.is(
        !grammarIsEmpty && accepts(schema, number),
        validate(Number(number)),
        `${number} in ${JSON.stringify(schema)}`,
      );
    }
  }
});

const REFUSED: readonly (readonly [schema: unknown, message: RegExp])[] = [
  [{ type: 'array', uniqueItems: true }, /at \/: the keyword "uniqueItems" is not supported/],
  [object({ a: { not: string } }), /at \/properties\/a: the keyword "not" is not supported/],
  [{ if: {}, else: {} }, /keyword "if"/],
  [{ type: 'object', patternProperties: {} }, /keyword "patternProperties"/],
  [{ type: 'object', minProperties: 2 }, /keyword "minProperties"/],
  [{ type: 'array', contains: {} }, /keyword "contains"/],
  [{ type: 'text' }, /the type "text" is unknown/],
  [{ type: 'string', format: 'iri' }, /format "iri" is not supported, only date,/],
  [{ type: 'string', pattern: 'a(?=b)' }, /pattern "a\(\?=b\)": \(\? is only supported/],
  [{ type: 'string', pattern: '(a)\\1' }, /\\1 is not supported/],
  [{ type: 'string', pattern: '\\bx' }, /\\b is not supported/],
  [{ type: 'string', pattern: '\\p{L}' }, /\\p is not supported/],
  [{ type: 'string', pattern: '(a' }, /\( has no \)/],
  [{ type: 'string', pattern: 'a{3,2}' }, /\{3,2\} is out of order/],
  [{ type: 'string', pattern: 'a', maxLength: 3 }, /minLength or maxLength together with pattern/],
  [{ type: 'string', minLength: 5, maxLength: 3 }, /maxLength is below minLength/],
  [{ type: 'string', minLength: -1 }, /minLength must be a whole number/],
  [{ type: 'integer', minimum: 5, maximum: 4 }, /no number is within the bounds/],
  [{ type: 'number', minimum: 1e-30 }, /bounds with exponents/],
  [{ type: 'number', multipleOf: 0.01 }, /multipleOf is only supported as a whole number/],
  [{ type: 'integer', multipleOf: 3, minimum: 1 }, /multipleOf with only one bound/],
  [{ oneOf: [string, { type: 'string', maxLength: 3 }] }, /oneOf: a document may be both 0 and 1/],
  [{ oneOf: [object({ a: integer }), object({ b: integer })] }, /oneOf: a document may be both/],
  [{ allOf: [{ pattern: 'a', type: 'string' }, { pattern: 'b' }] }, /pattern differs between branches/],
  [{ allOf: [object({ a: integer }, [], false), object({ b: integer })] }, /about "b" of another/],
  [{ $ref: '#/$defs/none' }, /leads nowhere/],
  [{ $ref: 'https://example.com/x' }, /leads elsewhere/],
  [{ $ref: '#/$defs/a', minimum: 3, $defs: { a: integer } }, /minimum beside \$ref/],
  [object({ next: { $ref: '#' } }), /which no text can ever end/],
  [{ enum: ['a'], minLength: 2 }, /minLength beside enum/],
  [{ type: 'integer', enum: ['a'] }, /none of the values is allowed/],
  [object({}, ['a'], false), /"a" is required, but additionalProperties is false/],
  [false, /false allows nothing/],
  [3, /a schema must be an object or true/],
  [{ anyOf: [] }, /must be a list of at least one/],
  [
    Array.from({ length: 150 }).reduce<object>((inner) => ({ type: 'array', items: inner }), {}),
    /nested deeper than 100/,
  ],
];
for (const [schema, message] of REFUSED)
  test(`refused by name: ${JSON.stringify(schema).slice(0, 60)}`, () =>
    expectError(() => grammarOfSchema(schema), 'bad-argument', message));

test.run();
