/** Writes safetensors files. */
export interface TensorBytes {
  readonly name: string;
  /** 'F32', 'BF16', 'U8', ... for safetensors; GGML's names for GGUF. */
  readonly type: string;
  /** Outermost first. */
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** The file's bytes; header padded with spaces to 8 as the reference implementation does. */
export function writeSafetensors(
  tensors: readonly TensorBytes[],
  metadata: Readonly<Record<string, string>> = { format: 'pt' },
): Uint8Array {
  const header: Record<string, unknown> = { __metadata__: metadata };
  let end = 0;
  for (const { name, type, shape, bytes } of tensors) {
    header[name] = { dtype: type, shape, data_offsets: [end, end + bytes.length] };
    end += bytes.length;
  }
  const text = JSON.stringify(header);
  return joinSafetensors(text.padEnd(Math.ceil(text.length / 8) * 8), ...tensors.map(({ bytes }) => bytes));
}

/** Any text as the header, for broken files. */
export function joinSafetensors(header: string, ...data: readonly Uint8Array[]): Uint8Array {
  const text = Buffer.from(header);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return new Uint8Array(Buffer.concat([length, text, ...data]));
}
