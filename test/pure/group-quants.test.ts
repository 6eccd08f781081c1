/** GPTQ and AWQ: every weight exactly as its code, scale and zero point say, and what is refused. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openFolder } from '../../loaders/checkpoint.ts';
import type { LlamaConfig } from '../../loaders/types.ts';
import { decodeRows } from '../../quant/file-types.ts';
import { memoryFolder, SMALL_LLAMA } from '../random-model.ts';
import { type GroupOptions, groupFolder } from '../write-groups.ts';
import { expectError } from './expect-error.ts';

const test = suite('group-quants');

const CONFIG: LlamaConfig = { ...SMALL_LLAMA, layers: 1, hidden: 128, feedForward: 256, headDim: 32, ropeDim: 32 };

/** Neighbouring inputs in different groups of 32. */
const scattered = (input: number, inputs: number) => (input * 7) % (inputs / 32);

const KINDS: readonly GroupOptions[] = [
  { method: 'gptq', group: 32 },
  { method: 'gptq', group: 64, format: 'gptq_v2' },
  { method: 'gptq', group: 128, biases: true },
  { method: 'gptq', group: -1 },
  { method: 'gptq', group: 128, scales: 'F32' },
  { method: 'awq', group: 32 },
  { method: 'awq', group: 64, scales: 'F32' },
  { method: 'awq', group: 128 },
];

for (const options of KINDS) {
  test(`${JSON.stringify(options)}`, async () => {
    const { files, values } = groupFolder(CONFIG, options);
    const checkpoint = await openFolder(memoryFolder(files));
    assert.is(checkpoint.format, `${options.method.toUpperCase()} safetensors`);
    const quantised = [...checkpoint.tensors.values()].filter(({ type }) => type.startsWith('GROUP4_'));
    assert.is(quantised.length, 7);
    if (options.group > 0) for (const { type } of quantised) assert.is(type, `GROUP4_${options.group}`);
    for (const { name, type, rows, cols } of checkpoint.tensors.values()) {
      const exact = values.get(name)!;
      assert.equal(decodeRows(type, await checkpoint.readRows(name, 0, rows), rows, cols), exact, name);
      if (rows < 8) continue;
      const some = await checkpoint.readRows(name, 3, rows - 6);
      assert.equal(
        decodeRows(type, some, rows - 6, cols),
        exact.slice(3 * cols, (rows - 3) * cols),
        `${name}, some rows`,
      );
    }
    await checkpoint.close();
  });
}

test('inputs in the order of activations: columns by groups, and the order beside them', async () => {
  const options: GroupOptions = { method: 'gptq', group: 32, order: scattered };
  const { files, values } = groupFolder(CONFIG, options);
  const checkpoint = await openFolder(memoryFolder(files));
  for (const { name, type, rows, cols, order } of checkpoint.tensors.values()) {
    if (!type.startsWith('GROUP4')) continue;
    assert.ok(order);
    const exact = values.get(name)!;
    const found = decodeRows(type, await checkpoint.readRows(name, 0, rows), rows, cols);
    assert.equal(
      found,
      found.map((_, i) => exact[i - (i % cols) + order[i % cols]!]!),
      name,
    );
  }
});

test('older GPTQ models have their settings in a file of their own', async () => {
  const { files } = groupFolder(CONFIG, { method: 'gptq', group: 64 });
  const json = JSON.parse(Buffer.from(files.get('config.json')!).toString());
  const { quantization_config: settings, ...plain } = json;
  files.set('config.json', Buffer.from(JSON.stringify(plain)));
  const { bits, group_size } = settings;
  files.set('quantize_config.json', Buffer.from(JSON.stringify({ bits, group_size, desc_act: false })));
  const checkpoint = await openFolder(memoryFolder(files));
  assert.is(checkpoint.tensors.get('model.layers.0.self_attn.q_proj.weight')!.type, 'GROUP4_64');
});

test('a stored zero point of 15 counts as 0 in the first format', async () => {
  const { files, values } = groupFolder(CONFIG, { method: 'gptq', group: 32 });
  const checkpoint = await openFolder(memoryFolder(files));
  const name = 'model.layers.0.self_attn.q_proj.weight';
  const found = decodeRows('GROUP4_32', await checkpoint.readRows(name, 0, 128), 128, 128);
  assert.ok(found.some((value) => value > 0) && found.every((value, i) => value === values.get(name)![i]));
});

test('refuses what it cannot run, by name', async () => {
  const { files } = groupFolder(CONFIG, { method: 'gptq', group: 64 });
  const config = Buffer.from(files.get('config.json')!).toString();
  const changed = (from: string | RegExp, to: string) => () =>
    openFolder(memoryFolder(new Map(files).set('config.json', Buffer.from(config.replace(from, to)))));
  for (const [open, message] of [
    [changed('"bits":4', '"bits":8'), /by gptq in 8 bits.*firstlight runs GPTQ and AWQ in 4 bits/],
    [changed('"gptq","bits"', '"bitsandbytes","bits"'), /"bitsandbytes"/],
    [changed('"gptq","bits"', '"fp8","bits"'), /"fp8"/],
    [changed('"gptq","bits"', '"compressed-tensors","bits"'), /"compressed-tensors"/],
    [changed('"quantization_config"', '"quantization"'), /by MLX/],
    [changed('"quant_method":"gptq",', '"group":1},"quantization":{"group_size":64,'), /by MLX/],
    [changed('"checkpoint_format":"gptq"', '"checkpoint_format":"marlin"'), /format "marlin"/],
    [changed('"group_size":64', '"group_size":40'), /groups of 40/],
    [changed('"gptq","bits"', '"awq","version":"gemv","bits"'), /by awq in the order "gemv"/],
  ] as const) {
    await expectError(open, 'unsupported-model', message);
  }
  const uneven = groupFolder(CONFIG, { method: 'gptq', group: 64, order: (input) => (input < 3 ? 0 : 1) });
  await expectError(() => openFolder(memoryFolder(uneven.files)), 'bad-file', /g_idx that does not put 64 inputs/);
  await expectError(changed('"group_size":64', '"group_size":32'), 'bad-file', /parts that do not fit/);
});

test.run();
