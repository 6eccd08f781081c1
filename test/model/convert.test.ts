/** Converted files: the same weights and logits as the original, also back in Hugging Face's layout; nothing half-done stays. */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../devices/types.ts';
import { convertCheckpoint, writeHuggingFace } from '../../engine/convert.ts';
import { type LoadOptions, loadModel } from '../../engine/model.ts';
import { createReference } from '../../engine/reference.ts';
import { createSession } from '../../engine/session.ts';
import { builtinPath, openCheckpoint, openFolder, openGgufSource } from '../../loaders/checkpoint.ts';
import { openModel } from '../../loaders/named.ts';
import { memorySource } from '../../loaders/source.ts';
import type { Checkpoint, LlamaConfig } from '../../loaders/types.ts';
import { FirstlightError } from '../../quant/errors.ts';
import { decodeRows, type FileType } from '../../quant/file-types.ts';
import { deviceTests } from '../device.ts';
import { expectError } from '../pure/expect-error.ts';
import { temporaryFolder } from '../pure/temporary-folder.ts';
import {
  ggufFile,
  memoryFolder,
  plainCheckpoint,
  randomWeights,
  SMALL_LLAMA,
  safetensorsFolder,
} from '../random-model.ts';
import { groupFolder } from '../write-groups.ts';

const test = suite('convert');
const check = await deviceTests(test);
const writeFolder = temporaryFolder(test);

/** Whole super-blocks, rows that are reordered, padding. */
const CONFIG: LlamaConfig = {
  ...SMALL_LLAMA,
  ...{ architecture: 'qwen2', attentionBias: true, layers: 1, hidden: 256, feedForward: 512, heads: 8, headDim: 32 },
  ropeDim: 32,
  vocab: 101,
};

const openGguf = (type: FileType | ((name: string) => FileType), config = CONFIG) =>
  openGgufSource(memorySource('m.gguf', ggufFile(config, randomWeights(config), type)));

async function floats(checkpoint: Checkpoint, name: string): Promise<Float32Array> {
  const { type, rows, cols } = checkpoint.tensors.get(name)!;
  return decodeRows(type, await checkpoint.readRows(name, 0, rows), rows, cols);
}

async function logitsOf(device: Device, checkpoint: Checkpoint, options: LoadOptions) {
  const model = await loadModel(device, checkpoint, { ...options, context: 16 });
  const session = await createSession(model, { context: 16 });
  const rows: number[][] = [];
  for await (const logits of session.logits([1, 42, 7])) rows.push([...logits]);
  await session.close();
  await model.close();
  return rows;
}

const SOURCES: readonly (readonly [string, () => Promise<Checkpoint>])[] = [
  ['a float folder', () => openFolder(memoryFolder(safetensorsFolder(CONFIG, randomWeights(CONFIG))))],
  ['Q4_K with Q6_K', () => openGguf((name) => (/attn_v|down|output/.test(name) ? 'Q6_K' : 'Q4_K'))],
  ['gate and up of two types', () => openGguf((name) => (/up/.test(name) ? 'Q5_0' : 'Q8_0'))],
  ['GPTQ groups', async () => plainCheckpoint(CONFIG, 'GROUP4_128')],
  [
    'GPTQ in the order of activations',
    () =>
      openFolder(
        memoryFolder(groupFolder(CONFIG, { method: 'gptq', group: 32, order: (i, n) => (i * 7) % (n / 32) }).files),
      ),
  ],
  ['neighbouring RoPE pairs', () => openGguf('Q4_0', { ...SMALL_LLAMA, layers: 1 })],
];

for (const [what, open] of SOURCES) {
  check(`${what}: the converted file has the same weights and gives the same logits`, async (device) => {
    const folder = await writeFolder(`convert ${what}`, new Map());
    const path = join(folder, 'model.safetensors');
    const checkpoint = await open();
    await convertCheckpoint(checkpoint, path, 'native');
    assert.equal(readdirSync(folder), ['model.safetensors']);
    const converted = await openCheckpoint(path);
    assert.is(converted.format, 'firstlight');
    assert.equal(JSON.parse(JSON.stringify(converted.config)), JSON.parse(JSON.stringify(checkpoint.config)));
    for (const name of checkpoint.tensors.keys())
      assert.equal(await floats(converted, name), await floats(checkpoint, name), name);
    const some = await converted.readRows('model.embed_tokens.weight', 3, 5);
    const { cols } = converted.tensors.get('model.embed_tokens.weight')!;
    const all = await floats(checkpoint, 'model.embed_tokens.weight');
    assert.equal(new Float32Array(some.slice().buffer), all.slice(3 * cols, 8 * cols));
    assert.equal(await logitsOf(device, converted, {}), await logitsOf(device, checkpoint, {}), 'logits, bit for bit');
    if (!/two types|RoPE/.test(what)) return converted.close();
    const options = { weights: 'q8', arithmetic: 'f32' } as const;
    assert.equal(await logitsOf(device, converted, options), await logitsOf(device, checkpoint, options), 'as q8');
    await converted.close();
  });
}

check('--weights q4, then the reference agrees', async (device) => {
  const folder = await writeFolder('convert q4', new Map());
  const path = join(folder, 'q4.safetensors');
  const checkpoint = await openFolder(memoryFolder(safetensorsFolder(CONFIG, randomWeights(CONFIG))));
  await convertCheckpoint(checkpoint, path, 'q4');
  const converted = await openCheckpoint(path);
  assert.equal(await logitsOf(device, converted, {}), await logitsOf(device, checkpoint, { weights: 'q4' }));
  const references = [await createReference(converted), await createReference(checkpoint, { weights: 'q4' })];
  assert.equal(references[0]!.next(5), references[1]!.next(5));
  await converted.close();
});

check('the built-in model keeps its tokenizer, there and back', async (device) => {
  const folder = await writeFolder('convert builtin', new Map());
  const original = await openCheckpoint(builtinPath());
  const path = join(folder, 'storyteller.safetensors');
  await convertCheckpoint(original, path, 'native');
  const converted = await openCheckpoint(path);
  assert.equal(await converted.vocab(), await original.vocab());
  await writeHuggingFace(converted, join(folder, 'hf'), 'f32');
  const back = await openCheckpoint(join(folder, 'hf'));
  assert.equal(back.config, original.config);
  assert.equal(await back.vocab(), await original.vocab());
  for (const name of original.tensors.keys())
    assert.equal(await floats(back, name), await floats(original, name), name);
  assert.ok(device);
  for (const one of [original, converted, back]) await one.close();
});

test('a GGUF file becomes a folder with its rows in the other order, and the same function', async () => {
  const config: LlamaConfig = { ...SMALL_LLAMA, layers: 1 };
  const gguf = await openGguf('Q8_0', config);
  const folder = await writeFolder('convert gguf', new Map());
  await writeHuggingFace(gguf, join(folder, 'hf'), 'f32');
  const back = await openCheckpoint(join(folder, 'hf'));
  assert.is(back.config.ropePairs, 'half');
  const [a, b] = [await createReference(gguf), await createReference(back)];
  for (const id of [1, 42, 7]) {
    const wanted = a.next(id);
    const off = b.next(id).reduce((most, value, i) => Math.max(most, Math.abs(value - wanted[i]!)), 0);
    assert.ok(off < 1e-6, `off by ${off}`);
  }
  const twice = join(folder, 'hf16');
  await writeHuggingFace(back, twice, 'bf16');
  const rounded = await openCheckpoint(twice);
  assert.is(rounded.tensors.get('model.embed_tokens.weight')!.type, 'BF16');
  for (const one of [back, rounded]) await one.close();
});

test('inputs in an order of their own are in order again in a folder', async () => {
  const options = { method: 'gptq', group: 32, order: (i: number, n: number) => (i * 7) % (n / 32) } as const;
  const { files, values } = groupFolder(CONFIG, options);
  const folder = await writeFolder('convert order', new Map());
  await writeHuggingFace(await openFolder(memoryFolder(files)), join(folder, 'hf'), 'f32');
  const back = await openCheckpoint(join(folder, 'hf'));
  for (const name of back.tensors.keys()) assert.equal(await floats(back, name), values.get(name), name);
  await back.close();
});

test('config.json says the new type, under whichever name it said the old one', async () => {
  const files = safetensorsFolder(SMALL_LLAMA, randomWeights(SMALL_LLAMA));
  const config = JSON.parse(Buffer.from(files.get('config.json')!).toString());
  const source = memoryFolder(files.set('config.json', Buffer.from(JSON.stringify({ ...config, dtype: 'bfloat16' }))));
  const folder = await writeFolder('convert dtype', new Map());
  await writeHuggingFace(await openFolder(source), join(folder, 'hf'), 'f32');
  const { dtype, torch_dtype } = JSON.parse(readFileSync(join(folder, 'hf/config.json'), 'utf8'));
  assert.equal([dtype, torch_dtype], [undefined, 'float32']);
});

test('a folder takes the place of another, and of what a crash has left', async () => {
  const folder = await writeFolder('convert replaces', new Map());
  for (const name of ['hf', 'hf.part', 'hf.part.old'])
    await writeFolder(`convert replaces/${name}`, new Map([['x', 'old']]));
  await writeHuggingFace(await openGguf('Q8_0'), join(folder, 'hf'), 'f16');
  assert.equal(readdirSync(folder), ['hf']);
  assert.equal(readdirSync(join(folder, 'hf')).sort(), ['config.json', 'model.safetensors']);
});

test('what is neither file nor folder is not replaced', async () => {
  const folder = await writeFolder('convert pipe', new Map());
  const path = join(folder, 'pipe');
  assert.is(spawnSync('mkfifo', [path]).status, 0);
  const checkpoint = await openGguf('Q8_0');
  for (const write of [
    () => convertCheckpoint(checkpoint, path, 'native'),
    () => writeHuggingFace(checkpoint, path, 'f16'),
  ])
    await expectError(write, 'bad-argument', /is a device or the like/);
  assert.equal(readdirSync(folder), ['pipe']);
});

test('what fails or is stopped leaves nothing, and what was there stays', async () => {
  const folder = await writeFolder('convert stops', new Map([['out', 'old']]));
  const path = join(folder, 'out');
  writeFileSync(`${path}.part`, 'left by a crash');
  const checkpoint = await openGguf('Q8_0');
  let reads = 0;
  const broken: Checkpoint = {
    ...checkpoint,
    async readRows(...call) {
      if (++reads === 6) throw new FirstlightError('bad-file', 'cut off');
      return checkpoint.readRows(...call);
    },
  };
  await expectError(() => convertCheckpoint(broken, path, 'native'), 'bad-file', /cut off/);
  assert.equal(readdirSync(folder), ['out']);
  assert.is(readFileSync(path, 'utf8'), 'old');
  const stopped = AbortSignal.abort(new Error('enough'));
  await convertCheckpoint(checkpoint, path, 'native', { signal: stopped }).then(
    () => assert.unreachable('went on'),
    (error) => assert.match(error.message, 'enough'),
  );
  await writeHuggingFace(checkpoint, join(folder, 'hf'), 'f16', { signal: stopped }).catch(() => undefined);
  assert.equal(readdirSync(folder), ['out']);
});

test('what is larger than the disk is refused before anything is written', async () => {
  const folder = await writeFolder('convert huge', new Map());
  const checkpoint = await openGguf('F32');
  const huge = { name: 'model.huge', type: 'F32', rows: 1, cols: 2 ** 48 } as const;
  const tensors = new Map(checkpoint.tensors).set(huge.name, huge);
  const convert = () => convertCheckpoint({ ...checkpoint, tensors }, join(folder, 'out'), 'native');
  await expectError(convert, 'disk-full', /\/out takes \d+ MiB where the disk has \d+ MiB left/);
  assert.equal(readdirSync(folder), []);
});

test('what a conversion left that was killed is named', async () => {
  const folder = await writeFolder('convert killed', new Map([['model.firstlight.part', 'half']]));
  await expectError(() => openModel(join(folder, 'model.firstlight')), 'bad-argument', /is not whole: .*run it again/);
});

/** The command with a limit on the size of files, as a full disk that says so at once. */
function convertWithLimit(out: string, kilobytes: string, ...flags: readonly string[]) {
  const command = ['node', '--import', 'tsx', 'bin/firstlight.ts', 'convert', 'builtin', out, ...flags];
  const { status, stderr } = spawnSync('bash', ['-c', `ulimit -f ${kilobytes}; exec "$@"`, '-', ...command], {
    encoding: 'utf8',
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
  });
  return { status, stderr };
}

test('a disk that is too small ends the command, and it leaves nothing', async () => {
  const folder = await writeFolder('convert full', new Map());
  const out = join(folder, 'out.safetensors');
  const { status, stderr } = convertWithLimit(out, '4096');
  assert.is(status, 1, stderr);
  assert.match(stderr, /out\.safetensors does not fit the disk: nothing of it was kept/);
  assert.equal(readdirSync(folder), []);
  assert.is(convertWithLimit(out, 'unlimited').status, 0);
  assert.equal(readdirSync(folder), ['out.safetensors']);
  const again = convertWithLimit(out, 'unlimited');
  assert.is(again.status, 2);
  assert.match(again.stderr, /is there already: --force/);
  const slash = convertWithLimit(`${out}/`, 'unlimited');
  assert.is(slash.status, 2);
  assert.match(slash.stderr, /is a folder: give the name of a file/);
  assert.is(convertWithLimit(join(folder, 'hf/'), 'unlimited', '--to', 'hf').status, 0);
  const other = convertWithLimit(folder, 'unlimited', '--to', 'hf', '--force');
  assert.is(other.status, 2);
  assert.match(other.stderr, /something else than a model in it: --force does not replace that/);
});

test('a damaged converted file is an error', async () => {
  const folder = await writeFolder('convert damaged', new Map());
  const path = join(folder, 'model.safetensors');
  await convertCheckpoint(await openGguf('Q4_K'), path, 'native');
  const bytes = readFileSync(path);
  const text = bytes.toString('latin1');
  const change = (from: string, to: string) => {
    assert.is(from.length, to.length);
    assert.ok(text.includes(from), from);
    writeFileSync(path, Buffer.from(text.replace(from, to), 'latin1'));
    return () => openCheckpoint(path);
  };
  const quoted = (json: string) => json.replaceAll('"', '\\"');
  for (const [from, to, message] of [
    [quoted('"side":0'), quoted('"side":7'), /no place for/],
    [quoted('"format":"q4k"'), quoted('"format":"q5k"'), /another size|no rows/],
    [quoted('"format":"q4k"'), quoted('"format":"abc"'), /no place|no rows/],
    [quoted('"activation":"silu"'), quoted('"activation":"sinu"'), /no config that makes sense/],
    [quoted('"heads":8'), quoted('"heads":7'), /heads|kvHeads/],
    [quoted('"vocab":101'), quoted('"vocab":100'), /lacks model\.embed_tokens\.weight \[100, 256\]/],
    ['"model.norm.weight"', '"model.morn.weight"', /lacks model\.norm\.weight/],
    [quoted('"firstRow":0'), quoted('"firstRow":9'), /no rows|another size|no place/],
    [quoted('"head":0'), quoted('"head":7'), /no place for/],
  ] as const)
    await expectError(change(from, to), 'bad-file', message);
  writeFileSync(path, bytes);
  truncateSync(path, bytes.length - 100);
  await expectError(() => openCheckpoint(path), 'bad-file', /end at/);
});

test.run();
