/** What is said of paths that lead to no model. */
import { chmod } from 'node:fs/promises';
import { join } from 'node:path';
import { zipSync } from 'fflate';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openCheckpoint } from '../../loaders/checkpoint.ts';
import { readSmall, zipFolder } from '../../loaders/folder.ts';
import { memorySource } from '../../loaders/source.ts';
import { configJson, randomWeights, SMALL_LLAMA, safetensorsFolder } from '../random-model.ts';
import { expectError } from './expect-error.ts';
import { temporaryFolder } from './temporary-folder.ts';

const test = suite('no model');
const writeFolder = temporaryFolder(test);

const SAFETENSORS = safetensorsFolder(SMALL_LLAMA, randomWeights(SMALL_LLAMA)).get('model.safetensors')!;
const NO_MODEL: readonly (readonly [name: string, content: Uint8Array | string, message: RegExp])[] = [
  ['empty.gguf', '', /is empty/],
  [
    'pointer.safetensors',
    'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n',
    /Git LFS pointer.*git lfs pull/,
  ],
  ['page.gguf', '\n<!DOCTYPE html><html><title>404</title></html>', /a web page/],
  ['error.json', '{"error":"Repository not found"}', /neither config\.json nor an index/],
  ['broken.json', '{"weight_map":', /no valid JSON/],
  [
    'model.bin',
    zipSync({ 'archive/data.pkl': new Uint8Array(9), 'archive/data/0': new Uint8Array(9) }),
    /another protocol|opcode 0/,
  ],
  ['old.bin', Uint8Array.of(0x80, 0x02, 0x8a, 0x0a), /pickle/],
  ['new.pkl', Uint8Array.of(0x80, 0x05, 0x95), /a Python pickle/],
  ['old.ggml', 'tjgg\x03\0\0\0', /before GGUF/],
  ['other.zip', zipSync({ 'readme.txt': new Uint8Array(3) }), /without config\.json/],
  ['cut.zip', zipSync({ 'config.json': new Uint8Array(300) }).subarray(0, 60), /damaged zip/],
  ['notes.txt', 'Once upon a time', /no model that firstlight reads/],
  ['model.gz', Uint8Array.of(0x1f, 0x8b, 8, 0), /gzip/],
  ['cut.safetensors', SAFETENSORS.subarray(0, 20_000), /its tensors end at/],
  ['alone.safetensors', SAFETENSORS, /has no config\.json/],
  ['without extension', SAFETENSORS, /has no config\.json/],
];
for (const [name, content, message] of NO_MODEL) {
  test(`says what is wrong with ${name}`, async () => {
    const path = await writeFolder('no model', new Map([[name, content]]));
    await expectError(() => openCheckpoint(join(path, name)), 'bad-file', message);
  });
}

test('a zip archive that claims more than it can hold is not unpacked', async () => {
  const zip = zipSync({ 'config.json': new Uint8Array(100_000) });
  const directory = Buffer.from(zip.buffer).indexOf(Buffer.from([0x50, 0x4b, 1, 2]));
  const claim = new DataView(zip.buffer);
  claim.setUint32(directory + 24, 2 ** 29, true);
  const path = await writeFolder('bombs', new Map([['bomb.zip', zip]]));
  await expectError(() => openCheckpoint(join(path, 'bomb.zip')), 'bad-file', /damaged zip/);
  claim.setUint32(directory + 24, 2 ** 30 + 1, true);
  await expectError(() => zipFolder(memorySource('bomb.zip', zip)), 'bad-file', /more than 1 GiB/);
  const many = zipSync(Object.fromEntries(Array.from({ length: 10_001 }, (_, i) => [`${i}`, new Uint8Array()])));
  await expectError(() => zipFolder(memorySource('many.zip', many)), 'bad-file', /damaged zip/);
});

test('files too large for memory are not read', async () => {
  const huge = {
    ...memorySource('huge', new Uint8Array()),
    size: 2 ** 31,
    read: () => Promise.reject(new Error('read')),
  };
  await expectError(() => zipFolder(huge), 'bad-file', /more than 1 GiB/);
  await expectError(() => readSmall(huge), 'bad-file', /2147483648 bytes/);
});

test('only what lies beside config.json belongs to a zip archive', async () => {
  const one = new Uint8Array(1);
  const zip = zipSync({ 'a/config.json': one, 'a/x.txt': one, 'a/b/y.txt': one, 'c/tokenizer.json': one, z: one });
  const { names } = await zipFolder(memorySource('m.zip', zip));
  assert.equal([...names].sort(), ['b/y.txt', 'config.json', 'x.txt']);
});

test('says what is wrong with a folder', async () => {
  const config = JSON.stringify(configJson(SMALL_LLAMA));
  const cases: [string, Map<string, string>, RegExp][] = [
    ['nothing', new Map(), /has no config\.json: a model in/],
    ['a gguf', new Map([['m.gguf', 'GGUF']]), /give its own path, for instance .*m\.gguf/],
    ['no weights', new Map([['config.json', config]]), /neither model\.safetensors nor .*get the weights/],
    [
      'pytorch',
      new Map([
        ['config.json', config],
        ['consolidated.00.pth', ''],
      ]),
      /give the path of .*consolidated\.00\.pth/,
    ],
    [
      'json',
      new Map([
        ['config.json', config],
        ['model.safetensors', '{"error":"x"}'],
      ]),
      /safetensors/,
    ],
    [
      'lfs',
      new Map([
        ['config.json', config],
        ['model.safetensors', 'version https://git-lfs'],
      ]),
      /Git LFS/,
    ],
    [
      'two files',
      new Map([
        ['config.json', config],
        ['a.safetensors', ''],
        ['b.safetensors', ''],
      ]),
      /neither model/,
    ],
    ['bad config', new Map([['config.json', '{"a":1,}']]), /config\.json is no valid JSON/],
  ];
  for (const [name, files, message] of cases) {
    const path = await writeFolder(name, files);
    await expectError(() => openCheckpoint(path), 'bad-file', message);
  }
});

test('says what is wrong with a path', async () => {
  const path = await writeFolder('paths', new Map([['secret.gguf', 'GGUF']]));
  await expectError(() => openCheckpoint(join(path, 'nowhere')), 'bad-argument', /nowhere does not exist/);
  await expectError(() => openCheckpoint(join(path, 'secret.gguf', 'x')), 'bad-argument', /does not exist/);
  if (process.platform === 'win32' || process.getuid?.() === 0) return; // no permission is denied there
  await chmod(join(path, 'secret.gguf'), 0);
  await expectError(() => openCheckpoint(join(path, 'secret.gguf')), 'bad-argument', /may not be read/);
});

test.run();
