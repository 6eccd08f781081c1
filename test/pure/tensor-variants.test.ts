/** Tensors that are stored under other names, or several in one. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openCheckpoint, openFolder } from '../../loaders/checkpoint.ts';
import { madeTensor, type StoredTensor } from '../../loaders/container.ts';
import { languageTensors, separateTensors } from '../../loaders/tensor-variants.ts';
import type { LlamaConfig } from '../../loaders/types.ts';
import { fixturePath } from '../fixture-models.ts';
import { memoryFolder, randomWeights, SMALL_LLAMA, safetensorsFolder } from '../random-model.ts';
import { expectError } from './expect-error.ts';

const test = suite('tensor variants');

/** A tensor of one-byte rows, each its own number. */
function numbered(...shape: readonly number[]): StoredTensor {
  return madeTensor('U8', shape, async (first, count) => Uint8Array.from({ length: count }, (_, i) => first + i));
}

test('the text part of models that see pictures, as transformers 4 and 5 store it', () => {
  const names = (stored: readonly string[]) => [
    ...languageTensors(new Map(stored.map((name) => [name, numbered(1)]))).keys(),
  ];
  assert.equal(names(['language_model.model.layers.0.mlp.up_proj.weight', 'language_model.lm_head.weight']), [
    'model.layers.0.mlp.up_proj.weight',
    'lm_head.weight',
  ]);
  assert.equal(names(['model.language_model.norm.weight', 'lm_head.weight']), ['model.norm.weight', 'lm_head.weight']);
  const others = [
    'model.layers.0.mlp.up_proj.weight',
    'vision_tower.encoder.layers.0.mlp.fc1.weight',
    'rope_freqs.weight',
  ];
  assert.equal(names(others), others);
});

test('a model that sees pictures loses them, and nothing else', async () => {
  const checkpoint = await openCheckpoint(fixturePath('gemma3-vision'));
  assert.is(checkpoint.tensors.size, 2 + 2 * 13);
  assert.ok([...checkpoint.tensors.keys()].every((name) => name.startsWith('model.')));
  await checkpoint.close();
});

test('fused matrices come apart: q, k and v; gate and up, also under the name of up', async () => {
  const config: LlamaConfig = { ...SMALL_LLAMA, heads: 4, kvHeads: 2, headDim: 2, feedForward: 5 };
  const at = 'model.layers.7.';
  const stored = new Map([
    [`${at}self_attn.qkv_proj.weight`, numbered(16, 3)],
    [`${at}mlp.gate_up_proj.weight`, numbered(10, 3)],
    ['model.layers.8.mlp.up_proj.weight', numbered(10, 3)],
    ['model.layers.9.mlp.up_proj.weight', numbered(5, 3)],
  ]);
  const separate = separateTensors(stored, config);
  const rows = async (name: string) => {
    const tensor = separate.get(`model.layers.${name}.weight`)!;
    return [tensor.shape, [...(await tensor.readRows(1, 2))]];
  };
  assert.equal(await rows('7.self_attn.q_proj'), [
    [8, 3],
    [1, 2],
  ]);
  assert.equal(await rows('7.self_attn.k_proj'), [
    [4, 3],
    [9, 10],
  ]);
  assert.equal(await rows('7.self_attn.v_proj'), [
    [4, 3],
    [13, 14],
  ]);
  assert.equal(await rows('7.mlp.gate_proj'), [
    [5, 3],
    [1, 2],
  ]);
  assert.equal(await rows('7.mlp.up_proj'), [
    [5, 3],
    [6, 7],
  ]);
  assert.equal(await rows('8.mlp.up_proj'), [
    [5, 3],
    [6, 7],
  ]);
  assert.equal(await rows('9.mlp.up_proj'), [
    [5, 3],
    [1, 2],
  ]);
  assert.is(separate.size, 8);
});

test('a fused matrix of another size is named as it should have been', async () => {
  const weights = new Map(randomWeights(SMALL_LLAMA));
  for (const letter of ['q', 'k', 'v']) weights.delete(`model.layers.1.self_attn.${letter}_proj.weight`);
  weights.set('model.layers.1.self_attn.qkv_proj.weight', { shape: [90, 64], values: new Float32Array(90 * 64) });
  await expectError(
    () => openFolder(memoryFolder(safetensorsFolder(SMALL_LLAMA, weights))),
    'bad-file',
    /layers\.1\.self_attn\.q_proj\.weight \[64, 64\] is missing/,
  );
});

test.run();
