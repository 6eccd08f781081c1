/** MLC exports: every weight exactly as its codes and scales say, and what is refused. */
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openFolder } from '../../loaders/checkpoint.ts';
import type { LlamaConfig } from '../../loaders/types.ts';
import { decodeRows } from '../../quant/file-types.ts';
import { memoryFolder, randomWeights, SMALL_LLAMA } from '../random-model.ts';
import { type MlcQuantisation, mlcExport } from '../write-mlc.ts';
import { expectError } from './expect-error.ts';
import { hasSharedData, reportSkipped, sharedPath } from './shared-data.ts';

const test = suite('mlc');
const shared = hasSharedData ? test : test.skip;

const QWEN: LlamaConfig = {
  ...SMALL_LLAMA,
  ...{ architecture: 'qwen2', attentionBias: true, tiedEmbeddings: true, heads: 6, headDim: 32, ropeDim: 32 },
};
const MISTRAL: LlamaConfig = { ...SMALL_LLAMA, architecture: 'mistral', slidingWindow: 8 };

for (const quantisation of ['q0f16', 'q0f32', 'q4f16_0', 'q4f16_1', 'q4f32_1'] as const satisfies MlcQuantisation[]) {
  for (const config of [SMALL_LLAMA, QWEN, MISTRAL]) {
    test(`${quantisation}, ${config.architecture}: weights and configuration`, async () => {
      for (const narrow of quantisation.includes('f32') ? [false, true] : [false]) {
        const { files, values } = mlcExport(config, randomWeights(config), quantisation, narrow);
        const checkpoint = await openFolder(memoryFolder(files));
        assert.equal(checkpoint.config, config);
        assert.is(checkpoint.format, `MLC ${quantisation}`);
        assert.is(checkpoint.tensors.size, values.size);
        for (const { name, type, rows, cols } of checkpoint.tensors.values()) {
          const exact = values.get(name)!;
          const found = decodeRows(type, await checkpoint.readRows(name, 0, rows), rows, cols);
          assert.equal(found, exact, name);
          if (rows < 3) continue;
          const some = decodeRows(type, await checkpoint.readRows(name, 1, rows - 2), rows - 2, cols);
          assert.equal(some, exact.slice(cols, (rows - 1) * cols), `${name}, some rows`);
        }
        await checkpoint.close();
      }
    });
  }
}

test('refuses what it cannot read, by name', async () => {
  const { files } = mlcExport(SMALL_LLAMA, randomWeights(SMALL_LLAMA), 'q4f16_1');
  const text = (name: string) => Buffer.from(files.get(name)!).toString();
  const changed = (name: string, from: string | RegExp, to: string) =>
    new Map(files).set(name, Buffer.from(text(name).replace(from, to)));
  const open = (all: Map<string, Uint8Array>) => () => openFolder(memoryFolder(all));
  const chat = 'mlc-chat-config.json';
  const index = 'tensor-cache.json';
  for (const [all, code, message] of [
    [changed(chat, 'q4f16_1', 'q3f16_1'), 'unsupported-model', /quantisation "q3f16_1" is not run, only q0f16/],
    [changed(chat, '"llama"', '"gpt_neox"'), 'unsupported-model', /model_type "gpt_neox"/],
    [changed(chat, 'shards":1', 'shards":2'), 'unsupported-model', /cut for several GPUs/],
    [changed(index, /model\.embed_tokens\.q_weight/, 'param_0'), 'unsupported-model', /param_0 and so on.*compiled/],
    [
      new Map([
        [chat, Buffer.from('{"model_lib": "Llama-2-7b-chat-hf-q4f16_1", "conv_template": "llama-2"}')],
        ['ndarray-cache.json', Buffer.from(text(index).replace('model.embed_tokens.q_weight', 'param_0'))],
      ]),
      'unsupported-model',
      /param_0 and so on.*get an export of 2024/,
    ],
    [changed(chat, /"quantization": ?"q4f16_1",?/, ''), 'unsupported-model', /quantisation undefined is not run/],
    [changed(index, 'params_shard_1', '../params_shard_1'), 'bad-file', /names "\.\.\/params_shard_1.*not beside/],
    [changed(index, 'q_scale', 'q_scales'), 'bad-file', /without its q_scale/],
    [changed(index, '"uint32"', '"uint8"'), 'bad-file', /with scales/],
    [changed(index, '"records"', '"recordings"'), 'bad-file', /no list of records/],
    [new Map([...files].filter(([name]) => name !== index)), 'bad-file', /neither tensor-cache\.json nor/],
    [
      new Map(files).set('params_shard_1.bin', files.get('params_shard_1.bin')!.subarray(0, 1000)),
      'bad-file',
      /has 1000 bytes where its tensor/,
    ],
  ] as const) {
    await expectError(open(all), code, message);
  }
});

test('a code that MLC never writes is a damaged file', async () => {
  const { files } = mlcExport(SMALL_LLAMA, randomWeights(SMALL_LLAMA), 'q4f16_1');
  files.get('params_shard_0.bin')!.fill(0xff, 8, 12);
  const checkpoint = await openFolder(memoryFolder(files));
  await expectError(
    () => checkpoint.readRows('model.embed_tokens.weight', 0, 4),
    'bad-file',
    /code 15 in model\.embed_tokens\.q_weight/,
  );
});

shared("real indices are read up to the shards' bytes", async () => {
  for (const [folder, index, architecture] of [
    ['Llama-3-8B-Instruct-q4f16_1', 'ndarray-cache.json', 'llama'],
    ['webllm-med-chatbot-qwen2-0.5b-q4f16_1', 'tensor-cache.json', 'qwen2'],
  ] as const) {
    const files = new Map<string, Uint8Array>();
    for (const name of [index, 'mlc-chat-config.json'])
      files.set(name, readFileSync(sharedPath(`mlc/${folder}/${name}`)));
    const json = JSON.parse(Buffer.from(files.get(index)!).toString());
    const lengths = new Map<string, number>();
    for (const { dataPath, nbytes } of json.records) {
      lengths.set(dataPath.replace(/\?.*/, ''), nbytes);
      files.set(dataPath.replace(/\?.*/, ''), new Uint8Array());
    }
    const disk = memoryFolder(files);
    const checkpoint = await openFolder({
      ...disk,
      async open(name) {
        const source = await disk.open(name);
        return { ...source, size: lengths.get(name) ?? source.size };
      },
    });
    assert.is(checkpoint.config.architecture, architecture);
    const types = new Set([...checkpoint.tensors.values()].map(({ type }) => type));
    assert.equal([...types].sort(), ['F16', 'MLC4']);
    await checkpoint.close();
  }
});
if (!hasSharedData) reportSkipped('mlc.test.ts', 1);

test.run();
