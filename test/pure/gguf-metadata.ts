/** Reads the metadata of a GGUF v3 file, for tests of the tokenizers in them. */
import { readFileSync } from 'node:fs';
import type { GgufValue } from '../../loaders/gguf.ts';

export function readGgufMetadata(path: string): Map<string, GgufValue> {
  const file = readFileSync(path);
  const metadata = new Map<string, GgufValue>();
  let at = 16;
  const take = (length: number): number => {
    at += length;
    return at - length;
  };
  const long = () => Number(file.readBigUInt64LE(take(8)));
  const string = () => {
    const length = long();
    return file.toString('utf8', take(length), at);
  };
  const value = (type: number): GgufValue => {
    if (type === 0) return file.readUInt8(take(1));
    if (type === 4) return file.readUInt32LE(take(4));
    if (type === 5) return file.readInt32LE(take(4));
    if (type === 6) return file.readFloatLE(take(4));
    if (type === 7) return file.readUInt8(take(1)) !== 0;
    if (type === 8) return string();
    if (type !== 9) throw new Error(`metadata type ${type}`);
    const of = file.readUInt32LE(take(4));
    const values = Array.from({ length: long() }, () => value(of));
    if (of === 5) return Int32Array.from(values as number[]);
    return of === 6 ? Float32Array.from(values as number[]) : values;
  };
  for (let left = long(); left > 0; left--) {
    const key = string();
    metadata.set(key, value(file.readUInt32LE(take(4))));
  }
  return metadata;
}
