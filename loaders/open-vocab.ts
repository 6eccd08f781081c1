/** Opens a tokenizer by itself: of a model whose weights need not be there, or from a tokenizer's own file. */
import { basename, dirname } from 'node:path';
import { isFolder, openCheckpoint } from './checkpoint.ts';
import { diskFolder, type Folder, readJson } from './folder.ts';
import { readGgufHeader } from './gguf.ts';
import { MLC_CONFIG, mlcTokenIds } from './mlc.ts';
import { sniff } from './sniff.ts';
import { fileSource } from './source.ts';
import type { Vocab } from './types.ts';
import { folderVocab } from './vocab-folder.ts';
import { vocabFromGguf } from './vocab-gguf.ts';

const TOKENIZER_JSON = 'tokenizer.json';
const SENTENCEPIECE = 'tokenizer.model';

/**
 * The tokenizer of a folder, a GGUF file of whatever architecture, tokenizer.json, a SentencePiece model, or a model in
 * any other form that openCheckpoint opens; undefined when there is none.
 *
 * @throws `bad-tokenizer`, `bad-file`, and what openCheckpoint throws
 */
export async function openVocab(path: string): Promise<Vocab | undefined> {
  if (await isFolder(path)) return vocabIn(await diskFolder(path));
  const name = basename(path);
  if (name === TOKENIZER_JSON) return vocabIn(await diskFolder(dirname(path)));
  if (/\.model(\.\w+)?$/.test(name)) return vocabIn(await onlySentencePiece(path));
  const source = await fileSource(path);
  try {
    if ((await sniff(source)) === 'gguf') return vocabFromGguf((await readGgufHeader(source)).metadata, path);
  } finally {
    await source.close();
  }
  const checkpoint = await openCheckpoint(path);
  try {
    return await checkpoint.vocab();
  } finally {
    await checkpoint.close();
  }
}

async function vocabIn(folder: Folder): Promise<Vocab | undefined> {
  const { names } = folder;
  if (names.has('config.json')) return folderVocab(folder, await readJson(folder, 'config.json'));
  return folderVocab(folder, names.has(MLC_CONFIG) ? mlcTokenIds(await readJson(folder, MLC_CONFIG)) : undefined);
}

/** The folder of a SentencePiece model, which is its only tokenizer, whatever it is called. */
async function onlySentencePiece(path: string): Promise<Folder> {
  const folder = await diskFolder(dirname(path));
  const names = new Set(folder.names).add(SENTENCEPIECE);
  names.delete(TOKENIZER_JSON);
  return { ...folder, names, open: (name) => (name === SENTENCEPIECE ? fileSource(path) : folder.open(name)) };
}
