import { readdirSync, readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openSafetensors, readSafetensorsHeader } from '../../loaders/safetensors.ts';
import { memorySource } from '../../loaders/source.ts';
import { randomValues, seededRandom } from '../random.ts';
import { encodeRows, randomWeights, SMALL_LLAMA, safetensorsFolder } from '../random-model.ts';
import { joinSafetensors, writeSafetensors } from '../write-safetensors.ts';
import { expectError } from './expect-error.ts';
import { hasSharedData, readSharedJson, reportSkipped, sharedPath } from './shared-data.ts';

const test = suite('safetensors');
const shared = hasSharedData ? test : test.skip;

const parse = (bytes: Uint8Array) => readSafetensorsHeader(memorySource('test.safetensors', bytes));
const open = (bytes: Uint8Array) => openSafetensors(memorySource('test.safetensors', bytes));

test('what was written comes back', async () => {
  const tensors = [
    { name: 'a', type: 'F32', shape: [2, 3], bytes: new Uint8Array(24).fill(1) },
    { name: 'scalar', type: 'I64', shape: [], bytes: new Uint8Array(8).fill(2) },
    { name: 'none', type: 'F16', shape: [0, 5], bytes: new Uint8Array() },
    { name: 'ä \u{1f600}', type: 'BF16', shape: [1, 2, 3], bytes: new Uint8Array(12).fill(3) },
    { name: '__proto__', type: 'U8', shape: [5], bytes: new Uint8Array(5).fill(4) },
  ];
  const file = writeSafetensors(tensors.slice(0, 4), { format: 'pt', note: 'x' });
  const { metadata, entries } = await parse(file);
  assert.equal(
    [...metadata],
    [
      ['format', 'pt'],
      ['note', 'x'],
    ],
  );
  for (const { name, type, shape, bytes } of tensors.slice(0, 4)) {
    const entry = entries.find((each) => each.name === name)!;
    assert.equal([entry.dtype, entry.shape], [type, shape]);
    assert.equal(file.subarray(entry.offset, entry.offset + entry.bytes), bytes);
  }
  const odd = '{"__proto__":{"dtype":"U8","shape":[5],"data_offsets":[0,5]}}';
  assert.equal(
    (await parse(joinSafetensors(odd, tensors[4]!.bytes))).entries.map(({ name }) => name),
    ['__proto__'],
  );
});

test('rows are read from their place', async () => {
  const values = Float32Array.from({ length: 12 }, (_, i) => i);
  const bytes = encodeRows('F32', values);
  const tensors = await open(
    writeSafetensors([
      { name: 'before', type: 'U8', shape: [3], bytes: new Uint8Array(3) },
      { name: 'm', type: 'F32', shape: [4, 3], bytes },
    ]),
  );
  assert.equal(await tensors.get('m')!.readRows(1, 2), bytes.subarray(12, 36));
  assert.equal(await tensors.get('m')!.readRows(4, 0), new Uint8Array());
});

const entry = (dtype: string, shape: string, start: number, end: number) =>
  `{"dtype":"${dtype}","shape":${shape},"data_offsets":[${start},${end}]}`;
const EIGHT = new Uint8Array(8);

test('refuses a header length that cannot be', async () => {
  const length = (value: bigint) => {
    const file = joinSafetensors('{}');
    new DataView(file.buffer).setBigUint64(0, value, true);
    return file;
  };
  await expectError(() => parse(length(100_000_001n)), 'bad-file', /claims a header of 100000001 bytes/);
  await expectError(() => parse(length(2n ** 64n - 1n)), 'bad-file', /claims a header/);
  await expectError(() => parse(length(3n)), 'bad-file', /has 10 bytes, its header alone needs 11/);
  await expectError(() => parse(new Uint8Array(7)), 'bad-file', /has 7 bytes, fewer than/);
});

const BROKEN: readonly (readonly [title: string, header: string, data: Uint8Array, message: RegExp])[] = [
  ['a key twice', `{"a":${entry('U8', '[8]', 0, 8)},"a":${entry('U8', '[8]', 0, 8)}}`, EIGHT, /"a\\*" appears twice/],
  [
    'a key twice, written differently',
    `{"a":${entry('U8', '[8]', 0, 8)},"\\u0061" :${entry('U8', '[8]', 0, 8)}}`,
    EIGHT,
    /appears twice/,
  ],
  ['an overlap', `{"a":${entry('U8', '[8]', 0, 8)},"b":${entry('U8', '[4]', 4, 8)}}`, EIGHT, /overlap at tensor "b"/],
  ['a hole', `{"a":${entry('U8', '[2]', 0, 2)},"b":${entry('U8', '[4]', 4, 8)}}`, EIGHT, /leave a hole at tensor "b"/],
  ['a hole at the start', `{"b":${entry('U8', '[4]', 4, 8)}}`, EIGHT, /leave a hole/],
  ['bytes behind the last tensor', `{"a":${entry('U8', '[2]', 0, 2)}}`, EIGHT, /6 bytes behind/],
  ['missing bytes', `{"a":${entry('U8', '[9]', 0, 9)}}`, EIGHT, /its tensors end at/],
  ['a wrong size', `{"a":${entry('F16', '[3]', 0, 8)}}`, EIGHT, /8 bytes where F16 \[3\] takes 6/],
  ['an unknown type', `{"a":${entry('F7', '[8]', 0, 8)}}`, EIGHT, /unknown type "F7"/],
  ['a type of every object', `{"a":${entry('constructor', '[8]', 0, 8)}}`, EIGHT, /unknown type/],
  ['a negative size', `{"a":${entry('U8', '[-8]', 0, 8)}}`, EIGHT, /no list of sizes/],
  ['a fraction', `{"a":${entry('U8', '[16, 0.5]', 0, 8)}}`, EIGHT, /no list of sizes/],
  ['an overflow', `{"a":${entry('U8', '[4294967296, 4294967296, 4294967296]', 0, 8)}}`, EIGHT, /takes/],
  ['offsets in reverse', `{"a":${entry('U8', '[8]', 8, 0)}}`, EIGHT, /start and end/],
  ['three offsets', '{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8,8]}}', EIGHT, /start and end/],
  ['a tensor without fields', '{"a":7}', EIGHT, /without description/],
  ['a list', '[]', new Uint8Array(), /no JSON object/],
  ['metadata with a number', '{"__metadata__":{"a":1}}', new Uint8Array(), /no text/],
  ['JSON that ends early', '{"a"', EIGHT, /no valid JSON/],
  ['deep JSON', '['.repeat(100_000), EIGHT, /nested more than/],
];

for (const [title, header, data, message] of BROKEN) {
  test(`refuses ${title}`, () => expectError(() => parse(joinSafetensors(header, data)), 'bad-file', message));
}

test('a header of 10 MB that is one open string is refused at once', async () => {
  const start = performance.now();
  await expectError(() => parse(joinSafetensors(`{${'"\\\\'.repeat(3_000_000)}`)), 'bad-file', /no valid JSON/);
  assert.ok(performance.now() - start < 2000);
});

test('pairs of codes and scales are one Q4_0 tensor', async () => {
  const random = seededRandom(11);
  const values = randomValues(6 * 96, 1, random);
  const blocks = encodeRows('Q4_0', values);
  const weights = new Map([
    ['w', { shape: [6, 96], values }],
    ['norm', { shape: [4], values: new Float32Array(4) }],
  ]);
  const tensors = await open(safetensorsFolder(SMALL_LLAMA, weights, 'Q4_0').get('model.safetensors')!);
  assert.equal([...tensors.keys()].sort(), ['norm', 'w']);
  const { type, shape, readRows } = tensors.get('w')!;
  assert.equal([type, shape], ['Q4_0', [6, 96]]);
  assert.equal(await readRows(0, 6), blocks);
  assert.equal(await readRows(2, 3), blocks.subarray(2 * 54, 5 * 54));
});

test('pairs must fit, and are pairs in our own format only', async () => {
  const codes = { name: 'w.codes', type: 'U8', shape: [2, 16], bytes: new Uint8Array(32) };
  const scales = { name: 'w.scales', type: 'F16', shape: [2, 1], bytes: new Uint8Array(4) };
  const ours = { format: 'firstlight-q4' };
  assert.equal([...(await open(writeSafetensors([codes, scales], ours))).keys()], ['w']);
  assert.equal([...(await open(writeSafetensors([codes, scales]))).keys()], ['w.codes', 'w.scales']);
  const alone = writeSafetensors([codes], ours);
  await expectError(() => open(alone), 'bad-file', /w\.codes without w\.scales/);
  const other = writeSafetensors([codes, { ...scales, shape: [1, 2] }], ours);
  await expectError(() => open(other), 'bad-file', /fitting shapes/);
  const short = writeSafetensors([codes, { ...scales, shape: [1, 1], bytes: new Uint8Array(2) }], ours);
  await expectError(() => open(short), 'bad-file', /fitting shapes/);
  const wide = writeSafetensors([codes, { ...scales, type: 'F32', bytes: new Uint8Array(8) }], ours);
  await expectError(() => open(wide), 'bad-file', /types U8 and F16/);
  const both = writeSafetensors([codes, scales, { ...scales, name: 'w' }], ours);
  await expectError(() => open(both), 'bad-file', /both w and w\.codes/);
});

shared('the broken files of the reference implementation', async () => {
  const cases = readSharedJson('safetensors/bad/manifest.json') as { file: string; expected: string }[];
  for (const { file, expected } of cases) {
    const read = () => parse(new Uint8Array(readFileSync(sharedPath(`safetensors/bad/${file}`))));
    if (expected === 'OK') await read();
    else await expectError(read, 'bad-file', /safetensors/);
  }
  assert.is(cases.length, 17);
});

shared('real files of several types', async () => {
  const files = readdirSync(sharedPath('safetensors')).filter((file) => file.endsWith('.safetensors'));
  for (const file of files) {
    const { entries } = await parse(new Uint8Array(readFileSync(sharedPath(`safetensors/${file}`))));
    assert.ok(entries.length > 0, file);
  }
  assert.ok(files.length >= 5);
});
if (!hasSharedData) reportSkipped('safetensors.test.ts', 2);

test('a model written by the tests has all its tensors', async () => {
  const weights = randomWeights(SMALL_LLAMA);
  const tensors = await open(safetensorsFolder(SMALL_LLAMA, weights).get('model.safetensors')!);
  assert.equal([...tensors.keys()], [...weights.keys()]);
});

test.run();
