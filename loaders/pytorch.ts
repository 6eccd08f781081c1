/**
 * PyTorch checkpoints of torch.save since 1.6: a zip archive with a pickle, data.pkl, that says which tensor is which, and the
 * bytes of each storage as an entry of its own.
 */
import { FirstlightError } from '../quant/errors.ts';
import { plainTensor, type StoredTensor } from './container.ts';
import { isKind, type PickledTensor, type PickleValue, readPickle } from './pickle.ts';
import type { Source } from './types.ts';
import { dataOffset, readEntryBytes, readZipDirectory, type ZipEntry } from './zip-directory.ts';

/** The pickles of the largest models have 200 KB. */
const MAX_PICKLE_BYTES = 16 * 2 ** 20;

/** Storages by the names of their elements' types elsewhere, and bytes of an element. */
const STORAGES: Readonly<Record<string, readonly [type: string, bytes: number]>> = {
  FloatStorage: ['F32', 4],
  HalfStorage: ['F16', 2],
  BFloat16Storage: ['BF16', 2],
  DoubleStorage: ['F64', 8],
  LongStorage: ['I64', 8],
  IntStorage: ['I32', 4],
  ShortStorage: ['I16', 2],
  CharStorage: ['I8', 1],
  ByteStorage: ['U8', 1],
  BoolStorage: ['BOOL', 1],
};

/**
 * The tensors of a checkpoint by their names.
 *
 * @throws `bad-file` for damaged archives, pickles that ask for more than tensors, and tensors that do not lie in one piece
 */
export async function openPyTorch(source: Source): Promise<ReadonlyMap<string, StoredTensor>> {
  const entries = await readZipDirectory(source);
  const pickle = [...entries.keys()].find((name) => /(^|\/)data\.pkl$/.test(name));
  if (pickle === undefined) throw damaged(source.name, 'is a zip archive without data.pkl');
  const prefix = pickle.slice(0, -'data.pkl'.length);
  const order = entries.get(`${prefix}byteorder`);
  if (
    order &&
    Buffer.from(await readEntryBytes(source, order, 100))
      .toString()
      .trim() !== 'little'
  ) {
    throw damaged(source.name, 'has its numbers in the byte order of another machine');
  }
  const table = readPickle(await readEntryBytes(source, entries.get(pickle)!, MAX_PICKLE_BYTES), source.name);
  const tensors = new Map<string, StoredTensor>();
  const offsets = new Map<string, number>();
  for (const [name, tensor] of stateDict(table)) {
    if (typeof name !== 'string' || !isKind(tensor, 'tensor')) continue; // counters and the like
    const entry = entries.get(`${prefix}data/${tensor.key}`);
    if (!entry) throw damaged(source.name, `names the data ${JSON.stringify(tensor.key)}, which it does not have`);
    const offset = offsets.get(tensor.key) ?? (await dataOffset(source, entry));
    offsets.set(tensor.key, offset);
    tensors.set(name, placed(source, name, tensor, entry, offset));
  }
  if (tensors.size === 0) throw damaged(source.name, 'has no tensors');
  return tensors;
}

/** The table itself, or the one in a training checkpoint. */
function stateDict(table: PickleValue): ReadonlyMap<PickleValue, PickleValue> {
  if (!(table instanceof Map)) return new Map();
  const inner = table.get('state_dict') ?? table.get('model');
  return inner instanceof Map ? inner : table;
}

function placed(source: Source, name: string, tensor: PickledTensor, entry: ZipEntry, offset: number): StoredTensor {
  const { storageType, shape, strides, storageOffset } = tensor;
  const [type, bytes] = Object.hasOwn(STORAGES, storageType) ? STORAGES[storageType]! : [storageType, 1];
  let expected = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== expected) {
      throw damaged(source.name, `has ${name} with its rows apart (strides ${strides.join(', ')})`);
    }
    expected *= shape[i]!;
  }
  if (!entry.isStored) throw damaged(source.name, `has the data of ${name} packed, which torch.save does not do`);
  if ((storageOffset + expected) * bytes > entry.bytes) {
    throw damaged(
      source.name,
      `has ${entry.bytes} bytes of data where ${name} needs ${(storageOffset + expected) * bytes}`,
    );
  }
  return plainTensor(source, type, shape, offset + storageOffset * bytes);
}

/** `what` completes the sentence "FILE ...". */
function damaged(file: string, what: string): FirstlightError {
  return new FirstlightError('bad-file', `${file} ${what}: get the file again, or the model as safetensors`);
}
