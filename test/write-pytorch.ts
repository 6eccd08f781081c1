/** Checkpoints as torch.save writes them: a zip archive of a pickle and the bytes of every storage. */
import { zipSync } from 'fflate';
import type { TensorBytes } from './write-safetensors.ts';

const STORAGES: Readonly<Record<string, string>> = {
  F32: 'FloatStorage',
  F16: 'HalfStorage',
  BF16: 'BFloat16Storage',
  I64: 'LongStorage',
};

const u32 = (value: number) => Buffer.from(Uint32Array.of(value).buffer);

/** BINUNICODE */
export const pickledText = (text: string) =>
  Buffer.concat([Buffer.from('X'), u32(Buffer.byteLength(text)), Buffer.from(text)]);
/** BININT */
export const pickledNumber = (value: number) => Buffer.concat([Buffer.from('J'), u32(value)]);
/** GLOBAL */
export const pickledGlobal = (module: string, name: string) => Buffer.from(`c${module}\n${name}\n`);

const tuple = (items: readonly Buffer[]) => Buffer.concat([Buffer.from('('), ...items, Buffer.from('t')]);

/** torch._utils._rebuild_tensor_v2(storage, offset, size, stride, requires_grad, OrderedDict()) */
export function pickledTensor(key: string, { type, shape, bytes }: TensorBytes, strides?: readonly number[]): Buffer {
  const usual = shape.map((_, i) => shape.slice(i + 1).reduce((product, size) => product * size, 1));
  const id = tuple([
    pickledText('storage'),
    pickledGlobal('torch', STORAGES[type] ?? type),
    pickledText(key),
    pickledText('cpu'),
    pickledNumber(bytes.length),
  ]);
  const empty = Buffer.concat([pickledGlobal('collections', 'OrderedDict'), Buffer.from(')R')]);
  const args = tuple([
    Buffer.concat([id, Buffer.from('Q')]),
    pickledNumber(0),
    tuple(shape.map(pickledNumber)),
    tuple((strides ?? usual).map(pickledNumber)),
    Buffer.from([0x89]),
    empty,
  ]);
  return Buffer.concat([pickledGlobal('torch._utils', '_rebuild_tensor_v2'), args, Buffer.from('R')]);
}

/** An OrderedDict of what is given, with the attribute that state dicts have. */
export function pickledTable(items: readonly (readonly [name: string, value: Buffer])[]): Buffer {
  return Buffer.concat([
    Buffer.from([0x80, 2]),
    pickledGlobal('collections', 'OrderedDict'),
    Buffer.from(')Rq\0('),
    ...items.flatMap(([name, value]) => [pickledText(name), Buffer.from('q\x01'), value]),
    Buffer.from('u}'),
    pickledText('_metadata'),
    pickledGlobal('collections', 'OrderedDict'),
    Buffer.from(')Rsb.'),
  ]);
}

/** The archive. Tensors that share their bytes share a storage. */
export function writePyTorch(
  tensors: readonly TensorBytes[],
  pickle?: Uint8Array,
  extra: Record<string, Uint8Array> = {},
): Uint8Array {
  const storages = [...new Set(tensors.map(({ bytes }) => bytes))];
  const table = pickledTable(
    tensors.map((tensor) => [tensor.name, pickledTensor(String(storages.indexOf(tensor.bytes)), tensor)]),
  );
  const entries: Record<string, Uint8Array> = { 'archive/data.pkl': pickle ?? table };
  entries['archive/byteorder'] = Buffer.from('little');
  for (const [i, bytes] of storages.entries()) entries[`archive/data/${i}`] = bytes;
  return zipSync({ ...entries, 'archive/version': Buffer.from('3\n'), ...extra }, { level: 0 });
}
