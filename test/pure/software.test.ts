/** Unpacking the software driver: the tar reader, and the folder that several processes may fill. */
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { brotliCompressSync } from 'node:zlib';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { manifestOf, packedSwiftShader, readTar, unpackSwiftShader } from '../../devices/software.ts';

interface Entry {
  readonly name: string;
  readonly data: Uint8Array;
  readonly type?: string;
}

/** A ustar archive. */
function makeTar(entries: readonly Entry[]): Buffer {
  const blocks: Buffer[] = [];
  for (const { name, data, type = '0' } of entries) {
    const header = Buffer.alloc(512);
    header.write(name, 0);
    header.write('0000644\0', 100);
    header.write(`${data.length.toString(8).padStart(11, '0')}\0`, 124);
    header.write(type, 156);
    header.write('ustar\x0000', 257);
    header.fill(' ', 148, 156);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    blocks.push(header, Buffer.from(data), Buffer.alloc((512 - (data.length % 512)) % 512));
  }
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

const bytes = (length: number, seed: number) => Uint8Array.from({ length }, (_, i) => (i * 7 + seed) & 255);
const DRIVER: readonly Entry[] = [
  { name: './', data: new Uint8Array(), type: '5' },
  { name: './vk_swiftshader_icd.json', data: Buffer.from('{"ICD": {"library_path": "./libvk_swiftshader.so"}}') },
  { name: 'libvk_swiftshader.so', data: bytes(70_000, 1) },
  { name: 'libvulkan.so.1', data: bytes(512, 2) },
  { name: 'libEGL.so', data: bytes(3, 3) },
];

interface Context {
  folder: string;
  archive: string;
}

const test = suite<Context>('software driver');

test.before.each((context) => {
  context.folder = mkdtempSync(join(tmpdir(), 'firstlight-test-'));
  context.archive = join(context.folder, 'driver.tar.br');
  writeFileSync(context.archive, brotliCompressSync(makeTar(DRIVER)));
});

test.after.each(({ folder }) => {
  rmSync(folder, { recursive: true, force: true });
});

test('reads the files of an archive by base name', () => {
  const files = readTar(makeTar([...DRIVER, { name: 'a/b/empty', data: new Uint8Array() }]));
  assert.equal(
    [...files.keys()],
    ['vk_swiftshader_icd.json', 'libvk_swiftshader.so', 'libvulkan.so.1', 'libEGL.so', 'empty'],
  );
  for (const { name, data } of DRIVER.slice(1)) {
    assert.is(Buffer.compare(files.get(name.replace('./', ''))!, data), 0, name);
  }
  assert.is(files.get('empty')!.length, 0);
});

test('leaves links and folders out', () => {
  const files = readTar(makeTar([{ name: 'link', data: new Uint8Array(), type: '2' }, ...DRIVER.slice(0, 2)]));
  assert.equal([...files.keys()], ['vk_swiftshader_icd.json']);
});

test('notices damage', () => {
  const archive = makeTar(DRIVER);
  assert.throws(() => readTar(archive.subarray(0, 20_000)), /cut off/);
  assert.throws(() => readTar(archive.subarray(0, archive.length - 1024)), /no end mark/);
  assert.throws(() => readTar(new Uint8Array()), /no end mark/);
  for (const at of [0, 130, 600]) {
    const damaged = Buffer.from(archive);
    damaged[at]! ^= 1;
    assert.throws(() => readTar(damaged), /bad header at byte/);
  }
  const noSize = makeTar([{ name: 'a', data: bytes(5, 0) }]);
  noSize.write('zzzzzzzzzzz', 124);
  noSize.fill(' ', 148, 156);
  const sum = noSize.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  noSize.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  assert.throws(() => readTar(noSize), /cut off/);
});

test('unpacks what is needed, once', async ({ folder, archive }) => {
  const cache = join(folder, 'new', 'cache');
  const first = await unpackSwiftShader(archive, [cache]);
  assert.equal(readdirSync(first).sort(), ['libvk_swiftshader.so', 'libvulkan.so.1', 'vk_swiftshader_icd.json']);
  assert.is(Buffer.compare(readFileSync(join(first, 'libvk_swiftshader.so')), DRIVER[2]!.data), 0);
  assert.match(readFileSync(manifestOf(first), 'utf8'), 'library_path');
  writeFileSync(join(first, 'mark'), '');
  assert.is(await unpackSwiftShader(archive, [cache]), first);
  assert.ok(readdirSync(first).includes('mark'), 'not unpacked again');
  assert.equal(readdirSync(cache).length, 1, 'nothing unfinished stays');
});

test('gives another archive another folder', async ({ folder, archive }) => {
  const first = await unpackSwiftShader(archive, [folder]);
  writeFileSync(archive, brotliCompressSync(makeTar([...DRIVER, { name: 'more', data: bytes(1, 1) }])));
  assert.is.not(await unpackSwiftShader(archive, [folder]), first);
});

test('may run several times at once', async ({ folder, archive }) => {
  const cache = join(folder, 'cache');
  const folders = await Promise.all(Array.from({ length: 6 }, () => unpackSwiftShader(archive, [cache])));
  assert.is(new Set(folders).size, 1);
  assert.is(readdirSync(cache).length, 1, 'nothing unfinished stays');
  assert.is(readdirSync(folders[0]!).length, 3);
});

test('goes to the next place when one cannot be written or belongs to others', async ({ folder, archive }) => {
  const notAFolder = join(folder, 'file');
  writeFileSync(notAFolder, '');
  const shared = join(folder, 'shared');
  mkdirSync(shared);
  chmodSync(shared, 0o777);
  const good = join(folder, 'good');
  const unpacked = await unpackSwiftShader(archive, [join(notAFolder, 'cache'), shared, good]);
  assert.ok(unpacked.startsWith(good), unpacked);
  try {
    await unpackSwiftShader(archive, [shared]);
    assert.unreachable();
  } catch (error) {
    assert.match((error as Error).message, 'can be changed by other users');
  }
});

test('leaves nothing behind when the archive lacks a file', async ({ folder, archive }) => {
  writeFileSync(archive, brotliCompressSync(makeTar(DRIVER.slice(0, 3))));
  const cache = join(folder, 'cache');
  try {
    await unpackSwiftShader(archive, [cache]);
    assert.unreachable();
  } catch (error) {
    assert.match((error as Error).message, 'libvulkan.so.1 is not in the archive');
  }
  assert.equal(readdirSync(cache), []);
});

test('finds the package where it is made for', () => {
  const made = process.platform === 'linux' && process.arch === 'x64';
  const packed = packedSwiftShader();
  if (!made) assert.is(packed, undefined);
  else if (packed) assert.ok(readFileSync(packed).length > 1e6);
});

test.run();
