/** Files cut off anywhere: a FirstlightError, at once and in little memory. Other damage: fuzz.test.ts. */
import { zipSync } from 'fflate';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openFolder, openGgufSource } from '../../loaders/checkpoint.ts';
import { zipFolder } from '../../loaders/folder.ts';
import { memorySource } from '../../loaders/source.ts';
import type { Checkpoint } from '../../loaders/types.ts';
import { FirstlightError } from '../../quant/errors.ts';
import { ggufFile, memoryFolder, randomWeights, SMALL_LLAMA, safetensorsFolder } from '../random-model.ts';

const test = suite('broken files');

const MOST_MS = 1000;
const MOST_BYTES = 64 * 2 ** 20;

const CONFIG = { ...SMALL_LLAMA, layers: 1, hidden: 32, feedForward: 32, heads: 2, kvHeads: 1, vocab: 32 };
const WEIGHTS = randomWeights(CONFIG);
const FOLDER = safetensorsFolder(CONFIG, WEIGHTS, 'F16');
const PAIRS = safetensorsFolder(CONFIG, WEIGHTS, 'Q4_0');
const TOKENS = Array.from({ length: 32 }, (_, i) => `token ${i}`);
const GGUF = ggufFile(CONFIG, WEIGHTS, 'Q4_0', {
  metadata: [
    ['tokenizer.ggml.tokens', 'string[]', TOKENS],
    ['tokenizer.ggml.scores', 'f32[]', TOKENS.map((_, i) => -i)],
  ],
});

interface Target {
  readonly name: string;
  readonly file: Uint8Array;
  readonly open: (file: Uint8Array) => Promise<Checkpoint>;
}

const openWith = (files: ReadonlyMap<string, Uint8Array>, name: string) => (file: Uint8Array) =>
  openFolder(memoryFolder(new Map(files).set(name, file)));
const ZIP = zipSync({
  'config.json': FOLDER.get('config.json')!,
  'model.safetensors': FOLDER.get('model.safetensors')!,
});

const TARGETS: readonly Target[] = [
  {
    name: 'safetensors',
    file: FOLDER.get('model.safetensors')!,
    open: openWith(FOLDER, 'model.safetensors'),
  },
  {
    name: 'safetensors with pairs',
    file: PAIRS.get('model.safetensors')!,
    open: openWith(PAIRS, 'model.safetensors'),
  },
  {
    name: 'config.json',
    file: FOLDER.get('config.json')!,
    open: openWith(FOLDER, 'config.json'),
  },
  {
    name: 'GGUF',
    file: GGUF,
    open: (file) => openGgufSource(memorySource('m.gguf', file)),
  },
  {
    name: 'zip',
    file: ZIP,
    open: async (file) => openFolder(await zipFolder(memorySource('m.zip', file))),
  },
];

/** Opens a broken file and reads all its tensors; true when it was refused. */
async function tryFile({ open }: Target, file: Uint8Array, what: string): Promise<boolean> {
  const before = memory();
  const start = performance.now();
  let refused = false;
  try {
    const checkpoint = await open(file);
    for (const { name, rows } of checkpoint.tensors.values()) await checkpoint.readRows(name, 0, rows);
    await checkpoint.close();
  } catch (error) {
    if (!(error instanceof FirstlightError)) throw new Error(`${what}: ${error}`, { cause: error });
    assert.not.match(error.message, /\n/, what);
    refused = true;
  }
  assert.ok(performance.now() - start < MOST_MS, `${what} took ${performance.now() - start} ms`);
  assert.ok(memory() - before < MOST_BYTES, `${what} took ${memory() - before} bytes`);
  return refused;
}

function memory(): number {
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

for (const target of TARGETS) {
  const { name, file } = target;

  test(`${name}: whole it opens, cut off after every 97th byte it is refused`, async () => {
    assert.is(await tryFile(target, file, name), false);
    for (let length = 0; length < file.length; length += 97) {
      assert.ok(
        await tryFile(target, file.slice(0, length), `${name} of ${length} bytes`),
        `${name} of ${length} bytes`,
      );
    }
  });
}

test.run();
