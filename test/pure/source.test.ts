import { readdir, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openCheckpoint } from '../../loaders/checkpoint.ts';
import { fileSource, memorySource } from '../../loaders/source.ts';
import { asFloat32, asUint16, asUint32 } from '../../quant/bytes.ts';
import { ggufFile, randomWeights, SMALL_LLAMA } from '../random-model.ts';
import { expectError } from './expect-error.ts';
import { temporaryFolder } from './temporary-folder.ts';

const test = suite('source');
const writeFolder = temporaryFolder(test);

const BYTES = Uint8Array.from({ length: 1000 }, (_, i) => i % 251);
const INSIDE = [
  [0, 0],
  [0, 1000],
  [999, 1],
  [1000, 0],
  [17, 400],
] as const;
const OUTSIDE = [
  [0, 1001],
  [1000, 1],
  [-1, 5],
  [5, -1],
  [2 ** 52, 1],
  [0, 2 ** 40],
  [Number.NaN, 1],
] as const;

test('words of bytes at any place, of a Buffer too', async () => {
  const pool = Buffer.from(BYTES);
  for (const start of [0, 1, 2, 3]) {
    const bytes = pool.subarray(start, start + 8);
    const expected = Array.from({ length: 4 }, (_, i) => bytes.readUInt16LE(2 * i));
    assert.equal([...asUint16(bytes)], expected);
    assert.equal([...asUint32(bytes)], [bytes.readUInt32LE(0), bytes.readUInt32LE(4)]);
    assert.equal(asFloat32(bytes)[1], bytes.readFloatLE(4));
    const read = await memorySource('pool', pool).read(start, 8);
    assert.is(read.slice().buffer.byteLength, 8, 'slice() copies');
  }
});

test('files and memory give the same bytes and the same errors', async () => {
  const path = join(await writeFolder('same', new Map([['file', BYTES]])), 'file');
  for (const source of [await fileSource(path), memorySource('memory', BYTES)]) {
    assert.is(source.size, 1000);
    for (const [offset, length] of INSIDE) {
      assert.equal(await source.read(offset, length), BYTES.slice(offset, offset + length));
    }
    for (const [offset, length] of OUTSIDE) {
      await expectError(() => source.read(offset, length), 'bad-file', /ends at byte 1000/);
    }
    await source.close();
  }
});

test('a file that becomes shorter is an error, not an endless wait', async () => {
  const path = join(await writeFolder('shorter', new Map([['file', BYTES]])), 'file');
  const source = await fileSource(path);
  await truncate(path, 500);
  await expectError(() => source.read(400, 200), 'bad-file', /became shorter/);
  await source.close();
});

test('a folder is no file', async () => {
  const path = await writeFolder('folder', new Map());
  await expectError(() => fileSource(path), 'bad-argument', /no regular file|is a folder/);
});

const openFiles = async () => (await readdir('/proc/self/fd')).length;

(process.platform === 'linux' ? test : test.skip)('no file stays open behind an error or close()', async () => {
  const gguf = ggufFile(SMALL_LLAMA, randomWeights(SMALL_LLAMA));
  const cases = new Map<string, Uint8Array | string>([
    ['cut.gguf', gguf.slice(0, -1)],
    ['text', 'Once upon a time'],
    ['cut.zip', 'PK\x03\x04'],
    ['alone.safetensors', '\x02\0\0\0\0\0\0\0{}'],
    ['error.json', '{}'],
  ]);
  const path = await writeFolder('errors', cases);
  await writeFolder('errors', new Map([['good.gguf', gguf]]));
  const before = await openFiles();
  for (const name of cases.keys()) await expectError(() => openCheckpoint(join(path, name)), 'bad-file', /./);
  await expectError(() => fileSource('/dev/null'), 'bad-argument', /no regular file/);
  assert.is(await openFiles(), before, 'after errors');
  const checkpoint = await openCheckpoint(join(path, 'good.gguf'));
  assert.is(await openFiles(), before + 1, 'while open');
  await checkpoint.close();
  assert.is(await openFiles(), before, 'after close');
});

test.run();
