/** What a hub is asked for: names, the files of a model that are needed, and the line about them. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { progressLine } from '../../bin/transfer.ts';
import { parseName } from '../../loaders/hub/names.ts';
import { selectFiles } from '../../loaders/hub/select.ts';
import { storeFolder } from '../../loaders/hub/store.ts';
import { expectError } from './expect-error.ts';

const test = suite('hub names');

test('names', async () => {
  const hub = 'https://hub.example';
  const model = (name: string, revision = 'main', variant?: string) => ({ kind: 'model', name, revision, variant });
  const cases: [string, unknown][] = [
    ['owner/model', model('owner/model')],
    ['gpt2', model('gpt2')],
    ['owner/model:Q4_K_M', model('owner/model', 'main', 'Q4_K_M')],
    ['owner/model@v1.0:Q4_0', model('owner/model', 'v1.0', 'Q4_0')],
    ['owner/model:sub/a-00001-of-00002.gguf', model('owner/model', 'main', 'sub/a-00001-of-00002.gguf')],
    ['https://hub.example/owner/model', model('owner/model')],
    ['https://hf.co/owner/model/tree/dev', model('owner/model', 'dev')],
    ['https://huggingface.co/owner/model/blob/main/a.gguf', model('owner/model', 'main', 'a.gguf')],
    [
      'https://huggingface.co/owner/model/resolve/main/x/a.gguf?download=true',
      model('owner/model', 'main', 'x/a.gguf'),
    ],
    [
      'http://files.example:8080/x/m.gguf',
      { kind: 'file', name: 'files.example_8080/m', url: 'http://files.example:8080/x/m.gguf', file: 'm.gguf' },
    ],
  ];
  for (const [text, expected] of cases) assert.equal(parseName(text, hub), expected, text);
  for (const text of [
    '',
    '.',
    '..',
    '../x',
    'a/b/c',
    'a/../b',
    '-x/y',
    'a b/c',
    'a/b:',
    'a/b@',
    'a/b:../c',
    'https://',
    'https://x.example/',
    '/etc/passwd',
  ])
    await expectError(() => parseName(text, hub), 'bad-argument', /names no model|ends in no file|no valid URL/);
  assert.is(storeFolder({ XDG_DATA_HOME: '/data' }), '/data/firstlight/models');
  assert.match(storeFolder({ XDG_DATA_HOME: 'relative' }), /\/\.local\/share\/firstlight\/models$/);
});

test('which files', async () => {
  const choose = (paths: string, variant?: string) => selectFiles('o/m', paths.split(' '), variant).files.join(' ');
  const shards = 'model-00001-of-00002.safetensors model-00002-of-00002.safetensors model.safetensors.index.json';
  assert.is(choose(`config.json ${shards} consolidated.safetensors x/model.safetensors`), `config.json ${shards}`);
  assert.is(
    choose('config.json weights.safetensors tokenizer.model'),
    'config.json tokenizer.model weights.safetensors',
  );
  assert.is(choose('a.Q8_0.gguf a.Q4_K_M.gguf a.Q2_K.gguf'), 'a.Q4_K_M.gguf');
  assert.is(choose('a-f16.gguf imatrix.gguf'), 'a-f16.gguf');
  assert.is(choose('a-Q4_K_M.gguf a-IQ4_XS.gguf model.safetensors', 'iq4_xs'), 'a-IQ4_XS.gguf');
  const split = 'Q8_0/a-Q8_0-00001-of-00002.gguf Q8_0/a-Q8_0-00002-of-00002.gguf';
  assert.is(choose(`a-Q4_0.gguf ${split}`, 'Q8_0'), split);
  assert.is(choose(`a-Q4_0.gguf ${split}`, 'a-Q8_0-00001-of-00002.gguf'), split);
  assert.is(
    choose('mlc-chat-config.json tensor-cache.json params_shard_0.bin x.so'),
    'mlc-chat-config.json tensor-cache.json params_shard_0.bin',
  );
  assert.is(choose('config.json pytorch_model.bin training_args.bin'), 'config.json pytorch_model.bin');
  await expectError(() => choose(split.split(' ')[0]!, 'Q8_0'), 'download-failed', /has no .*00002-of-00002\.gguf/);
  await expectError(() => choose('model.safetensors', 'Q4_0'), 'bad-argument', /none at all/);
  await expectError(() => choose('adapter_model.safetensors README.md'), 'unsupported-model', /no weights/);
});

test('progress', () => {
  assert.is(progressLine(2 ** 30, 4 * 2 ** 30, 10 * 2 ** 20), '25 %, 1.0 GiB of 4.0 GiB, 10.0 MiB/s, 6 min left');
  assert.is(progressLine(2 ** 20, 2 ** 21, 2 ** 19), '50 %, 1.0 MiB of 2.0 MiB, 0.5 MiB/s, 2 s left');
  assert.is(progressLine(2 ** 20, undefined, 0), '1.0 MiB, 0.0 MiB/s');
  assert.is(progressLine(0, 2 ** 40, 2 ** 20), '0 %, 0.0 MiB of 1024.0 GiB, 1.0 MiB/s, 291 h 17 min left');
});

test.run();
