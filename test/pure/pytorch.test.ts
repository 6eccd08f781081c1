/** PyTorch checkpoints: the tensors of safe ones, and that nothing else in a pickle is ever followed. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createReference } from '../../engine/reference.ts';
import { openCheckpoint, openFolder } from '../../loaders/checkpoint.ts';
import { readPickle } from '../../loaders/pickle.ts';
import { openPyTorch } from '../../loaders/pytorch.ts';
import { fileSource, memorySource } from '../../loaders/source.ts';
import { FirstlightError } from '../../quant/errors.ts';
import { seededRandom } from '../random.ts';
import { configJson, encodeRows, memoryFolder, randomWeights, SMALL_LLAMA } from '../random-model.ts';
import {
  pickledGlobal,
  pickledNumber,
  pickledTable,
  pickledTensor,
  pickledText,
  writePyTorch,
} from '../write-pytorch.ts';
import type { TensorBytes } from '../write-safetensors.ts';
import { expectError } from './expect-error.ts';

const test = suite('pytorch');

const WEIGHTS = randomWeights(SMALL_LLAMA);

function tensorsOf(type: 'F32' | 'F16' | 'BF16'): TensorBytes[] {
  return [...WEIGHTS].map(([name, { shape, values }]) => ({ name, type, shape, bytes: encodeRows(type, values) }));
}

const CONFIG = Buffer.from(JSON.stringify(configJson(SMALL_LLAMA)));

for (const type of ['F32', 'F16', 'BF16'] as const) {
  for (const shards of [1, 2]) {
    test(`${type} in ${shards} file(s): every tensor as it is`, async () => {
      const tensors = tensorsOf(type);
      const files = new Map<string, Uint8Array>([['config.json', CONFIG]]);
      if (shards === 1) files.set('pytorch_model.bin', writePyTorch(tensors));
      else {
        const map: Record<string, string> = {};
        for (let i = 0; i < shards; i++) {
          const name = `pytorch_model-0000${i + 1}-of-00002.bin`;
          const own = tensors.filter((_, nth) => nth % shards === i);
          files.set(name, writePyTorch(own));
          for (const tensor of own) map[tensor.name] = name;
        }
        files.set('pytorch_model.bin.index.json', Buffer.from(JSON.stringify({ weight_map: map })));
      }
      for (const weights of [undefined, [...files.keys()].find((name) => name.endsWith('.bin'))]) {
        const checkpoint = await openFolder(memoryFolder(files), weights);
        assert.is(checkpoint.format, shards === 1 ? 'PyTorch' : 'PyTorch in 2 shards');
        for (const { name, bytes } of tensors) {
          const { rows } = checkpoint.tensors.get(name)!;
          assert.equal(new Uint8Array(await checkpoint.readRows(name, 0, rows)), new Uint8Array(bytes), name);
        }
        await checkpoint.close();
      }
    });
  }
}

const FIXTURE = fileURLToPath(new URL('../fixtures/torch/', import.meta.url));

test('a checkpoint of torch itself computes what torch computed', async () => {
  const checkpoint = await openCheckpoint(join(FIXTURE, 'pytorch_model.bin'));
  const raw = readFileSync(join(FIXTURE, 'logits.f32'));
  const expected = new Float32Array(raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.length));
  const reference = await createReference(checkpoint);
  for (const [position, id] of [1, 5, 9, 33, 2, 60, 7, 8].entries()) {
    const wanted = expected.subarray(64 * position);
    const off = reference.next(id).reduce((most, value, i) => Math.max(most, Math.abs(value - wanted[i]!)), 0);
    assert.ok(off < 1e-5, `position ${position}: off by ${off}`);
  }
  await checkpoint.close();
  const source = await fileSource(join(FIXTURE, 'training.pt'));
  const tensors = await openPyTorch(source);
  assert.equal(
    [...tensors].map(([name, { type, shape }]) => [name, type, [...shape]]),
    [
      ['a', 'BF16', [2, 3]],
      ['b', 'F16', [4]],
      ['n', 'I64', []],
    ],
  );
  await source.close();
});

const TENSOR: TensorBytes = { name: 'x', type: 'F32', shape: [2, 3], bytes: new Uint8Array(24) };
const open = (bytes: Uint8Array) => openPyTorch(memorySource('model.bin', bytes));
const withPickle = (...parts: (Buffer | string)[]) =>
  writePyTorch(
    [TENSOR],
    Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : part))),
  );

test('tensors of a training checkpoint, parameters, and things that are no tensors', async () => {
  const parameter = Buffer.concat([
    pickledGlobal('torch._utils', '_rebuild_parameter'),
    Buffer.from('('),
    pickledTensor('0', TENSOR),
    Buffer.from('\x88', 'latin1'),
    pickledGlobal('collections', 'OrderedDict'),
    Buffer.from(')RtR'),
  ]);
  const state = pickledTable([
    ['a', parameter],
    ['b', pickledTensor('0', TENSOR)],
    ['step', pickledNumber(7)],
  ]).subarray(2, -1);
  const tensors = await open(
    writePyTorch(
      [TENSOR],
      pickledTable([
        ['state_dict', state],
        ['epoch', pickledNumber(3)],
      ]),
    ),
  );
  assert.equal([...tensors.keys()], ['a', 'b']);
});

test('nothing that a pickle asks for is run', async () => {
  for (const [module, name] of [
    ['os', 'system'],
    ['posix', 'system'],
    ['builtins', 'eval'],
    ['builtins', 'getattr'],
    ['torch', 'load'],
    ['torch.hub', 'load'],
    ['torch._utils', '_rebuild_wrapper_subclass'],
    ['torch', 'FloatStorage.__reduce__'],
  ] as const) {
    const attack = withPickle('\x80\x02', pickledGlobal(module, name), '(', pickledText('touch /tmp/x'), 'tR.');
    await expectError(() => open(attack), 'bad-file', new RegExp(`asks for "${module}\\.${name}".*nothing was run`));
  }
});

test('what a table of tensors does not need is refused', async () => {
  const names = pickledGlobal('torch', 'FloatStorage');
  for (const [pickle, message] of [
    [withPickle('\x80\x04.'), /another protocol/],
    [withPickle('\x80\x02i'), /opcode 105/],
    [withPickle('\x80\x02\x93'), /opcode 147/],
    [withPickle('\x80\x02', names, ')R.'), /makes a tensor in an unknown way/],
    [withPickle('\x80\x02', names, '}b.'), /changes what is no dict/],
    [withPickle('\x80\x02', pickledText('id'), 'Q.'), /names data in an unknown way/],
    [withPickle('\x80\x02h\x05.'), /did not remember/],
    [withPickle('\x80\x02t.'), /without a mark/],
    [withPickle('\x80\x02.'), /takes more than it put/],
    [withPickle('\x80\x02X\xff\xff\xff\x7f'), /ends within its pickle/],
    [withPickle('\x80\x02\x8a\xff'), /number in its pickle that is too large/],
    [withPickle('\x80\x02].'), /has no tensors/],
    [writePyTorch([TENSOR], pickledTable([['x', pickledTensor('9', TENSOR)]])), /names the data "9"/],
    [writePyTorch([TENSOR], pickledTable([['x', pickledTensor('0', TENSOR, [1, 2])]])), /rows apart/],
    [
      writePyTorch([TENSOR], pickledTable([['x', pickledTensor('0', { ...TENSOR, shape: [2, 4] })]])),
      /24 bytes of data where x needs 32/,
    ],
    [writePyTorch([TENSOR], undefined, { 'archive/byteorder': Buffer.from('big') }), /byte order of another machine/],
  ] as const) {
    await expectError(() => open(pickle), 'bad-file', message);
  }
});

test('a cut or changed file is an error, whatever was cut or changed', async () => {
  const whole = writePyTorch([TENSOR, { ...TENSOR, name: 'y', type: 'F16', shape: [3, 4] }]);
  const random = seededRandom(9);
  for (let round = 0; round < 400; round++) {
    const changed = whole.slice(0, round % 2 === 0 ? whole.length : Math.floor(random() * whole.length));
    for (let i = 0; i < 1 + (round % 4) && changed.length > 0; i++)
      changed[Math.floor(random() * changed.length)] = random() * 256;
    try {
      const tensors = await open(changed);
      for (const tensor of tensors.values()) if (tensor.type !== 'F32') continue;
    } catch (error) {
      assert.instance(error, FirstlightError, String(error));
    }
  }
});

test('values of every kind', () => {
  const read = (...parts: (Buffer | string)[]) =>
    readPickle(
      Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : part))),
      'p',
    );
  assert.is(read('\x80\x02N.'), null);
  assert.is(read('\x80\x02\x88.'), true);
  assert.is(read('\x80\x02K\xff.'), 255);
  assert.is(read('\x80\x02M\x01\x02.'), 513);
  assert.is(read('\x80\x02J\xff\xff\xff\xff.'), -1);
  assert.is(read('\x80\x02\x8a\x02\x00\x80.'), -32768);
  assert.is(read('\x80\x02\x8a\x00.'), 0);
  assert.is(read('\x80\x02G\x3f\xf8\0\0\0\0\0\0.'), 1.5);
  assert.equal(read('\x80\x02K\x01K\x02\x86.'), [1, 2]);
  assert.equal(read('\x80\x02](K\x01K\x02e.'), [1, 2]);
  assert.equal(read('\x80\x02}', pickledText('a'), 'K\x01s.'), new Map([['a', 1]]));
  assert.equal(read('\x80\x02', pickledText('a'), 'q\x03', '0h\x03.'), 'a');
});

test.run();
