/** A metadata value. 64-bit integers are numbers where that is exact (up to 2^53), otherwise bigints. */
export type GgufValue =
  | string
  | number
  | bigint
  | boolean
  | readonly GgufValue[] // arrays of strings, booleans and arrays
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | BigUint64Array
  | BigInt64Array
  | Float32Array
  | Float64Array;
