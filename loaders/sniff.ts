/** What a file is, by its first bytes, and what to say of files that hold no model we read. */
import { FirstlightError } from '../quant/errors.ts';
import type { Source } from './types.ts';

export type Content = 'safetensors' | 'gguf' | 'pytorch' | 'zip' | 'json';

/** Enough for the name of a zip archive's first entry. */
const HEAD_BYTES = 1024;

const CONVERT = 'convert the model to safetensors or GGUF';

/** Telltale beginnings, bytes as Latin-1 letters. */
const FOREIGN: readonly [string, string][] = [
  ['version https://git-lfs', 'a Git LFS pointer, not the file itself: run "git lfs pull" or download the file'],
  ['FUGG', 'a big-endian GGUF file: get the little-endian one'],
  ['lmgg', `a GGML file from before GGUF: ${CONVERT}`],
  ['fmgg', `a GGML file from before GGUF: ${CONVERT}`],
  ['tjgg', `a GGML file from before GGUF: ${CONVERT}`],
  ['\x80\x02', `a Python pickle (PyTorch checkpoint of before 2020): ${CONVERT}`],
  ['\x80\x03', `a Python pickle: ${CONVERT}`],
  ['\x80\x04', `a Python pickle: ${CONVERT}`],
  ['\x80\x05', `a Python pickle: ${CONVERT}`],
  ['\x89HDF', `an HDF5 file: ${CONVERT}`],
  ['\x1f\x8b', 'a gzip archive: unpack it first'],
  ['7z\xbc\xaf', 'a 7z archive: unpack it first'],
];

/**
 * @throws `bad-file` for an empty file and for anything that is no model or none that we read, named where possible
 */
export async function sniff(source: Source): Promise<Content> {
  const { name, size } = source;
  if (size === 0) throw new FirstlightError('bad-file', `${name} is empty: get the file again`);
  const bytes = await source.read(0, Math.min(size, HEAD_BYTES));
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
  const foreign = foreignContent(head);
  if (foreign !== undefined) throw new FirstlightError('bad-file', `${name} is ${foreign}`);
  if (head.startsWith('GGUF')) return 'gguf';
  // PyTorch packs its pickle in a zip archive, data.pkl first
  if (head.startsWith('PK\x03\x04')) return head.includes('data.pkl') ? 'pytorch' : 'zip';
  if (name.endsWith('.safetensors') || hasSafetensorsHeader(head)) return 'safetensors';
  if (/^(\xef\xbb\xbf)?\s*[[{]/.test(head)) return 'json';
  throw new FirstlightError('bad-file', `${name} is no model that firstlight reads: safetensors, GGUF, PyTorch or zip`);
}

function foreignContent(head: string): string | undefined {
  if (/^(\xef\xbb\xbf)?\s*<(!doctype|html|\?xml)/i.test(head)) {
    return 'a web page, probably an error message saved in place of the file: download it again';
  }
  return FOREIGN.find(([start]) => head.startsWith(start))?.[1];
}

/** A length below 2^32 in 8 bytes, then JSON. */
function hasSafetensorsHeader(head: string): boolean {
  return head.slice(4, 8) === '\0\0\0\0' && head.slice(8).trimStart().startsWith('{');
}
