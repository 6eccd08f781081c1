/** The wire format of protocol buffers, as far as reading one flat file needs it: https://protobuf.dev/programming-guides/encoding */
import { FirstlightError } from '../quant/errors.ts';

export interface Field {
  readonly number: number;
  /** A varint's low 32 bits, signed: enough for int32, bool and enum. Bytes of everything else. */
  readonly value: number | Uint8Array;
}

const VARINT = 0;
const FIXED64 = 1;
const LENGTH_DELIMITED = 2;
const FIXED32 = 5;

/**
 * The fields of a message in the order of the file.
 *
 * @param file for messages
 * @throws `bad-tokenizer` when the bytes are no message
 */
export function* readMessage(bytes: Uint8Array, file: string): Generator<Field, void, void> {
  let at = 0;

  function readVarint(): number {
    let low = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = bytes[at++];
      if (byte === undefined) throw damaged(file);
      if (shift < 32) low |= (byte & 0x7f) << shift;
      if (byte < 0x80) return low;
    }
    throw damaged(file);
  }

  function take(length: number): Uint8Array {
    if (length < 0 || length > bytes.length - at) throw damaged(file);
    at += length;
    return bytes.subarray(at - length, at);
  }

  while (at < bytes.length) {
    const key = readVarint();
    const number = key >>> 3;
    if (number === 0) throw damaged(file);
    const wire = key & 7;
    if (wire === VARINT) yield { number, value: readVarint() };
    else if (wire === LENGTH_DELIMITED) yield { number, value: take(readVarint()) };
    else if (wire === FIXED32) yield { number, value: take(4) };
    else if (wire === FIXED64) yield { number, value: take(8) };
    else throw damaged(file);
  }
}

/** The message's fields by number; of one that is there twice the last, as the format demands. */
export function readFields(bytes: Uint8Array, file: string): ReadonlyMap<number, number | Uint8Array> {
  const fields = new Map<number, number | Uint8Array>();
  for (const { number, value } of readMessage(bytes, file)) fields.set(number, value);
  return fields;
}

function damaged(file: string): FirstlightError {
  return new FirstlightError('bad-tokenizer', `${file} is no protocol buffer, or a damaged one: get the file again`);
}
