/** Which rows of which tensors lie where on the device: sections, parts, formats. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  countParameters,
  defaultWeights,
  describeWeights,
  outputMatrix,
  paddedRows,
  QUANTISE_ABOVE_PARAMETERS,
  vectorLength,
} from '../../engine/weights.ts';
import type { LlamaConfig, TensorInfo } from '../../loaders/types.ts';
import type { FileType } from '../../quant/file-types.ts';
import { packedBytes } from '../../quant/layout.ts';
import { blankCheckpoint, LLAMA_2_7B } from '../blank-model.ts';
import { SMALL_LLAMA } from '../random-model.ts';

const test = suite('weights');
const PLENTY = 2 ** 31;

/** A checkpoint in which the tensors that match have other types. */
function mixed(config: LlamaConfig, types: readonly (readonly [RegExp, FileType])[]) {
  const tensors = new Map<string, TensorInfo>();
  for (const [name, tensor] of blankCheckpoint(config, 'Q4_0').tensors) {
    const type = types.find(([pattern]) => pattern.test(name) && tensor.rows > 1)?.[1] ?? tensor.type;
    tensors.set(name, { ...tensor, type });
  }
  return { config, tensors };
}

const ODD: LlamaConfig = { ...SMALL_LLAMA, hidden: 60, heads: 3, kvHeads: 1, headDim: 20, ropeDim: 12, vocab: 70 };

test('q, k and v follow each other, each from a multiple of 32; only q and k are reordered', () => {
  const { matrices } = describeWeights(blankCheckpoint(ODD, 'Q4_0'), 'native', PLENTY);
  const qkv = matrices.get('layers.1.qkv')!;
  assert.equal(
    qkv.sections.map(({ tensor, firstRow, rows, interleaveHead, ropeDim }) => [
      tensor.name.split('.')[4],
      firstRow,
      rows,
      interleaveHead,
      ropeDim,
    ]),
    [
      ['q_proj', 0, 60, 20, 12],
      ['k_proj', 64, 20, 20, 12],
      ['v_proj', 96, 20, 0, 12],
    ],
  );
  assert.is(qkv.cols, 60);
  assert.equal(qkv.parts, [{ name: 'layers.1.qkv', format: 'q4', firstRow: 0, rows: 128 }]);
  assert.is(paddedRows(qkv), 128);
  const interleaved = describeWeights(blankCheckpoint({ ...ODD, ropePairs: 'interleaved' }, 'Q4_0'), 'native', PLENTY);
  for (const { interleaveHead } of interleaved.matrices.get('layers.1.qkv')!.sections) assert.is(interleaveHead, 0);
});

test('gate and up alternate', () => {
  const { matrices } = describeWeights(blankCheckpoint(ODD, 'Q4_0'), 'native', PLENTY);
  const { alternate, sections, parts } = matrices.get('layers.0.gateUp')!;
  assert.ok(alternate);
  assert.equal(
    sections.map(({ tensor }) => tensor.name.split('.')[4]),
    ['gate_proj', 'up_proj'],
  );
  assert.equal(parts, [{ name: 'layers.0.gateUp', format: 'q4', firstRow: 0, rows: 192 }]);
  for (const [name, matrix] of matrices) assert.is(matrix.alternate, name.endsWith('gateUp'));
});

test('rows of different formats are different parts; equal neighbours join', () => {
  const value = describeWeights(mixed(ODD, [[/v_proj/, 'Q8_0']]), 'native', PLENTY).matrices.get('layers.0.qkv')!;
  assert.equal(value.parts, [
    { name: 'layers.0.qkv/0', format: 'q4', firstRow: 0, rows: 96 },
    { name: 'layers.0.qkv/1', format: 'q8', firstRow: 96, rows: 32 },
  ]);
  const key = describeWeights(mixed(ODD, [[/k_proj/, 'F16']]), 'native', PLENTY).matrices.get('layers.0.qkv')!;
  assert.equal(
    key.parts.map(({ format, firstRow, rows }) => [format, firstRow, rows]),
    [
      ['q4', 0, 64],
      ['f16', 64, 32],
      ['q4', 96, 32],
    ],
  );
});

test('gate and up of different formats are parts of their own', () => {
  const { alternate, parts } = describeWeights(mixed(ODD, [[/up_proj/, 'Q8_0']]), 'native', PLENTY).matrices.get(
    'layers.0.gateUp',
  )!;
  assert.not(alternate);
  assert.equal(
    parts.map(({ format, firstRow, rows }) => [format, firstRow, rows]),
    [
      ['q4', 0, 96],
      ['q8', 96, 96],
    ],
  );
});

test('an option overrides the file for every matrix', () => {
  for (const format of ['q4', 'q8', 'f16', 'bf16', 'f32'] as const) {
    const { matrices } = describeWeights(mixed(ODD, [[/v_proj/, 'Q8_0']]), format, PLENTY);
    for (const { parts } of matrices.values()) for (const part of parts) assert.is(part.format, format);
  }
});

test('parts keep within a binding, lie behind each other and hold whole tiles', () => {
  const config = { ...LLAMA_2_7B, layers: 1 };
  for (const maxBindingBytes of [2 ** 20, 10_000_000, 2 ** 27]) {
    const { matrices } = describeWeights(blankCheckpoint(config, 'Q4_0'), 'native', maxBindingBytes);
    for (const { name, parts, alternate, cols, sections } of matrices.values()) {
      let row = 0;
      for (const part of parts) {
        assert.ok(packedBytes(part.format, part.rows, cols).codes <= maxBindingBytes, part.name);
        assert.is(part.firstRow, row, part.name);
        assert.is(part.rows % (alternate ? 64 : 32), 0, part.name);
        row += part.rows;
      }
      assert.is(
        row,
        sections.reduce((sum, { rows }) => sum + Math.ceil(rows / 32) * 32, 0),
        name,
      );
    }
    assert.is(matrices.get('output')!.parts.length > 1, maxBindingBytes < 32000 * 4096 * 0.5);
  }
});

test('vectors: gains, biases, gains of heads', () => {
  const names = (change: Partial<LlamaConfig>) => [
    ...describeWeights(blankCheckpoint({ ...ODD, layers: 1, ...change }, 'F32'), 'native', PLENTY).vectors.keys(),
  ];
  const plain = ['layers.0.attentionGain', 'layers.0.feedForwardGain', 'finalGain'];
  assert.equal(names({}), plain);
  assert.ok(names({ architecture: 'qwen2', attentionBias: true }).includes('layers.0.qkvBias'));
  assert.ok(names({ architecture: 'qwen3', qkNorm: 'head' }).includes('layers.0.headGain'));
  const biased = blankCheckpoint({ ...ODD, architecture: 'qwen2', attentionBias: true }, 'F32');
  const bias = describeWeights(biased, 'native', PLENTY).vectors.get('layers.0.qkvBias')!;
  assert.is(vectorLength(bias), 128, 'laid out as the rows of the matrix');
  assert.equal(
    bias.sections.map(({ firstRow, interleaveHead }) => [firstRow, interleaveHead]),
    [
      [0, 20],
      [64, 20],
      [96, 0],
    ],
  );
});

test('tied embeddings are the output matrix as well', () => {
  const tied = { ...ODD, tiedEmbeddings: true };
  const weights = describeWeights(blankCheckpoint(tied, 'Q4_0'), 'native', PLENTY);
  assert.is(outputMatrix(tied, weights), weights.matrices.get('embed'));
  assert.not(weights.matrices.has('output'));
  const own = describeWeights(blankCheckpoint(ODD, 'Q4_0'), 'native', PLENTY);
  assert.is(outputMatrix(ODD, own), own.matrices.get('output'));
});

test('large float checkpoints are quantised unless told otherwise', () => {
  const large = blankCheckpoint(LLAMA_2_7B, 'F16');
  assert.ok(countParameters(large) > QUANTISE_ABOVE_PARAMETERS);
  assert.is(countParameters(large), 6_738_415_616, 'as the paper counts Llama 2 7B');
  assert.is(defaultWeights(large), 'q4');
  assert.is(defaultWeights(blankCheckpoint(LLAMA_2_7B, 'Q8_0')), 'native');
  assert.is(defaultWeights(blankCheckpoint(ODD, 'F16')), 'native');
});

test.run();
