/** What users say of models and texts on the command line: which model is meant, where the text comes from. */
import { createReadStream, existsSync } from 'node:fs';
import { createTokenizer, requireTokenizer, type Tokenizer } from '../engine/tokenizer.ts';
import { isStored, storeFolder } from '../loaders/hub/store.ts';
import { BUILTIN, MODEL_FILE, openModelVocab } from '../loaders/named.ts';
import { FirstlightError } from '../quant/errors.ts';
import { UsageError } from './arguments.ts';
import { mebibytes } from './output.ts';

export const ABOUT_MODEL =
  "MODEL is a folder in Hugging Face's layout or MLC's, a GGUF, safetensors, PyTorch, zip or converted file, a name from " +
  '"firstlight list", or builtin for the small model that comes with firstlight, which is also the default.';

export const ABOUT_TEXT =
  'A lone argument is MODEL if there is such a file or folder or it looks like one (a path, or a name ending in .gguf, ' +
  '.safetensors, .firstlight or .zip), else it is the text. The text - is read from standard input.';

/** Tells MODEL and the text behind it apart where both may be left out. */
export function splitOperands(operands: readonly string[]): { model: string; text: string | undefined } {
  const [first, second] = operands;
  if (second !== undefined) return { model: first!, text: second };
  return first === undefined || isModel(first)
    ? { model: first ?? BUILTIN, text: undefined }
    : { model: BUILTIN, text: first };
}

function isModel(operand: string): boolean {
  if (operand === BUILTIN) return true;
  if (operand === '' || operand === '-') return false;
  return (
    /^(\.{1,2}|~)?\/\S/.test(operand) ||
    MODEL_FILE.test(operand) ||
    /^\S+\/\S*$/.test(operand) ||
    existsSync(operand) ||
    isStored(storeFolder(), operand)
  );
}

export function isBuiltin(model: string): boolean {
  return model === BUILTIN;
}

const MOST_INPUT_BYTES = 16 << 20;

/** The text itself, or for `-` what standard input gives, without its last line break. */
export async function readText(text: string): Promise<string> {
  return text === '-' ? readStream(process.stdin, 'standard input') : text;
}

/** A text file without its last line break. Throws `bad-argument`, with the name of the flag, where it cannot be read. */
export async function readTextFile(path: string, flag: string): Promise<string> {
  try {
    return await readStream(createReadStream(path), path);
  } catch (cause) {
    if (cause instanceof FirstlightError) throw cause;
    throw new FirstlightError('bad-argument', `${flag}: ${path} cannot be read (${(cause as Error).message})`, {
      cause,
    });
  }
}

async function readStream(stream: AsyncIterable<Buffer>, what: string): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > MOST_INPUT_BYTES)
      throw new FirstlightError('bad-argument', `${what} has more than ${mebibytes(MOST_INPUT_BYTES)}: shorten it`);
  }
  return Buffer.concat(chunks)
    .toString('utf8')
    .replace(/\r?\n$/, '');
}

/** A tokenizer without the model's weights. */
export async function openTokenizer(model: string): Promise<Tokenizer> {
  const vocab = await openModelVocab(model);
  return requireTokenizer(vocab && createTokenizer(vocab), model);
}

/** A token's text, or its bytes as `<0xE2><0x96>` where they are no whole characters. */
export function pieceOf(tokenizer: Tokenizer, id: number): string {
  const bytes = tokenizer.bytes(id);
  const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
  if (Buffer.from(text).equals(bytes)) return text;
  return Array.from(bytes, (byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`).join('');
}

/** Throws UsageError for an operand that a command cannot do without though it may stand alone. */
export function requireText(text: string | undefined): string {
  if (text === undefined) throw new UsageError('TEXT is missing');
  return text;
}
