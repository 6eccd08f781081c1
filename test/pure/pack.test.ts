import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { randomBlocks } from '../../engine/random-blocks.ts';
import { readGgufHeader } from '../../loaders/gguf.ts';
import { memorySource } from '../../loaders/source.ts';
import { f16ToF32 } from '../../quant/f16.ts';
import { decodeRows, FILE_TYPES, type FileType, rowBytes } from '../../quant/file-types.ts';
import { BLOCK, blocksOf, type Format, packedBytes, roundUp, rowWords } from '../../quant/layout.ts';
import { nativeFormat, packRows, unpackRows } from '../../quant/pack.ts';
import { randomInteger, randomValues, seededRandom } from '../random.ts';
import { encodeRows } from '../random-model.ts';
import { hasSharedData, reportSkipped, sharedPath } from './shared-data.ts';

const test = suite('pack');
const shared = hasSharedData ? test : test.skip;

const TYPES = Object.keys(FILE_TYPES) as FileType[];
/** What anything can be brought into. */
const FORMATS = ['f32', 'f16', 'bf16', 'q8', 'q4'] as const satisfies readonly Format[];

const readShared = (name: string) => new Uint8Array(readFileSync(sharedPath(name)));
/** So that 0 and -0 differ. */
const bits = (values: Float32Array) => new Uint32Array(values.buffer, values.byteOffset, values.length);
const bytesOf = (values: Float32Array) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

/** The weight at [row][col], read straight from the words as layout.ts describes them. */
function weightAt(
  format: (typeof FORMATS)[number],
  codes: Uint32Array,
  scales: Uint32Array,
  cols: number,
  row: number,
  col: number,
): number {
  const blocks = blocksOf(cols);
  const block = Math.floor(col / BLOCK);
  const i = col % BLOCK;
  const first = (row * blocks + block) * { f32: 32, f16: 16, bf16: 16, q8: 8, q4: 4 }[format];
  const view = new DataView(codes.buffer);
  if (format === 'f32') return view.getFloat32(4 * (first + i), true);
  if (format === 'f16' || format === 'bf16') {
    const half = (codes[first + (i >> 1)]! >>> (16 * (i % 2))) & 0xffff;
    return format === 'f16' ? f16ToF32(half) : new Float32Array(new Uint32Array([half << 16]).buffer)[0]!;
  }
  const pair = scales[(Math.floor(row / 4) * blocks + block) * 2 + Math.floor((row % 4) / 2)]!;
  const scale = f16ToF32((pair >>> (16 * (row % 2))) & 0xffff);
  if (format === 'q8') return scale * view.getInt8(4 * first + i);
  const byte = view.getUint8(4 * first + (i % 16));
  return scale * ((i < 16 ? byte & 15 : byte >> 4) - 8);
}

function sizes(type: FileType, random: () => number): { rows: number; cols: number } {
  const { blockLength } = FILE_TYPES[type];
  const cols =
    blockLength === 1 ? randomInteger(1, 200, random) : blockLength * randomInteger(1, 192 / blockLength + 1, random);
  return { rows: randomInteger(1, 70, random), cols };
}

for (const type of TYPES) {
  const native = nativeFormat(type);
  test(`${type} to ${native}: nothing is lost, padding is zero`, () => {
    const random = seededRandom(type.length + native.charCodeAt(1));
    for (let round = 0; round < 8; round++) {
      const { rows, cols } = sizes(type, random);
      const bytes = FILE_TYPES[type].take
        ? randomBlocks(type, rows, cols, 0.05, random)
        : encodeRows(type, randomValues(rows * cols, 0.05, random));
      const exact = decodeRows(type, bytes, rows, cols);
      const packed = packRows(type, bytes, rows, cols, native);
      const words = rowWords(native, cols);
      const padded = roundUp(rows, 32);
      assert.is(packed.codes.length, padded * words.codes);
      assert.is(packed.scales.length, (padded / 4) * words.scales);
      assert.equal(bits(unpackRows(packed)), bits(exact));
      const whole = unpackRows({ ...packed, rows: padded, cols: blocksOf(cols) * BLOCK });
      const outside = whole.filter(
        (_, i) => Math.floor(i / (blocksOf(cols) * BLOCK)) >= rows || i % (blocksOf(cols) * BLOCK) >= cols,
      );
      assert.ok(outside.every((value) => value === 0));
      assert.is(
        packed.codes.subarray(rows * words.codes).findIndex((word) => word !== 0),
        -1,
      );
    }
  });

  for (const format of FORMATS) {
    test(`${type} to ${format}: layout, padding and values at random sizes`, () => {
      const random = seededRandom(type.length * 100 + format.charCodeAt(1));
      for (let round = 0; round < 8; round++) {
        const { rows, cols } = sizes(type, random);
        const bytes = FILE_TYPES[type].take
          ? randomBlocks(type, rows, cols, 0.05, random)
          : encodeRows(type, randomValues(rows * cols, 0.05, random));
        const exact = decodeRows(type, bytes, rows, cols);
        // Put at an odd address, as a slice of a file may be.
        const unaligned = new Uint8Array(bytes.length + 1).subarray(1);
        unaligned.set(bytes);
        const packed = packRows(type, unaligned, rows, cols, format);
        const size = packedBytes(format, rows, cols);
        assert.is(packed.codes.byteLength, size.codes);
        assert.is(packed.scales.byteLength, size.scales);

        const values = unpackRows(packed);
        const paddedCols = blocksOf(cols) * BLOCK;
        for (let row = 0; row < roundUp(rows, 32); row++) {
          for (let col = 0; col < paddedCols; col++) {
            const weight = weightAt(format, packed.codes, packed.scales, cols, row, col);
            const inside = row < rows && col < cols;
            if ((inside ? values[row * cols + col] : 0) !== weight && !(weight === 0 && !inside)) {
              assert.unreachable(`[${row}][${col}] of ${rows} x ${cols} is ${weight}`);
            }
          }
        }
        if (format === nativeFormat(type) || format === 'f32') assert.equal(values, exact, 'lossless');
        else checkError(format, exact, values, rows, cols);
      }
    });
  }
}

/** No weight may be off by more than rounding allows. */
function checkError(
  format: (typeof FORMATS)[number],
  exact: Float32Array,
  values: Float32Array,
  rows: number,
  cols: number,
): void {
  for (let row = 0; row < rows; row++) {
    for (let start = 0; start < cols; start += BLOCK) {
      const end = Math.min(start + BLOCK, cols);
      const largest = Math.max(...exact.subarray(row * cols + start, row * cols + end).map(Math.abs));
      for (let i = row * cols + start; i < row * cols + end; i++) {
        const error = Math.abs(values[i]! - exact[i]!);
        if (error > errorBound(format, Math.abs(exact[i]!), largest)) {
          assert.unreachable(`${format}: ${exact[i]} became ${values[i]} in a block up to ${largest}`);
        }
      }
    }
  }
}

function errorBound(format: Format, weight: number, largest: number): number {
  const scaleRounding = 2 ** -11;
  if (format === 'f16') return weight * 2 ** -11 + 2 ** -25;
  if (format === 'bf16') return weight * 2 ** -8;
  // Half a step, and the scale's own rounding; q4's code 16 does not exist, which costs one step more at that end.
  if (format === 'q8') return largest * (0.5001 / 127 + scaleRounding) + 2 ** -24 * 127;
  return largest * (1.0001 / 8 + scaleRounding) + 2 ** -24 * 8;
}

test('q4 loses at most half a step away from the missing sixteenth code', () => {
  const values = randomValues(32 * 1000, 0.05, seededRandom(5));
  const back = unpackRows(packRows('F32', bytesOf(values), 1000, 32, 'q4'));
  for (let row = 0; row < 1000; row++) {
    const block = values.subarray(row * 32, row * 32 + 32);
    const largest = block.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a));
    for (let i = 0; i < 32; i++) {
      // The largest weight is code 0, at -8 steps; +8 would be the missing code.
      if (block[i]! / -largest > 7.5 / 8) continue;
      const error = Math.abs(back[row * 32 + i]! - block[i]!);
      assert.ok(error <= Math.abs(largest) * (0.5001 / 8 + 2 ** -11), `${block[i]} in a block of ${largest}`);
    }
  }
});

test('q8 rounds half away from zero, q4 half up', () => {
  // Scale exactly 1: the largest magnitude is 127, respectively -8.
  const halves = Float32Array.from({ length: 32 }, (_, i) => (i === 0 ? -127 : i - 16.5));
  const rounded = halves.map((value) => Math.sign(value) * Math.round(Math.abs(value)));
  assert.equal(unpackRows(packRows('F32', bytesOf(halves), 1, 32, 'q8')), rounded);
  const eighths = Float32Array.from({ length: 32 }, (_, i) => (i === 0 ? -8 : (i % 15) - 7.5));
  const up = eighths.map((value) => Math.floor(value + 0.5));
  assert.equal(unpackRows(packRows('F32', bytesOf(eighths), 1, 32, 'q4')), up);
});

test('blocks of zeros stay zero, tiny and large weights stay finite', () => {
  for (const format of ['q8', 'q4'] as const) {
    const zeros = unpackRows(packRows('F32', new Uint8Array(4 * 64), 2, 32, format));
    assert.ok(zeros.every((value) => value === 0));
    const { codes } = packRows('F32', new Uint8Array(4 * 64), 2, 32, format);
    const own = codes.subarray(0, 2 * rowWords(format, 32).codes);
    assert.ok(own.every((word) => word === (format === 'q8' ? 0 : 0x88888888)));
    for (const magnitude of [1e-45, 1e-30, 6e-8, 60000]) {
      const values = randomValues(64, 0.3, seededRandom(3)).map(
        (value) => Math.max(-1, Math.min(1, value)) * magnitude,
      );
      const back = unpackRows(packRows('F32', bytesOf(values), 2, 32, format));
      assert.ok(back.every((value) => Math.abs(value) <= 1.01 * magnitude + 1e-6));
    }
  }
});

test('padding holds the codes of zero', () => {
  const ones = new Float32Array(33 * 33).fill(1);
  const { codes, scales } = packRows('F32', bytesOf(ones), 33, 33, 'q4');
  assert.ok(
    codes.subarray(33 * 2 * 4).every((word) => word === 0),
    'rows, whose scale is zero',
  );
  assert.equal(
    [...codes.subarray(4, 8)],
    [0x88888880, 0x88888888, 0x88888888, 0x88888888],
    'columns: only weight 32 is there',
  );
  assert.ok(
    scales.subarray(9 * 2 * 2).every((word) => word === 0),
    'scales of whole row quads',
  );
});

test('rows packed in parts are the whole', () => {
  const bytes = encodeRows('Q4_0', randomValues(96 * 64, 1, seededRandom(8)));
  const whole = packRows('Q4_0', bytes, 96, 64, 'q4');
  const perRow = rowBytes('Q4_0', 64);
  const parts = [
    packRows('Q4_0', bytes.subarray(0, 32 * perRow), 32, 64, 'q4'),
    packRows('Q4_0', bytes.subarray(32 * perRow), 64, 64, 'q4'),
  ];
  assert.equal(
    parts.flatMap(({ codes }) => [...codes]),
    [...whole.codes],
  );
  assert.equal(
    parts.flatMap(({ scales }) => [...scales]),
    [...whole.scales],
  );
});

test('sizes that do not fit are a bug', () => {
  assert.throws(() => packRows('F32', new Uint8Array(4), 1, 2, 'f32'), /bug/);
  assert.throws(() => rowBytes('Q4_0', 33), /bug/);
  assert.throws(() => decodeRows('Q8_0', new Uint8Array(33), 1, 32), /bug/);
});

shared('llama.cpp blocks decode and pack to their exact values', () => {
  for (const type of TYPES) {
    if (type === 'F32' || FILE_TYPES[type].planes) continue;
    const name = type.toLowerCase().replace('_k', '_K');
    const bytes = readShared(`quant-vectors/${name}.bin`);
    const exact = decodeRows('F32', readShared(`quant-vectors/${name}.f32`), 16, 512);
    assert.equal(bits(decodeRows(type, bytes, 16, 512)), bits(exact), `${type} decoded`);
    assert.equal(bits(unpackRows(packRows(type, bytes, 16, 512, nativeFormat(type)))), bits(exact), `${type} packed`);
  }
});

shared('q8, f16 and bf16 are quantised as llama.cpp does, bit for bit', () => {
  const input = readShared('quant-vectors/input_16x512.f32');
  for (const [type, name] of [
    ['Q8_0', 'q8_0'],
    ['F16', 'f16'],
    ['BF16', 'bf16'],
  ] as const) {
    const format = nativeFormat(type);
    const ours = packRows('F32', input, 16, 512, format);
    assert.equal(ours, packRows(type, readShared(`quant-vectors/${name}.bin`), 16, 512, format), type);
  }
});

// The blocks of quant-vectors/q4_0.bin were made with an importance matrix, which gives other scales; this model was not.
shared('q4 is quantised as llama.cpp does, bit for bit', async () => {
  const folder = 'models/aidreams260K/gguf/aidreams260K';
  const [from, to] = [readShared(`${folder}-F32.gguf`), readShared(`${folder}-Q4_0.gguf`)];
  const fromHeader = await readGgufHeader(memorySource('F32', from));
  const toHeader = await readGgufHeader(memorySource('Q4_0', to));
  let compared = 0;
  for (const tensor of toHeader.tensors.filter(({ type }) => type === 'Q4_0')) {
    const source = fromHeader.tensors.find(({ name }) => name === tensor.name)!;
    const [rows, cols] = tensor.shape as [number, number];
    const values = padMatrix(
      asFloats(from.slice(source.offset, source.offset + source.bytes)),
      source.shape,
      rows,
      cols,
    );
    const theirs = packRows('Q4_0', to.subarray(tensor.offset, tensor.offset + tensor.bytes), rows, cols, 'q4');
    assert.equal(packRows('F32', bytesOf(values), rows, cols, 'q4'), theirs, tensor.name);
    compared += theirs.codes.length;
  }
  assert.ok(compared > 30000, `${compared} words compared`);
});
if (!hasSharedData) reportSkipped('pack.test.ts', 3);

function asFloats(bytes: Uint8Array): Float32Array {
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
}

/** That file's feed-forward size was padded with zeros to whole blocks. */
function padMatrix(
  values: Float32Array,
  [fromRows, fromCols]: readonly number[],
  rows: number,
  cols: number,
): Float32Array {
  const padded = new Float32Array(rows * cols);
  for (let row = 0; row < fromRows!; row++) {
    padded.set(values.subarray(row * fromCols!, (row + 1) * fromCols!), row * cols);
  }
  return padded;
}

test.run();
