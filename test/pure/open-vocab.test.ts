/** Tokenizers without the weights of their models, and models by a path that no shell has read. */
import { readFileSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { builtinPath, openCheckpoint } from '../../loaders/checkpoint.ts';
import { openModel } from '../../loaders/named.ts';
import { openVocab } from '../../loaders/open-vocab.ts';
import { writeGguf } from '../write-gguf.ts';
import { expectError } from './expect-error.ts';
import { byteLevelJson } from './small-tokenizers.ts';
import { temporaryFolder } from './temporary-folder.ts';

const test = suite('open vocab');
const writeFolder = temporaryFolder(test);

const JSON_TEXT = JSON.stringify(byteLevelJson());
const PIECES = readFileSync(new URL('sentencepiece/bpe.model', import.meta.url));
const TOKENS = ['<unk>', '<s>', '</s>', 'a', 'b', 'ab'];

test('of a folder without weights, from tokenizer.json, tokenizer.model, and a GGUF file of any architecture', async () => {
  const gguf = writeGguf(
    [
      ['general.architecture', 'string', 'gpt2'],
      ['tokenizer.ggml.model', 'string', 'llama'],
      ['tokenizer.ggml.tokens', 'string[]', TOKENS],
      ['tokenizer.ggml.scores', 'f32[]', TOKENS.map((_, id) => -id)],
    ],
    [],
  );
  const config = JSON.stringify({ architectures: ['Unknown'], eos_token_id: 7 });
  const folder = await writeFolder(
    'both',
    new Map<string, string | Uint8Array>([
      ['config.json', config],
      ['tokenizer.json', JSON_TEXT],
      ['tokenizer.model', PIECES],
      ['mine.model.v3', PIECES],
      ['vocab.gguf', gguf],
    ]),
  );
  const kindOf = async (name: string) => (await openVocab(join(folder, name)))?.kind;
  assert.is(await kindOf(''), 'bytes');
  assert.equal((await openVocab(folder))?.eos, [7, 269], 'config.json is heard');
  assert.is(await kindOf('tokenizer.json'), 'bytes');
  assert.is(await kindOf('tokenizer.model'), 'spm');
  assert.is(await kindOf('mine.model.v3'), 'spm');
  assert.equal((await openVocab(join(folder, 'vocab.gguf')))?.tokens, TOKENS);
  const none = await writeFolder('none', new Map([['config.json', config]]));
  assert.is(await openVocab(none), undefined);
  await expectError(() => openVocab(join(folder, 'config.json')), 'unsupported-model', /"Unknown"/);
});

test('of a whole model in any form', async () => {
  const checkpoint = await openCheckpoint(builtinPath());
  assert.equal(await openVocab(builtinPath()), await checkpoint.vocab());
  await checkpoint.close();
});

test('~/ is the home folder where no shell has said so', async () => {
  const folder = await writeFolder('home', new Map());
  await cp(builtinPath(), join(folder, 'a model.zip'));
  const home = process.env.HOME;
  process.env.HOME = folder;
  try {
    const checkpoint = await openModel('~/a model.zip');
    assert.is(checkpoint.path, join(folder, 'a model.zip'));
    await checkpoint.close();
    await expectError(() => openModel('~/none.gguf'), 'bad-argument', /none\.gguf does not exist: check the path/);
  } finally {
    process.env.HOME = home;
  }
});

test.run();
