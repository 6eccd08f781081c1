/** What loading leaves in the weight buffers, against packing on the CPU; and what it leaves behind when it fails. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../devices/types.ts';
import { loadModel } from '../../engine/model.ts';
import type { Matrix, Weights } from '../../engine/weights.ts';
import { openGgufSource } from '../../loaders/checkpoint.ts';
import { memorySource } from '../../loaders/source.ts';
import type { Checkpoint, LlamaConfig } from '../../loaders/types.ts';
import { FILE_TYPES, type FileType, rowBytes } from '../../quant/file-types.ts';
import { type Format, roundUp } from '../../quant/layout.ts';
import { packRows, unpackRows } from '../../quant/pack.ts';
import { halfSplitRow } from '../../quant/row-order.ts';
import { deviceTests } from '../device.ts';
import { ggufFile, plainCheckpoint, randomWeights, SMALL_LLAMA } from '../random-model.ts';

const test = suite('upload');
const check = await deviceTests(test);

/** Heads of 48 rows straddle blocks of 32; 7 kv heads and 200 feed-forward rows leave padding everywhere. */
const ODD: LlamaConfig = {
  ...SMALL_LLAMA,
  architecture: 'qwen2', // its GGUF files keep half-split RoPE pairs
  attentionBias: true,
  hidden: 96,
  feedForward: 224,
  heads: 14,
  kvHeads: 7,
  headDim: 48,
  ropeDim: 48,
  vocab: 101,
};

/** The same for rows of whole super-blocks. */
const SUPER: LlamaConfig = { ...ODD, layers: 1, hidden: 256, feedForward: 512, heads: 16, kvHeads: 8 };

function openRandom(config: LlamaConfig, type: FileType): Promise<Checkpoint> {
  return openGgufSource(memorySource('random.gguf', ggufFile(config, randomWeights(config), type)));
}

/** The rows of a matrix as its sections and reordering say, [rows][cols], padding left out, with their places on the device. */
async function expectedRows(
  checkpoint: Checkpoint,
  matrix: Matrix,
  format: Format,
): Promise<Map<number, Float32Array>> {
  const rows = new Map<number, Float32Array>();
  for (const [side, { tensor, firstRow, interleaveHead, ropeDim }] of matrix.sections.entries()) {
    const bytes = await checkpoint.readRows(tensor.name, 0, tensor.rows);
    const size = rowBytes(tensor.type, tensor.cols);
    for (let row = 0; row < tensor.rows; row++) {
      const head = interleaveHead > 0 ? row - (row % interleaveHead) : row;
      const from = interleaveHead > 0 ? head + halfSplitRow(row - head, ropeDim) : row;
      const packed = packRows(tensor.type, bytes.subarray(from * size, (from + 1) * size), 1, tensor.cols, format);
      const place = matrix.alternate ? Math.floor(row / 32) * 64 + side * 32 + (row % 32) : firstRow + row;
      rows.set(place, unpackRows(packed));
    }
  }
  return rows;
}

async function deviceRows(
  device: Device,
  weights: Weights,
  matrix: Matrix,
  buffer: (name: string) => GPUBuffer | undefined,
) {
  const rows: Float32Array[] = [];
  for (const part of matrix.parts) {
    const read = async (name: string) => {
      const found = buffer(name);
      if (!found) return new Uint32Array();
      const bytes = await device.read(found, 0, found.size);
      return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
    };
    const codes = await read(`${part.name}.codes`);
    const scales = await read(`${part.name}.scales`);
    const values = unpackRows({ format: part.format, rows: part.rows, cols: matrix.cols, codes, scales });
    for (let row = 0; row < part.rows; row++) rows.push(values.subarray(row * matrix.cols, (row + 1) * matrix.cols));
  }
  assert.ok(weights.matrices.has(matrix.name));
  return rows;
}

for (const [type, option] of [
  ['Q4_0', 'native'],
  ['Q8_0', 'native'],
  ['F16', 'native'],
  ['F32', 'q4'],
  ['Q8_0', 'q4'],
  ['Q4_1', 'native'],
  ['Q5_0', 'native'],
  ['Q5_1', 'native'],
  ['IQ4_NL', 'native'],
  ['Q2_K', 'native'],
  ['Q3_K', 'native'],
  ['Q4_K', 'native'],
  ['Q5_K', 'native'],
  ['Q6_K', 'native'],
  ['IQ4_XS', 'native'],
  ['Q4_K', 'q8'],
  ['MLC4', 'native'],
  ['MLC4_WIDE', 'native'],
  ['GROUP4_32', 'native'],
  ['GROUP4_64', 'native'],
  ['GROUP4_128', 'native'],
] as const) {
  check(`${type} as ${option}: every row is where the kernels look for it`, async (device) => {
    // lavapipe takes seconds for a kernel
    if (!/^(F32|F16|Q8_0|Q4_0|Q6_K)$/.test(type) && device.traits.name.startsWith('llvmpipe')) return;
    const config = FILE_TYPES[type].blockLength > 32 ? SUPER : ODD;
    const checkpoint = FILE_TYPES[type].planes ? plainCheckpoint(config, type) : await openRandom(config, type);
    const model = await loadModel(device, checkpoint, { weights: option });
    for (const matrix of model.weights.matrices.values()) {
      const format = matrix.parts[0]?.format as Format;
      const wanted = await expectedRows(checkpoint, matrix, format);
      const got = await deviceRows(device, model.weights, matrix, model.buffer);
      for (const [row, values] of got.entries()) {
        const expected = wanted.get(row) ?? new Float32Array(matrix.cols);
        assert.equal(Array.from(values, Math.abs), Array.from(expected, Math.abs), `${matrix.name}, row ${row}`);
        assert.ok(
          values.every((value, i) => value === expected[i]),
          `${matrix.name}, row ${row}: signs`,
        );
      }
      assert.is(
        got.length,
        matrix.parts.reduce((sum, part) => sum + part.rows, 0),
      );
      assert.ok(got.length >= roundUp(wanted.size, 32));
    }
    await model.close();
  });
}

for (const [what, options, code] of [
  ['an abort', { signal: AbortSignal.abort(new Error('enough')) }, 'enough'],
  ['a progress callback that throws', { onProgress: () => assert.unreachable('stop here') }, 'stop here'],
] as const) {
  check(`${what} ends a load and gives all memory back`, async (device) => {
    const before = device.memory();
    const checkpoint = await openRandom(ODD, 'Q4_0');
    try {
      await loadModel(device, checkpoint, options);
      assert.unreachable('the load went on');
    } catch (error) {
      assert.match((error as Error).message, code);
    }
    assert.equal(device.memory(), before);
  });
}

check('a file that cannot be read in the middle ends a load and gives all memory back', async (device) => {
  const before = device.memory();
  const checkpoint = await openRandom(ODD, 'Q4_0');
  let reads = 0;
  const broken: Checkpoint = {
    ...checkpoint,
    async readRows(...call) {
      if (++reads === 5) throw new Error('the disk is gone');
      return checkpoint.readRows(...call);
    },
  };
  try {
    await loadModel(device, broken);
    assert.unreachable('the load went on');
  } catch (error) {
    assert.match((error as Error).message, 'the disk is gone');
  }
  assert.equal(device.memory(), before);
});

test.run();
