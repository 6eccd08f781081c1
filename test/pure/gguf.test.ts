import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openGguf, readGgufHeader } from '../../loaders/gguf.ts';
import { huggingFaceName } from '../../loaders/gguf-names.ts';
import { GGML_TYPES } from '../../loaders/gguf-types.ts';
import { memorySource } from '../../loaders/source.ts';
import { FILE_TYPES, NAMED_TYPES } from '../../quant/file-types.ts';
import { type GgufEntry, writeGguf } from '../write-gguf.ts';
import { expectError } from './expect-error.ts';
import { hasSharedData, readSharedJson, reportSkipped, sharedPath } from './shared-data.ts';

const test = suite('gguf');
const shared = hasSharedData ? test : test.skip;

const parse = (bytes: Uint8Array) => readGgufHeader(memorySource('test.gguf', bytes));

const ENTRIES: readonly GgufEntry[] = [
  ['a.u8', 'u8', 255],
  ['a.i8', 'i8', -128],
  ['a.u16', 'u16', 65535],
  ['a.i16', 'i16', -32768],
  ['a.u32', 'u32', 4294967295],
  ['a.i32', 'i32', -2147483648],
  ['a.f32', 'f32', 0.5],
  ['a.bool', 'bool', true],
  ['a.string', 'string', 'größer \u2581 \u{1f600}'],
  ['a.u64', 'u64', 2 ** 53 - 1],
  ['a.big', 'u64', 2n ** 64n - 1n],
  ['a.i64', 'i64', -5],
  ['a.f64', 'f64', Math.PI],
  ['b.strings', 'string[]', ['', 'x', 'yz']],
  ['b.bools', 'bool[]', [true, false]],
  ['b.f32', 'f32[]', [0.25, -1]],
  ['b.i32', 'i32[]', [1, -2, 3]],
  ['b.u64', 'u64[]', [1n, 2n ** 60n]],
  ['b.empty', 'u8[]', []],
];

test('all kinds of metadata come back', async () => {
  for (const version of [2, 3] as const) {
    const header = await parse(writeGguf(ENTRIES, [], { version }));
    assert.is(header.version, version);
    assert.equal(header.tensors, []);
    const expected = new Map<string, unknown>(ENTRIES.map(([key, , value]) => [key, value]));
    expected.set('b.f32', Float32Array.of(0.25, -1));
    expected.set('b.i32', Int32Array.of(1, -2, 3));
    expected.set('b.u64', BigUint64Array.of(1n, 2n ** 60n));
    expected.set('b.empty', new Uint8Array());
    assert.equal(header.metadata, expected);
  }
});

test('tensors come back with their places, at any alignment', async () => {
  for (const alignment of [1, 8, 32, 4096]) {
    const tensors = [
      { name: 'a', type: 'F32', shape: [3, 5], bytes: new Uint8Array(60).fill(1) },
      { name: 'b', type: 'Q4_0', shape: [2, 64], bytes: new Uint8Array(72).fill(2) },
      { name: 'c', type: 'Q6_K', shape: [2, 1, 256], bytes: new Uint8Array(420).fill(3) },
      { name: 'd', type: 'F16', shape: [7], bytes: new Uint8Array(14).fill(4) },
    ];
    const file = writeGguf(ENTRIES, tensors, { alignment });
    const header = await parse(file);
    assert.equal(
      header.tensors.map(({ name, type, shape }) => ({ name, type, shape })),
      tensors.map(({ name, type, shape }) => ({ name, type, shape })),
    );
    header.tensors.forEach(({ offset, bytes }, i) => {
      assert.is(offset % alignment, 0);
      assert.equal(file.subarray(offset, offset + bytes), tensors[i]!.bytes);
    });
  }
});

test('a header longer than the first read is read whole', async () => {
  const tokens = Array.from({ length: 150_000 }, (_, i) => `a token of some length, number ${i}`);
  const file = writeGguf(
    [
      ['tokens', 'string[]', tokens],
      ['last', 'string', 'x'.repeat(17 * 2 ** 20)],
    ],
    [],
  );
  const { metadata } = await parse(file);
  assert.equal(metadata.get('tokens'), tokens);
  assert.is(String(metadata.get('last')).length, 17 * 2 ** 20);
});

test('a header beyond 64 MiB is refused unread', async () => {
  const start = writeGguf([['long', 'string', '']], []).slice(0, 24 + 8 + 4 + 4 + 8);
  new DataView(start.buffer).setBigUint64(start.length - 8, 2n ** 39n, true);
  let largest = 0;
  const source = {
    ...memorySource('huge.gguf', new Uint8Array()),
    size: 2 ** 40,
    async read(_offset: number, length: number) {
      largest = Math.max(largest, length);
      const bytes = new Uint8Array(length);
      bytes.set(start);
      return bytes;
    },
  };
  await expectError(() => readGgufHeader(source), 'bad-file', /header of more than/);
  assert.is(largest, 64 * 2 ** 20);
});

test('wrong UTF-8 in a token does not stop the reader', async () => {
  const file = writeGguf([['tokens', 'string[]', ['ab', 'c']]], []);
  file[file.lastIndexOf('b'.charCodeAt(0)) - 1] = 0xff;
  const { metadata } = await parse(file);
  assert.equal([...metadata.values()][0], ['\ufffdb', 'c']);
});

const tensor = (name: string, bytes = 128) => ({ name, type: 'F32', shape: [bytes / 4], bytes: new Uint8Array(bytes) });
const patched = (file: Uint8Array, at: number, bytes: readonly number[]) => {
  file.set(bytes, at);
  return file;
};

const BROKEN: readonly (readonly [title: string, file: () => Uint8Array, message: RegExp])[] = [
  [
    'a key twice',
    () =>
      writeGguf(
        [
          ['k', 'u8', 1],
          ['k', 'u8', 2],
        ],
        [],
      ),
    /key "k" twice/,
  ],
  ['a tensor twice', () => writeGguf([], [tensor('t'), tensor('t')]), /tensor "t" twice/],
  ['a name of 64 bytes', () => writeGguf([], [tensor('n'.repeat(64))]), /name of 64 bytes/],
  ['alignment 24', () => writeGguf([], [tensor('t')], { alignment: 24 }), /no power of two/],
  ['alignment as text', () => writeGguf([['general.alignment', 'string', '32']], []), /no power of two/],
  ['five dimensions', () => writeGguf([], [{ ...tensor('t'), shape: [1, 1, 1, 1, 32] }]), /with 5 dimensions/],
  [
    'more elements than numbers can count',
    () => writeGguf([], [{ ...tensor('t'), shape: [2 ** 30, 2 ** 30] }]),
    /of shape/,
  ],
  ['overlapping tensors', () => overlapping(), /tensor "b" at 96 where 128 is its place/],
  ['half a block', () => writeGguf([], [{ ...tensor('t'), type: 'Q8_0', shape: [2, 33] }]), /no whole blocks of Q8_0/],
  [
    'an array count beyond the file',
    () => patched(writeGguf([['k', 'u32[]', [7]]], []), 41, [255, 255, 255]),
    /claims 16777215 values/,
  ],
  [
    'a string beyond the file',
    () => patched(writeGguf([['k', 'string', 'abc']], []), 37, [100]),
    /ends within its header/,
  ],
];

function overlapping(): Uint8Array {
  const file = writeGguf([], [tensor('a'), tensor('b')]);
  const place = Buffer.from(file.buffer).indexOf('b') + 1 + 4 + 8 + 4;
  return patched(file, place, [96]);
}

for (const [title, file, message] of BROKEN) {
  test(`refuses ${title}`, () => expectError(() => parse(file()), 'bad-file', message));
}

test('a file that ends before its tensors do is refused, at the last byte too', async () => {
  const file = writeGguf([], [tensor('a'), tensor('b')]);
  const open = async (bytes: Uint8Array) => openGguf(memorySource('test.gguf', bytes), await parse(bytes), 'before');
  assert.is((await open(file)).size, 2);
  await expectError(() => open(file.slice(0, -1)), 'bad-file', /its tensor b at/);
});

test('takes a name of 63 bytes', async () => {
  assert.is((await parse(writeGguf([], [tensor('n'.repeat(63))]))).tensors.length, 1);
});

test('arrays of arrays are read, but not without end', async () => {
  const nested = (depth: number) => {
    const file = Buffer.from(writeGguf([['k', 'u8[]', [7]]], []));
    // type array, then for each level: element type array, count 1; at last type u8, count 1, 7
    const level = Buffer.from([9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    return new Uint8Array(Buffer.concat([file.subarray(0, 37), ...Array(depth).fill(level), file.subarray(37, 50)]));
  };
  assert.equal((await parse(nested(2))).metadata.get('k'), [[Uint8Array.of(7)]]);
  await expectError(() => parse(nested(1000)), 'bad-file', /too deep/);
});

test('the types that we run have the sizes of the list of all types', () => {
  const byName = new Map([...GGML_TYPES.values()].map((type) => [type.name, type]));
  for (const name of NAMED_TYPES) {
    const { blockLength, blockBytes } = FILE_TYPES[name];
    assert.equal(byName.get(name), { name, blockLength, blockBytes });
  }
});

test('names become Hugging Face names', () => {
  const names = {
    'token_embd.weight': 'model.embed_tokens.weight',
    'output_norm.weight': 'model.norm.weight',
    'output.weight': 'lm_head.weight',
    'blk.0.attn_norm.weight': 'model.layers.0.input_layernorm.weight',
    'blk.12.attn_q.weight': 'model.layers.12.self_attn.q_proj.weight',
    'blk.12.attn_k.bias': 'model.layers.12.self_attn.k_proj.bias',
    'blk.3.attn_output.weight': 'model.layers.3.self_attn.o_proj.weight',
    'blk.3.attn_q_norm.weight': 'model.layers.3.self_attn.q_norm.weight',
    'blk.3.ffn_norm.weight': 'model.layers.3.post_attention_layernorm.weight',
    'blk.3.ffn_gate.weight': 'model.layers.3.mlp.gate_proj.weight',
    'blk.3.ffn_down.weight': 'model.layers.3.mlp.down_proj.weight',
    'rope_freqs.weight': 'rope_freqs.weight',
    'blk.3.ffn_gate_inp.weight': 'blk.3.ffn_gate_inp.weight',
    'blk.x.attn_q.weight': 'blk.x.attn_q.weight',
  };
  for (const [name, expected] of Object.entries(names)) assert.is(huggingFaceName(name, 'before'), expected);
  const between = 'model.layers.3.pre_feedforward_layernorm.weight';
  assert.is(huggingFaceName('blk.3.ffn_norm.weight', 'both'), between);
  assert.is(
    huggingFaceName('blk.3.post_attention_norm.weight', 'both'),
    'model.layers.3.post_attention_layernorm.weight',
  );
  assert.is(huggingFaceName('blk.3.post_ffw_norm.weight', 'after'), 'model.layers.3.post_feedforward_layernorm.weight');
});

shared('the handcrafted files load or are refused as llama.cpp does', async () => {
  const { files } = readSharedJson('gguf/handcrafted/manifest.json') as { files: { file: string; expected: string }[] };
  for (const { file, expected } of files) {
    const read = () => parse(new Uint8Array(readFileSync(sharedPath(`gguf/handcrafted/${file}`))));
    if (expected === 'loads') await read();
    else await expectError(read, 'bad-file', /gguf/i);
  }
  assert.is(files.length, 22);
});

shared('the sizes in the list of types are those of llama.cpp', () => {
  const byNumber = new Map<number, string>();
  for (const [, name, number, block, bytes] of readFileSync(sharedPath('quant-vectors/TYPES.txt'), 'utf8').matchAll(
    /^(\w+) id=(\d+) .*block=(\d+) size=(\d+)/gm,
  )) {
    byNumber.set(Number(number), name!);
    const type = { name: name!.toUpperCase(), blockLength: Number(block), blockBytes: Number(bytes) };
    assert.equal(GGML_TYPES.get(Number(number)), type);
  }
  assert.is(byNumber.size, 23);
});

shared('six bytes are no GGUF file', () => {
  const bytes = readFileSync(sharedPath('gguf/bad/ollama-test-6-bytes.gguf'));
  return expectError(() => parse(new Uint8Array(bytes)), 'bad-file', /test\.gguf/);
});
if (!hasSharedData) reportSkipped('gguf.test.ts', 3);

test.run();
