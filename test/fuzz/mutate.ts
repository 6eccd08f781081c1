/** Changes well-formed files the way that damage, bugs of other programs and attackers do: along their structure. */
import { randomInteger } from '../random.ts';

export type Random = () => number;

export function pick<T>(list: readonly T[], random: Random): T {
  return list[randomInteger(0, list.length - 1, random)]!;
}

/** Applies one to `most` of the changes. */
function several<T>(value: T, most: number, random: Random, changes: readonly ((value: T) => T)[]): T {
  let changed = value;
  for (let i = randomInteger(1, most, random); i > 0; i--) changed = pick(changes, random)(changed);
  return changed;
}

/** Sizes and counts that programs are wrong about. */
const INTEGERS = [
  ...[
    0n,
    1n,
    2n,
    3n,
    7n,
    8n,
    31n,
    32n,
    33n,
    127n,
    128n,
    255n,
    256n,
    65535n,
    65536n,
    2n ** 20n,
    2n ** 31n - 1n,
    2n ** 31n,
  ],
  ...[
    2n ** 32n - 1n,
    2n ** 32n,
    2n ** 40n,
    2n ** 53n - 1n,
    2n ** 53n,
    2n ** 62n,
    2n ** 63n - 1n,
    2n ** 63n,
    2n ** 64n - 1n,
  ],
];

/** Bytes of a number somewhere in a file. */
export interface Span {
  readonly at: number;
  readonly bytes: number;
}

/** A little-endian number in `span` becomes another one: a neighbour, or one of INTEGERS. */
export function mutateInteger(file: Uint8Array, { at, bytes }: Span, random: Random): Uint8Array {
  const changed = new Uint8Array(file);
  let value = 0n;
  for (let i = 0; i < bytes; i++) value |= BigInt(file[at + i] ?? 0) << BigInt(8 * i);
  const near = [value + 1n, value - 1n, value * 2n, value >> 1n, -value];
  const wanted = random() < 0.4 ? pick(near, random) : pick(INTEGERS, random);
  for (let i = 0; i < bytes && at + i < changed.length; i++)
    changed[at + i] = Number((wanted >> BigInt(8 * i)) & 0xffn);
  return changed;
}

/** Bits and bytes flip, runs vanish, double or become constant, the end goes. Only within the first `limit` bytes. */
export function mutateBytes(file: Uint8Array, random: Random, limit = file.length): Uint8Array {
  if (file.length === 0) return Uint8Array.of(randomInteger(0, 255, random));
  const place = (bytes: Uint8Array) => randomInteger(0, Math.max(0, Math.min(limit, bytes.length) - 1), random);
  const length = () => 2 ** randomInteger(0, 6, random);
  // a copy, and no Buffer, whose slice() shares and whose fill() refuses ends beyond its own
  return several<Uint8Array>(new Uint8Array(file), 4, random, [
    (bytes) => (bytes.length === 0 ? bytes : bytes.with(place(bytes), randomInteger(0, 255, random))),
    (bytes) => {
      const at = place(bytes);
      return bytes.map((byte, i) => (i === at ? byte ^ (1 << randomInteger(0, 7, random)) : byte));
    },
    (bytes) => cut(bytes, place(bytes), length()),
    (bytes) => {
      const at = place(bytes);
      return insert(bytes, at, bytes.subarray(at, at + length()));
    },
    (bytes) => {
      const at = place(bytes);
      return bytes.slice().fill(pick([0, 0xff, 0x20], random), at, at + length());
    },
    (bytes) =>
      insert(
        bytes,
        place(bytes),
        Uint8Array.from({ length: length() }, () => randomInteger(0, 255, random)),
      ),
    (bytes) => (random() < 0.3 ? bytes.slice(0, place(bytes)) : bytes),
  ]);
}

function cut(bytes: Uint8Array, at: number, length: number): Uint8Array {
  return insert(bytes.slice(0, at), at, bytes.subarray(at + length));
}

function insert(bytes: Uint8Array, at: number, added: Uint8Array): Uint8Array {
  const longer = new Uint8Array(bytes.length + added.length);
  longer.set(bytes.subarray(0, at));
  longer.set(added, at);
  longer.set(bytes.subarray(at), at + added.length);
  return longer;
}

const ODD_STRINGS = [
  '',
  ' ',
  '\u0000',
  '../../x',
  '\ud800',
  '\u{1f999}',
  '\u2581',
  '<|im_end|>',
  '<0x0A>',
  '(a+)+$',
  '[',
  '\\',
  'x'.repeat(5000),
];
const ODD_NUMBERS = [0, -0, -1, 1, 0.5, 1e308, -1e308, 2 ** 31, 2 ** 32, 2 ** 53, 1e20, 4e9, 255, 1e6];

/** A value of any kind. */
function oddValue(random: Random): unknown {
  return pick<() => unknown>(
    [
      () => null,
      () => random() < 0.5,
      () => pick(ODD_NUMBERS, random),
      () => pick(ODD_STRINGS, random),
      () => [],
      () => ({}),
      () => Array.from({ length: randomInteger(1, 5, random) }, () => oddValue(random)),
      () => ({ type: pick(['BPE', 'Unigram', 'Sequence', 'Split', 'Metaspace', 'x'], random) }),
      () => nested(randomInteger(1, 100, random)),
    ],
    random,
  )();
}

function nested(depth: number): unknown {
  let value: unknown = 1;
  for (let i = 0; i < depth; i++) value = i % 2 === 0 ? [value] : { a: value };
  return value;
}

interface Place {
  readonly parent: Record<string, unknown>;
  readonly key: string;
}

/** Every place of a JSON value, arrays included; of long lists only some. */
function placesOf(value: unknown, random: Random): Place[] {
  const places: Place[] = [];
  const visit = (one: unknown) => {
    if (typeof one !== 'object' || one === null) return;
    const keys = Object.keys(one);
    for (const key of keys.length > 40 ? Array.from({ length: 10 }, () => pick(keys, random)) : keys) {
      places.push({ parent: one as Record<string, unknown>, key });
      visit((one as Record<string, unknown>)[key]);
    }
  };
  visit(value);
  return places;
}

/** The text of a JSON value with keys gone, doubled or renamed, and values of other kinds; now and then broken as a text. */
export function mutateJson(value: unknown, random: Random): Uint8Array {
  if (random() < 0.15) return mutateBytes(Buffer.from(JSON.stringify(value)), random);
  const changed: unknown = structuredClone(value);
  for (let i = randomInteger(1, 3, random); i > 0; i--) {
    const places = placesOf(changed, random);
    if (places.length === 0) break;
    const { parent, key } = pick(places, random);
    const other = pick(places, random);
    const change = randomInteger(0, 6, random);
    if (change === 0) delete parent[key];
    else if (change === 1) parent[pick(ODD_STRINGS, random)] = parent[key];
    else if (change === 2) other.parent[other.key] = structuredClone(parent[key]);
    else if (change === 3 && typeof parent[key] === 'number') parent[key] = parent[key] + pick([1, -1, 0.5], random);
    else if (change === 4 && typeof parent[key] === 'string') parent[key] = mutateText(parent[key], random);
    else if (change === 5 && Array.isArray(parent[key])) parent[key] = parent[key].concat(parent[key]);
    else parent[key] = oddValue(random);
  }
  return Buffer.from(JSON.stringify(changed) ?? 'null');
}

function mutateText(text: string, random: Random): string {
  const at = randomInteger(0, text.length, random);
  return pick([text.slice(0, at), text.slice(at), text + pick(ODD_STRINGS, random), text.slice(0, at) + text], random);
}

/** A text in pieces, such as a program's tokens, some of which vanish, double, change places or are strangers. */
export function mutatePieces(pieces: readonly string[], strangers: readonly string[], random: Random): string {
  const place = (list: readonly string[]) => randomInteger(0, Math.max(0, list.length - 1), random);
  return several(pieces, 4, random, [
    (list) => list.toSpliced(place(list), randomInteger(1, 4, random)),
    (list) => {
      const at = place(list);
      return list.toSpliced(at, 0, ...list.slice(at, at + randomInteger(1, 8, random)));
    },
    (list) => list.toSpliced(place(list), 0, pick(strangers, random)),
    (list) => list.toSpliced(place(list), 1, pick(strangers, random)),
    (list) => {
      const from = place(list);
      const to = place(list);
      return list.with(from, list[to] ?? '').with(to, list[from] ?? '');
    },
    (list) => (list.length === 0 ? list : list.with(place(list), mutateText(list[place(list)] ?? '', random))),
  ]).join('');
}

/** The same with pieces replaced by others of their kind, which leaves a program's grammar as it is more often. */
export function replacePieces(pieces: readonly string[], kindOf: (piece: string) => string, random: Random): string {
  const changed = [...pieces];
  for (let i = randomInteger(1, 6, random); i > 0; i--) {
    const at = randomInteger(0, changed.length - 1, random);
    const alike = changed.filter((piece) => kindOf(piece) === kindOf(changed[at]!));
    changed[at] = pick(alike, random);
  }
  return changed.join('');
}

/** The fields of a protocol buffer message, each in its own bytes; a field of bytes is itself a message two levels down. */
export function mutateMessage(message: Uint8Array, random: Random, depth = 0): Uint8Array {
  const fields = splitMessage(message);
  if (fields.length === 0 || (depth > 0 && random() < 0.3)) return mutateBytes(message, random);
  const at = randomInteger(0, fields.length - 1, random);
  const field = fields[at]!;
  const change = randomInteger(0, 5, random);
  if (change === 0) return join(fields.toSpliced(at, 1));
  if (change === 1) return join(fields.toSpliced(at, 0, field));
  if (change === 2) {
    const to = randomInteger(0, fields.length - 1, random);
    return join(fields.with(at, fields[to]!).with(to, field));
  }
  const key = field[0] ?? 0;
  if (change === 3 && (key & 7) === 2 && depth < 2) {
    const { start } = readVarint(field, 1);
    const inner = mutateMessage(field.subarray(start), random, depth + 1);
    return join(fields.with(at, join([Uint8Array.of(key), varint(inner.length), inner])));
  }
  if (change === 4) return join(fields.with(at, field.with(0, randomInteger(0, 255, random))));
  return join(fields.with(at, mutateBytes(field, random)));
}

function splitMessage(message: Uint8Array): Uint8Array[] {
  const fields: Uint8Array[] = [];
  for (let at = 0; at < message.length; ) {
    const { value: key, start } = readVarint(message, at);
    let end = start;
    const wire = key & 7;
    if (wire === 0) end = readVarint(message, start).start;
    else if (wire === 1) end = start + 8;
    else if (wire === 5) end = start + 4;
    else if (wire === 2) {
      const length = readVarint(message, start);
      end = length.start + length.value;
    } else return []; // no message after all
    if (end <= at || end > message.length) return [];
    fields.push(message.subarray(at, end));
    at = end;
  }
  return fields;
}

function readVarint(bytes: Uint8Array, at: number): { value: number; start: number } {
  let value = 0;
  for (let i = 0; i < 5; i++) {
    const byte = bytes[at + i] ?? 0;
    value += (byte & 0x7f) * 2 ** (7 * i);
    if (byte < 0x80) return { value, start: at + i + 1 };
  }
  return { value: Number.POSITIVE_INFINITY, start: Number.POSITIVE_INFINITY };
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    bytes.push((rest % 128) | (rest > 127 ? 0x80 : 0));
    if (rest < 128) return Uint8Array.from(bytes);
  }
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(parts);
}

/** Bytes behind each opcode of a pickle that our checkpoints use; a length in 4 bytes, or lines, are counted apart. */
const PICKLE_ARGUMENTS: ReadonlyMap<number, number | 'text' | 'lines'> = new Map<number, number | 'text' | 'lines'>([
  [0x80, 1],
  [0x4a, 4],
  [0x4b, 1],
  [0x4d, 2],
  [0x47, 8],
  [0x71, 1],
  [0x68, 1],
  [0x72, 4],
  [0x6a, 4],
  [0x58, 'text'],
  [0x63, 'lines'],
]);

const PICKLE_STRANGERS = [
  ...[
    '(',
    '0',
    '2',
    'N',
    '\x88',
    ')',
    '}',
    ']',
    't',
    'a',
    'e',
    's',
    'u',
    'R',
    'b',
    'Q',
    '.',
    '\x85',
    '\x86',
    '\x87',
    'h\0',
    'h\x07',
  ],
  ...[
    'q\0',
    'q\x07',
    'cos\nsystem\n',
    'cbuiltins\neval\n',
    'ctorch\nFloatStorage\n',
    'ctorch._utils\n_rebuild_tensor_v2\n',
  ],
  ...[
    'ccollections\nOrderedDict\n',
    'J\xff\xff\xff\x7f',
    'J\0\0\0\x80',
    'K\xff',
    'X\x04\0\0\0abcd',
    'X\xff\xff\xff\xff',
    '\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f',
  ],
  ...[
    '\x8a\x20',
    'G\x7f\xf0\0\0\0\0\0\0',
    '\x95\0\0\0\0\0\0\0\0',
    '\x8c\x01x',
    '\x93',
    'r\xff\xff\xff\xff',
    'j\xff\xff\xff\xff',
  ],
];

/** The opcodes of a pickle, changed as pieces. */
export function mutatePickle(pickle: Uint8Array, random: Random): Uint8Array {
  if (random() < 0.2) return mutateBytes(pickle, random);
  const pieces: string[] = [];
  for (let at = 0; at < pickle.length; ) {
    const kind = PICKLE_ARGUMENTS.get(pickle[at]!) ?? 0;
    let end = at + 1;
    if (kind === 'lines') for (let line = 0; line < 2; line++) end = pickle.indexOf(10, end) + 1;
    else if (kind === 'text') end += 4 + new DataView(pickle.buffer, pickle.byteOffset).getUint32(at + 1, true);
    else end += kind;
    pieces.push(Buffer.from(pickle.subarray(at, end)).toString('latin1'));
    at = end;
  }
  return Buffer.from(mutatePieces(pieces, PICKLE_STRANGERS, random), 'latin1');
}

/** Where the numbers of a GGUF header are: counts, lengths, types, dimensions, offsets. */
export function ggufSpans(file: Uint8Array): Span[] {
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const spans: Span[] = [];
  let at = 0;
  const number = (bytes: 4 | 8): number => {
    spans.push({ at, bytes });
    at += bytes;
    return bytes === 4 ? view.getUint32(at - 4, true) : Number(view.getBigUint64(at - 8, true));
  };
  const text = (): void => {
    const length = number(8);
    at += length;
  };
  const sizes = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];
  const value = (type: number): void => {
    if (type === 8) text();
    else if (type === 9) {
      const inner = number(4);
      const count = number(8);
      for (let i = 0; i < count; i++) value(inner);
    } else {
      spans.push({ at, bytes: sizes[type]! });
      at += sizes[type]!;
    }
  };
  at = 4;
  number(4);
  const tensors = number(8);
  const entries = number(8);
  for (let i = 0; i < entries; i++) {
    text();
    value(number(4));
  }
  for (let i = 0; i < tensors; i++) {
    text();
    const dimensions = number(4);
    for (let d = 0; d < dimensions; d++) number(8);
    number(4);
    number(8);
  }
  return spans;
}
