/**
 * GGUF files in parts, NAME-00001-of-00003.gguf: each is a GGUF file with some of the tensors, the first has all metadata.
 * https://github.com/ggml-org/llama.cpp/tree/master/tools/gguf-split
 */
import { FirstlightError } from '../quant/errors.ts';
import { type GgufHeader, readGgufHeader } from './gguf.ts';
import type { Source } from './types.ts';

export interface GgufPart {
  readonly source: Source;
  readonly header: GgufHeader;
}

/** As llama-gguf-split names parts; more than 99999 are not named so. */
const PART_NAME = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/;

/**
 * All parts of the file that `source` is a part of, the first one first; a file that is not split is its only part.
 *
 * @param open opens a part by its path; `opened` hears of every source, so that the caller can close them all
 * @throws `bad-file` for parts that are missing or do not belong together
 */
export async function openGgufParts(
  source: Source,
  open: (path: string) => Promise<Source>,
  opened: (source: Source) => void,
): Promise<readonly GgufPart[]> {
  const header = await readGgufHeader(source);
  const count = header.metadata.get('split.count') ?? 0;
  if (count === 0 || count === 1) return [{ source, header }];
  if (typeof count !== 'number') throw wrong(source.name, 'has a split.count that is no number');
  const [, base, , total] = PART_NAME.exec(source.name) ?? [];
  if (base === undefined || Number(total) !== count) {
    throw wrong(
      source.name,
      `is one of ${count} parts, but not named so: NAME-00001-of-${padded(count)}.gguf leads to the others`,
    );
  }
  const parts: GgufPart[] = [];
  for (let i = 0; i < count; i++) {
    const path: string = `${base}-${padded(i + 1)}-of-${padded(count)}.gguf`;
    const part: GgufPart = path === source.name ? { source, header } : await openPart(path, open, opened);
    const { metadata } = part.header;
    if (metadata.get('split.no') !== i || metadata.get('split.count') !== count) {
      throw wrong(path, `says that it is part ${metadata.get('split.no')} of ${metadata.get('split.count')}`);
    }
    parts.push(part);
  }
  const wanted = parts[0]?.header.metadata.get('split.tensors.count');
  const tensors = parts.reduce((sum, part) => sum + part.header.tensors.length, 0);
  if (wanted !== undefined && wanted !== tensors) {
    throw wrong(source.name, `has ${tensors} tensors in all its parts where ${wanted} are told of`);
  }
  return parts;
}

async function openPart(
  path: string,
  open: (path: string) => Promise<Source>,
  opened: (source: Source) => void,
): Promise<GgufPart> {
  let source: Source;
  try {
    source = await open(path);
  } catch (error) {
    if (!(error instanceof FirstlightError)) throw error;
    throw new FirstlightError('bad-file', `${error.message}; a model in parts needs all of them in one folder`, {
      cause: error,
    });
  }
  opened(source);
  return { source, header: await readGgufHeader(source) };
}

function padded(number: number): string {
  return String(number).padStart(5, '0');
}

/** `what` completes the sentence "FILE ...". */
function wrong(file: string, what: string): FirstlightError {
  return new FirstlightError('bad-file', `${file} ${what}: get all parts again`);
}
