/** Finds the tokenizer among a model's files. */
import { join } from 'node:path';
import { type Folder, readJson, readSmallFile } from './folder.ts';
import { decodeUtf8, isJsonObject, type JsonObject } from './json.ts';
import type { Vocab } from './types.ts';
import { vocabFromTokenizerJson } from './vocab-json.ts';
import { vocabFromSentencePiece } from './vocab-sentencepiece.ts';

/**
 * The tokenizer of a folder: tokenizer.json, else tokenizer.model, with what the files beside it say.
 *
 * @param config the folder's config.json or what takes its place: older models name their first and last tokens in it
 * @returns undefined when there is none
 * @throws `bad-tokenizer`, `bad-file`
 */
export async function folderVocab(folder: Folder, config: unknown): Promise<Vocab | undefined> {
  const { names, path } = folder;
  const optional = async (name: string): Promise<JsonObject> => {
    const json = names.has(name) ? await readJson(folder, name) : undefined;
    return isJsonObject(json) ? json : {};
  };
  const tokenizerConfig = { ...(await optional('tokenizer_config.json')), ...(await readTemplate(folder)) };
  const { bos_token_id, eos_token_id, _name_or_path: name } = isJsonObject(config) ? config : {};
  const modelName = typeof name === 'string' && name !== '' ? name : undefined;
  const generationConfig = { bos_token_id, eos_token_id, ...(await optional('generation_config.json')) };
  if (names.has('tokenizer.json')) {
    const file = join(path, 'tokenizer.json');
    const json = await readJson(folder, 'tokenizer.json');
    return { ...vocabFromTokenizerJson(json, tokenizerConfig, generationConfig, file), modelName };
  }
  if (!names.has('tokenizer.model')) return undefined;
  const beside = { tokenizerConfig, generationConfig, addedTokens: await optional('added_tokens.json') };
  const file = join(path, 'tokenizer.model');
  return { ...vocabFromSentencePiece(await readSmallFile(folder, 'tokenizer.model'), beside, file), modelName };
}

/** Newer models keep their template in a file of its own, which goes before the one in tokenizer_config.json. */
async function readTemplate(folder: Folder): Promise<JsonObject> {
  const { names, path } = folder;
  if (names.has('chat_template.jinja')) {
    const bytes = await readSmallFile(folder, 'chat_template.jinja');
    return { chat_template: decodeUtf8(bytes, join(path, 'chat_template.jinja')) };
  }
  const json = names.has('chat_template.json') ? await readJson(folder, 'chat_template.json') : undefined;
  return isJsonObject(json) && 'chat_template' in json ? { chat_template: json.chat_template } : {};
}
