/**
 * GPTQ and AWQ in 4 bits: matrices with their inputs outermost, eight codes to a word, an f16 scale and a zero point for each
 * group of inputs. https://github.com/AutoGPTQ/AutoGPTQ, https://github.com/casper-hansen/AutoAWQ
 */
import { bf16ToF32 } from '../quant/bf16.ts';
import { asUint32 } from '../quant/bytes.ts';
import { FirstlightError } from '../quant/errors.ts';
import { f16ToF32, f32ToF16 } from '../quant/f16.ts';
import type { FileType } from '../quant/file-types.ts';
import { madeTensor, type StoredTensor } from './container.ts';
import { isJsonObject, type JsonObject } from './json.ts';

export interface GroupQuantisation {
  readonly method: 'gptq' | 'awq';
  /** Inputs that share a scale; -1: all. */
  readonly group: number;
  /** The zero points in the file are one less than they are. */
  readonly zerosLessOne: boolean;
}

const PER_WORD = 8;
/** AWQ: the output that nibble i of a word belongs to. */
const AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7];
const GPTQ_ORDER = [0, 1, 2, 3, 4, 5, 6, 7];
/** Groups that the device has a layout for; others are laid out as several of these. */
const GROUPS = [128, 64, 32] as const;
/** Files hold the words of an output apart: matrices up to this are read at once, larger ones in pieces. */
const WHOLE_BYTES = 64 * 2 ** 20;

/**
 * What config.json says of quantised weights; undefined when it says nothing.
 *
 * @throws `unsupported-model` for all but GPTQ and AWQ in 4 bits, by name
 */
export function readQuantisation(json: JsonObject, file: string): GroupQuantisation | undefined {
  const { quantization_config: given, quantization: mlx } = json;
  const named = isJsonObject(given) && given.quant_method !== undefined;
  // newer files repeat it as quantization_config, without a method
  if (isJsonObject(mlx) && mlx.bits !== undefined && !named) throw refused(file, 'by MLX');
  if (given == null) return undefined;
  if (!isJsonObject(given)) throw refused(file, 'in an unknown way');
  const { quant_method: method, bits, group_size: group = -1, checkpoint_format: format, version, dynamic } = given;
  if (method !== 'gptq' && method !== 'awq') {
    throw refused(file, `by ${JSON.stringify(method) ?? 'an unnamed method'}`);
  }
  if (bits !== 4) throw refused(file, `by ${method} in ${JSON.stringify(bits) ?? 'an unknown number of'} bits`);
  if (typeof group !== 'number' || !Number.isInteger(group) || (group !== -1 && (group < 32 || group % 32 !== 0))) {
    throw refused(file, `by ${method} in groups of ${JSON.stringify(group)}`);
  }
  if (method === 'awq' && version !== undefined && !/^gemm$/i.test(String(version))) {
    throw refused(file, `by awq in the order ${JSON.stringify(version)}`);
  }
  if (format !== undefined && format !== 'gptq' && format !== 'gptq_v2' && method === 'gptq') {
    throw refused(file, `by gptq in the format ${JSON.stringify(format)}`);
  }
  if (isJsonObject(dynamic) && Object.keys(dynamic).length > 0) throw refused(file, `by ${method} with dynamic rules`);
  return { method, group, zerosLessOne: method === 'gptq' && format !== 'gptq_v2' };
}

/**
 * Joins the parts of each quantised matrix, NAME.qweight, NAME.scales, NAME.qzeros and NAME.g_idx, to NAME.weight.
 *
 * @throws `bad-file` for parts that do not fit each other, `unsupported-model` for groups that are not run
 */
export async function joinGroups(
  stored: ReadonlyMap<string, StoredTensor>,
  quantisation: GroupQuantisation,
  file: string,
): Promise<ReadonlyMap<string, StoredTensor>> {
  const joined = new Map<string, StoredTensor>();
  for (const [name, tensor] of stored) {
    const [, base, part] = /^(.*)\.(qweight|qzeros|scales|g_idx|bias)$/.exec(name) ?? [];
    const codes = base === undefined ? undefined : stored.get(`${base}.qweight`);
    if (!codes) joined.set(name, tensor);
    else if (part === 'qweight') joined.set(`${base}.weight`, await joinMatrix(base!, stored, quantisation, file));
    else if (part === 'bias' && !(await isZero(tensor))) joined.set(name, tensor); // older files have one everywhere
  }
  return joined;
}

async function joinMatrix(
  base: string,
  stored: ReadonlyMap<string, StoredTensor>,
  { method, group: told, zerosLessOne }: GroupQuantisation,
  file: string,
): Promise<StoredTensor> {
  const part = (kind: string) => {
    const tensor = stored.get(`${base}.${kind}`);
    if (!tensor) throw damaged(file, `has ${base}.qweight without ${base}.${kind}`);
    return tensor;
  };
  const [codes, zeros, scales] = [part('qweight'), part('qzeros'), part('scales')];
  const isAwq = method === 'awq';
  const [first = 0, second = 0] = codes.shape;
  const cols = isAwq ? first : first * PER_WORD;
  const rows = isAwq ? second * PER_WORD : second;
  const group = told === -1 ? cols : told;
  const groups = Math.ceil(cols / group);
  const expected: [StoredTensor, string, readonly number[]][] = [
    [codes, 'I32', isAwq ? [cols, rows / PER_WORD] : [cols / PER_WORD, rows]],
    [zeros, 'I32', [groups, rows / PER_WORD]],
    [scales, scales.type, [groups, rows]],
  ];
  for (const [tensor, type, shape] of expected) {
    if (tensor.type !== type || tensor.shape.length !== 2 || shape.some((size, i) => size !== tensor.shape[i])) {
      throw damaged(
        file,
        `has ${base} in parts that do not fit: ${tensor.type} [${tensor.shape.join(', ')}] where ${type} [${shape.join(', ')}] is expected`,
      );
    }
  }
  if (!['F16', 'BF16', 'F32'].includes(scales.type)) {
    throw new FirstlightError('unsupported-model', `${file}: ${base}.scales of type ${scales.type} are not read`);
  }
  const device = GROUPS.find((size) => cols % size === 0 && group % size === 0);
  if (!device) {
    throw new FirstlightError(
      'unsupported-model',
      `${file}: ${base} has ${cols} inputs in groups of ${group}: that is not run, only multiples of 32`,
    );
  }
  const order = await readOrder(base, stored.get(`${base}.g_idx`), cols, group, file);

  const readCodes = isAwq ? awqReader(codes, rows, cols) : gptqReader(codes, rows, cols);
  const deviceGroups = cols / device;
  const rowBytes = cols / 2 + 4 * deviceGroups;
  const type: FileType = `GROUP4_${device}`;
  const matrix = madeTensor(type, [rows, cols], async (firstRow, rowCount, into) => {
    const out = into?.subarray(0, rowCount * rowBytes) ?? new Uint8Array(rowCount * rowBytes);
    const view = new DataView(out.buffer, out.byteOffset, out.byteLength);
    const inFile = await readCodes(firstRow, rowCount);
    const words = order ? orderedCodes(inFile, cols, order) : inFile;
    const plane = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
    for (let row = 0; row < rowCount; row++)
      out.set(plane.subarray((row * cols) / 2, ((row + 1) * cols) / 2), row * rowBytes);
    const halves = await readScales(scales, rows, groups, firstRow, rowCount, `${file}: ${base}.scales`);
    const zeroCodes = await readZeros(zeros, rows, groups, firstRow, rowCount, isAwq ? AWQ_ORDER : GPTQ_ORDER);
    for (let row = 0; row < rowCount; row++) {
      const at = row * rowBytes + cols / 2;
      for (let i = 0; i < deviceGroups; i++) {
        const from = Math.floor((i * device) / group) * rowCount + row;
        // a stored 15 is -1, which counts as 0 with one added
        const zero = zerosLessOne ? (zeroCodes[from]! + 1) & 15 : zeroCodes[from]!;
        view.setUint16(at + 2 * i, halves[from]!, true);
        view.setUint16(at + 2 * (deviceGroups + i), SMALL[zero]!, true);
      }
    }
    return out;
  });
  return { ...matrix, order };
}

/** f16 of 0 to 15. */
const SMALL = Array.from({ length: 16 }, (_, value) => f32ToF16(value));

/**
 * The order of inputs that puts each group together, or undefined where they are so already: with desc_act, GPTQ takes inputs
 * by the size of their activations.
 */
async function readOrder(
  base: string,
  groupOf: StoredTensor | undefined,
  cols: number,
  group: number,
  file: string,
): Promise<Uint32Array | undefined> {
  if (!groupOf) return undefined;
  const { type, shape } = groupOf;
  if (type !== 'I32' || shape.length !== 1 || shape[0] !== cols) {
    throw damaged(file, `has ${base}.g_idx ${type} [${shape.join(', ')}] where I32 [${cols}] is expected`);
  }
  const groups = asUint32(await groupOf.readBytes(0, 4 * cols));
  if (groups.every((index, i) => index === Math.floor(i / group))) return undefined;
  const order = Uint32Array.from({ length: cols }, (_, i) => i).sort((a, b) => groups[a]! - groups[b]! || a - b);
  if (order.some((input, i) => groups[input] !== Math.floor(i / group))) {
    throw damaged(file, `has ${base}.g_idx that does not put ${group} inputs into each group`);
  }
  return order;
}

/** The codes of inputs in another order, [row][col / 8]. */
function orderedCodes(words: Uint32Array, cols: number, order: Uint32Array): Uint32Array {
  const perRow = cols / PER_WORD;
  const out = new Uint32Array(words.length);
  for (let row = 0; row < words.length; row += perRow) {
    for (let i = 0; i < cols; i++) {
      const input = order[i]!;
      const code = (words[row + (input >> 3)]! >>> (4 * (input & 7))) & 15;
      out[row + (i >> 3)]! |= code << (4 * (i & 7));
    }
  }
  return out;
}

type CodeReader = (firstRow: number, rowCount: number) => Promise<Uint32Array>; // [row][col / 8]

/** Words of eight inputs, [col / 8][row]. */
function gptqReader(tensor: StoredTensor, rows: number, cols: number): CodeReader {
  const lines = cols / PER_WORD;
  const read = lineReader(tensor, rows, lines);
  return async (firstRow, rowCount) => {
    const out = new Uint32Array(rowCount * lines);
    for (let line = 0; line < lines; line++) {
      const words = await read(line, firstRow, rowCount);
      for (let row = 0; row < rowCount; row++) out[row * lines + line] = words[row]!;
    }
    return out;
  };
}

/** Words of eight outputs in AWQ's order, [col][row / 8]. */
function awqReader(tensor: StoredTensor, rows: number, cols: number): CodeReader {
  const read = lineReader(tensor, rows / PER_WORD, cols);
  const square = new Uint32Array(PER_WORD);
  return async (firstRow, rowCount) => {
    const firstWord = Math.floor(firstRow / PER_WORD);
    const words = Math.ceil((firstRow + rowCount) / PER_WORD) - firstWord;
    const out = new Uint32Array((rowCount * cols) / PER_WORD);
    for (let line = 0; line < cols; line += PER_WORD) {
      const eight: Uint32Array[] = [];
      for (let i = 0; i < PER_WORD; i++) eight.push(await read(line + i, firstWord, words));
      for (let word = 0; word < words; word++) {
        for (let i = 0; i < PER_WORD; i++) square[i] = eight[i]![word]!;
        transposeNibbles(square);
        for (let i = 0; i < PER_WORD; i++) {
          const row = (firstWord + word) * PER_WORD + AWQ_ORDER[i]! - firstRow;
          if (row >= 0 && row < rowCount) out[(row * cols + line) / PER_WORD] = square[i]!;
        }
      }
    }
    return out;
  };
}

/** Reads pieces of [lines][width] words; the whole of a matrix of usual size, until its last row has been read. */
function lineReader(tensor: StoredTensor, width: number, lines: number) {
  const total = lines * width * 4;
  let whole: Promise<Uint32Array> | undefined;
  return async (line: number, first: number, count: number): Promise<Uint32Array> => {
    if (total > WHOLE_BYTES) return asUint32(await tensor.readBytes((line * width + first) * 4, count * 4));
    whole ??= tensor.readBytes(0, total).then(asUint32);
    const all = await whole;
    if (line === lines - 1 && first + count === width) whole = undefined;
    return all.subarray(line * width + first, line * width + first + count);
  };
}

/** Eight words of eight nibbles: nibble j of word i changes places with nibble i of word j. */
function transposeNibbles(words: Uint32Array): void {
  for (const [distance, mask] of [
    [4, 0x0000ffff],
    [2, 0x00ff00ff],
    [1, 0x0f0f0f0f],
  ] as const) {
    const shift = 4 * distance;
    for (let i = 0; i < PER_WORD; i++) {
      if (i & distance) continue;
      const change = ((words[i]! >>> shift) ^ words[i + distance]!) & mask;
      words[i + distance] = words[i + distance]! ^ change;
      words[i] = words[i]! ^ (change << shift);
    }
  }
}

/** f16 bits, [group][row of the range]. Other floats only where f16 holds them exactly. */
async function readScales(
  tensor: StoredTensor,
  rows: number,
  groups: number,
  firstRow: number,
  rowCount: number,
  what: string,
): Promise<Uint16Array> {
  const size = tensor.type === 'F32' ? 4 : 2;
  const out = new Uint16Array(groups * rowCount);
  for (let group = 0; group < groups; group++) {
    const bytes = await tensor.readBytes((group * rows + firstRow) * size, rowCount * size);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let row = 0; row < rowCount; row++) {
      if (tensor.type === 'F16') {
        out[group * rowCount + row] = view.getUint16(2 * row, true);
        continue;
      }
      const value = size === 4 ? view.getFloat32(4 * row, true) : bf16ToF32(view.getUint16(2 * row, true));
      const half = f32ToF16(value);
      if (f16ToF32(half) !== value) {
        throw new FirstlightError('unsupported-model', `${what}: ${value} is no f16: such scales are not run`);
      }
      out[group * rowCount + row] = half;
    }
  }
  return out;
}

/** As stored, [group][row of the range]. */
async function readZeros(
  tensor: StoredTensor,
  rows: number,
  groups: number,
  firstRow: number,
  rowCount: number,
  order: readonly number[],
): Promise<Uint8Array> {
  const place = order.map((_, output) => order.indexOf(output)); // nibble of an output
  const firstWord = Math.floor(firstRow / PER_WORD);
  const words = Math.ceil((firstRow + rowCount) / PER_WORD) - firstWord;
  const out = new Uint8Array(groups * rowCount);
  for (let group = 0; group < groups; group++) {
    const line = asUint32(await tensor.readBytes((group * (rows / PER_WORD) + firstWord) * 4, words * 4));
    for (let row = 0; row < rowCount; row++) {
      const output = firstRow + row;
      const word = line[Math.floor(output / PER_WORD) - firstWord]!;
      out[group * rowCount + row] = (word >>> (4 * place[output % PER_WORD]!)) & 15;
    }
  }
  return out;
}

async function isZero(tensor: StoredTensor): Promise<boolean> {
  const bytes = await tensor.readRows(0, 1);
  return bytes.every((byte) => (byte & 0x7f) === 0);
}

function refused(file: string, how: string): FirstlightError {
  const advice = 'firstlight runs GPTQ and AWQ in 4 bits; get the model so, in F16 or BF16, or as GGUF';
  return new FirstlightError('unsupported-model', `${file}: weights quantised ${how} are not read: ${advice}`);
}

function damaged(file: string, what: string): FirstlightError {
  return new FirstlightError('bad-file', `${file} ${what}: get the model again`);
}
