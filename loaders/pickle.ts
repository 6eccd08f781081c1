/**
 * The few words of Python's pickle in which PyTorch writes down a table of tensors: https://docs.python.org/3/library/pickletools.html
 *
 * This is a security boundary. A pickle is a program: loading it in Python calls whatever functions it names, so that a
 * checkpoint from a stranger may run commands. Here nothing is ever called. The machine below knows the opcodes that a table
 * of tensors takes, and of functions only three names, which stand for plain data; everything else ends the reading with an
 * error that says what the file asked for. Do not add a name whose meaning is more than data.
 */
import { FirstlightError } from '../quant/errors.ts';
import { isSizes } from './container.ts';

/** A tensor as it stands in the table: a view of a storage. */
export interface PickledTensor {
  readonly kind: 'tensor';
  /** `FloatStorage`, `HalfStorage`, ... */
  readonly storageType: string;
  /** Name of the entry with the bytes. */
  readonly key: string;
  /** In elements. */
  readonly storageOffset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

interface PickledGlobal {
  readonly kind: 'global';
  readonly name: string;
}

interface PickledStorage {
  readonly kind: 'storage';
  readonly type: string;
  readonly key: string;
}

export type PickleValue =
  | null
  | boolean
  | number
  | string
  | readonly PickleValue[]
  | Map<PickleValue, PickleValue>
  | PickledTensor
  | PickledGlobal
  | PickledStorage;

/** A bottom for the items that the next opcode collects. */
const MARK = Symbol('mark');
type StackItem = PickleValue | typeof MARK;

const ORDERED_DICT = 'collections OrderedDict';
const REBUILD_TENSOR = 'torch._utils _rebuild_tensor_v2';
const REBUILD_PARAMETER = 'torch._utils _rebuild_parameter';
const STORAGE = /^torch (\w+Storage)$/;

/**
 * What a pickle of protocol 2 says, as plain data.
 *
 * @param file for messages
 * @throws `bad-file` for opcodes and names that a table of tensors does not need, and for anything damaged
 */
export function readPickle(bytes: Uint8Array, file: string): PickleValue {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const stack: StackItem[] = [];
  const memo = new Map<number, PickleValue>();
  let at = 0;

  const fail = (what: string) => new FirstlightError('bad-file', `${file} ${what}: get safetensors or another copy`);
  const take = (count: number) => {
    if (at + count > bytes.length) throw fail('ends within its pickle');
    at += count;
    return at - count;
  };
  const text = (count: number) => {
    const start = take(count);
    return Buffer.from(bytes.buffer, bytes.byteOffset + start, count).toString('utf8');
  };
  const line = () => {
    const end = bytes.indexOf(10, at);
    if (end < 0 || end - at > 200) throw fail('has a name in its pickle that does not end');
    const found = text(end - at);
    at = end + 1;
    return found;
  };
  const pop = (): PickleValue => {
    const item = stack.pop();
    if (item === undefined || item === MARK) throw fail('has a pickle that takes more than it put');
    return item;
  };
  const popToMark = (): PickleValue[] => {
    const mark = stack.lastIndexOf(MARK);
    if (mark < 0) throw fail('has a pickle without a mark');
    const items = stack.splice(mark).slice(1) as PickleValue[];
    return items;
  };
  const put = (key: number) => {
    const item = stack.at(-1);
    if (item === undefined || item === MARK) throw fail('has a pickle that remembers nothing');
    memo.set(key, item);
  };
  const get = (key: number) => {
    if (!memo.has(key)) throw fail('has a pickle that asks for what it did not remember');
    stack.push(memo.get(key)!);
  };
  const setItems = (items: readonly PickleValue[]) => {
    const target = stack.at(-1);
    if (!(target instanceof Map) || items.length % 2 !== 0) throw fail('has a pickle with items of nothing');
    for (let i = 0; i < items.length; i += 2) target.set(items[i]!, items[i + 1]!);
  };
  const append = (items: readonly PickleValue[]) => {
    const target = stack.at(-1);
    if (!isList(target)) throw fail('has a pickle with items of nothing');
    for (const item of items) (target as PickleValue[]).push(item);
  };

  for (;;) {
    const opcode = view.getUint8(take(1));
    switch (opcode) {
      case 0x80: // PROTO
        if (view.getUint8(take(1)) !== 2) throw fail('is a pickle of another protocol than 2');
        break;
      case 0x2e: {
        // STOP
        const result = pop();
        return result;
      }
      case 0x28: // MARK
        stack.push(MARK);
        break;
      case 0x30: // POP
        pop();
        break;
      case 0x4e: // NONE
        stack.push(null);
        break;
      case 0x88: // NEWTRUE
      case 0x89: // NEWFALSE
        stack.push(opcode === 0x88);
        break;
      case 0x4a: // BININT
        stack.push(view.getInt32(take(4), true));
        break;
      case 0x4b: // BININT1
        stack.push(view.getUint8(take(1)));
        break;
      case 0x4d: // BININT2
        stack.push(view.getUint16(take(2), true));
        break;
      case 0x8a: // LONG1
        stack.push(longOf(take, view, fail));
        break;
      case 0x47: // BINFLOAT
        stack.push(view.getFloat64(take(8), false));
        break;
      case 0x58: // BINUNICODE
        stack.push(text(view.getUint32(take(4), true)));
        break;
      case 0x7d: // EMPTY_DICT
        stack.push(new Map());
        break;
      case 0x5d: // EMPTY_LIST
        stack.push([]);
        break;
      case 0x29: // EMPTY_TUPLE
        stack.push([]);
        break;
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: {
        // TUPLE3
        const items = Array.from({ length: opcode - 0x84 }, pop);
        stack.push(items.reverse());
        break;
      }
      case 0x74: // TUPLE
        stack.push(popToMark());
        break;
      case 0x61: // APPEND
        append([pop()]);
        break;
      case 0x65: // APPENDS
        append(popToMark());
        break;
      case 0x73: {
        // SETITEM
        const value = pop();
        setItems([pop(), value]);
        break;
      }
      case 0x75: // SETITEMS
        setItems(popToMark());
        break;
      case 0x71: // BINPUT
        put(view.getUint8(take(1)));
        break;
      case 0x72: // LONG_BINPUT
        put(view.getUint32(take(4), true));
        break;
      case 0x68: // BINGET
        get(view.getUint8(take(1)));
        break;
      case 0x6a: // LONG_BINGET
        get(view.getUint32(take(4), true));
        break;
      case 0x63: {
        // GLOBAL
        const name = `${line()} ${line()}`;
        if (![ORDERED_DICT, REBUILD_TENSOR, REBUILD_PARAMETER].includes(name) && !STORAGE.test(name)) {
          throw fail(
            `asks for ${JSON.stringify(name.replace(' ', '.'))}, which no table of tensors needs; nothing was run`,
          );
        }
        stack.push({ kind: 'global', name });
        break;
      }
      case 0x51: // BINPERSID
        stack.push(storageOf(pop(), fail));
        break;
      case 0x52: {
        // REDUCE
        const args = pop();
        stack.push(rebuilt(pop(), args, fail));
        break;
      }
      case 0x62: // BUILD: the versions of modules, beside a state dict
        pop();
        if (!(stack.at(-1) instanceof Map)) throw fail('has a pickle that changes what is no dict');
        break;
      default:
        throw fail(`has the opcode ${opcode} in its pickle, which no table of tensors needs`);
    }
  }
}

type Fail = (what: string) => FirstlightError;

function longOf(take: (count: number) => number, view: DataView, fail: Fail): number {
  const count = view.getUint8(take(1));
  if (count > 8) throw fail('has a number in its pickle that is too large');
  const start = take(count);
  let value = 0n;
  for (let i = 0; i < count; i++) value |= BigInt(view.getUint8(start + i)) << BigInt(8 * i);
  const number = Number(BigInt.asIntN(8 * count, value));
  if (!Number.isSafeInteger(number)) throw fail('has a number in its pickle that is too large');
  return number;
}

function isList(value: StackItem | undefined): value is readonly PickleValue[] {
  return Array.isArray(value);
}

/** ('storage', type, key, device, elements) */
function storageOf(id: PickleValue, fail: Fail): PickledStorage {
  const [word, type, key] = isList(id) ? id : [];
  const name = isKind(type, 'global') ? STORAGE.exec(type.name)?.[1] : undefined;
  if (word !== 'storage' || name === undefined || typeof key !== 'string') throw fail('names data in an unknown way');
  return { kind: 'storage', type: name, key };
}

function rebuilt(callee: PickleValue, args: PickleValue, fail: Fail): PickleValue {
  if (!isKind(callee, 'global') || !isList(args)) throw fail('has a pickle that calls what is no function');
  if (callee.name === ORDERED_DICT) {
    if (args.length > 0) throw fail('makes a dict from something');
    return new Map();
  }
  if (callee.name === REBUILD_PARAMETER) {
    if (!isKind(args[0], 'tensor')) throw fail('has a parameter that is no tensor');
    return args[0];
  }
  const [storage, storageOffset, shape, strides] = args;
  if (callee.name !== REBUILD_TENSOR || !isKind(storage, 'storage') || !isSizes([storageOffset])) {
    throw fail('makes a tensor in an unknown way');
  }
  if (!isSizes(shape) || !isSizes(strides) || shape.length !== strides.length || shape.length > 8) {
    throw fail('has a tensor whose shape is no list of sizes');
  }
  const { type: storageType, key } = storage;
  return { kind: 'tensor', storageType, key, storageOffset: storageOffset as number, shape, strides };
}

/** Whether a value is one of the things that are no plain data of Python's. */
export function isKind<K extends 'tensor' | 'global' | 'storage'>(
  value: unknown,
  kind: K,
): value is Extract<PickleValue, { kind: K }> {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === kind;
}
