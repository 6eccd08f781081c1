/** Opens a model, whatever it is stored as. */
import { stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assert, FirstlightError } from '../quant/errors.ts';
import { configFromJson } from './config.ts';
import { configFromGguf, ggufArchitecture, readRopeTensors } from './config-gguf.ts';
import type { StoredTensor } from './container.ts';
import { CONVERTED_FORMAT, GGUF_METADATA, openConverted } from './converted.ts';
import { diskFolder, type Folder, readJson, readSmall, readSmallFile, zipFolder } from './folder.ts';
import { metadataFile, openGguf } from './gguf.ts';
import { openGgufParts } from './gguf-split.ts';
import { joinGroups, readQuantisation } from './group-quants.ts';
import { isJsonObject, parseJson } from './json.ts';
import { MLC_CONFIG, openMlc } from './mlc.ts';
import { selectTensors } from './model-tensors.ts';
import { openPyTorch } from './pytorch.ts';
import { openSafetensors, readSafetensorsHeader } from './safetensors.ts';
import { sniff } from './sniff.ts';
import { fileSource, pathError } from './source.ts';
import { languageTensors, separateTensors } from './tensor-variants.ts';
import type { Checkpoint, LlamaConfig, Source, Vocab } from './types.ts';
import { folderVocab } from './vocab-folder.ts';
import { vocabFromGguf } from './vocab-gguf.ts';

const CONFIG = 'config.json';
const WEIGHTS = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';
const PYTORCH_WEIGHTS = 'pytorch_model.bin';
const PYTORCH_INDEX = 'pytorch_model.bin.index.json';

/**
 * Opens a model and reads its header; the weights stay in the files. By content, not by extension:
 *
 * - a folder with config.json and model.safetensors, or shards with model.safetensors.index.json
 * - the same with pytorch_model.bin
 * - one of these files, which stands for its folder
 * - a GGUF file, or one of its parts
 * - a folder with mlc-chat-config.json and MLC's shards
 * - a file that `firstlight convert` wrote
 * - a zip archive of such a folder (up to 1 GiB, held in memory)
 *
 * @throws `bad-argument` when the path leads to nothing readable, `bad-file` for damaged files and files that are no
 *   model, `unsupported-model` for models that firstlight does not run
 */
export async function openCheckpoint(path: string): Promise<Checkpoint> {
  if (await isFolder(path)) return openFolder(await diskFolder(path));
  const source = await fileSource(path);
  const content = await closeOnError([source], () => sniff(source));
  if (content === 'gguf') return openGgufSource(source);
  if (content === 'safetensors' && (await closeOnError([source], () => isConverted(source)))) {
    return closeOnError([source], () => openConverted(source));
  }
  let checkpoint: Checkpoint;
  if (content === 'zip') {
    checkpoint = await openFolder(await closeAfter(source, zipFolder));
  } else {
    const weights = await closeAfter(source, WEIGHTS_OF[content]);
    checkpoint = await openFolder(await diskFolder(dirname(path)), weights);
  }
  return { ...checkpoint, path };
}

async function isConverted(source: Source): Promise<boolean> {
  return (await readSafetensorsHeader(source)).metadata.get('format') === CONVERTED_FORMAT;
}

/** The model that comes with firstlight: a zip archive for openCheckpoint. */
export function builtinPath(): string {
  return fileURLToPath(new URL('engine/builtin/storyteller.zip', import.meta.resolve('firstlight/package.json')));
}

/**
 * Opens a GGUF file, which the checkpoint then owns. Throws as openCheckpoint does.
 *
 * @param open opens the other parts of a file in several
 */
export async function openGgufSource(source: Source, open = fileSource): Promise<Checkpoint> {
  const sources = [source];
  return closeOnError(sources, async () => {
    const parts = await openGgufParts(source, open, (part) => sources.push(part));
    const { header } = parts[0]!;
    const { metadata } = header;
    const { norms } = ggufArchitecture(metadata, source.name).design;
    const stored = new Map(parts.flatMap((part) => [...openGguf(part.source, part.header, norms)]));
    if (stored.size === 0) {
      throw new FirstlightError('bad-file', `${source.name} has no tensors, only metadata: get the model's own file`);
    }
    const plain = configFromGguf(metadata, stored, source.name);
    const config = { ...plain, ropeScaling: await readRopeTensors(metadata, stored, plain, source.name) };
    return makeCheckpoint({
      format: `GGUF v${header.version}${parts.length > 1 ? ` in ${parts.length} parts` : ''}`,
      path: source.name,
      config,
      stored,
      sources,
      async vocab() {
        return metadata.has('tokenizer.ggml.tokens') ? vocabFromGguf(metadata, source.name) : undefined;
      },
      files: async () => new Map([[GGUF_METADATA, await metadataFile(parts[0]!.source, header)]]),
    });
  });
}

/**
 * Opens a model in Hugging Face's layout. Throws as openCheckpoint does.
 *
 * @param weights the file or index to take; default as in transformers: model.safetensors, its index, pytorch_model.bin, its index
 */
export async function openFolder(folder: Folder, weights?: string): Promise<Checkpoint> {
  if (!folder.names.has(CONFIG) && folder.names.has(MLC_CONFIG)) return openMlcFolder(folder);
  if (!folder.names.has(CONFIG)) throw noConfig(folder);
  const json = await readConfig(folder);
  const config = configFromJson(json, join(folder.path, CONFIG));
  const quantisation = isJsonObject(json) ? readQuantisation(json, join(folder.path, CONFIG)) : undefined;
  const shards = await shardsOf(folder, weights);
  const sources: Source[] = [];
  return closeOnError(sources, async () => {
    for (const shard of shards) sources.push(await folder.open(shard));
    const plain = await openShards(sources);
    const stored = quantisation ? await joinGroups(plain, quantisation, folder.path) : plain;
    const container = shards[0]?.endsWith('.safetensors') ? 'safetensors' : 'PyTorch';
    const kind = quantisation ? `${quantisation.method.toUpperCase()} ${container}` : container;
    return makeCheckpoint({
      format: shards.length === 1 ? kind : `${kind} in ${shards.length} shards`,
      path: folder.path,
      config,
      stored,
      sources,
      vocab: () => folderVocab(folder, json),
      files: () => smallFiles(folder),
    });
  });
}

/** config.json; older GPTQ models have its quantization_config in a file of its own. */
async function readConfig(folder: Folder): Promise<unknown> {
  const json = await readJson(folder, CONFIG);
  const older = 'quantize_config.json';
  if (!isJsonObject(json) || json.quantization_config != null || !folder.names.has(older)) return json;
  const settings = await readJson(folder, older);
  return { ...json, quantization_config: { quant_method: 'gptq', ...(isJsonObject(settings) ? settings : {}) } };
}

async function openMlcFolder(folder: Folder): Promise<Checkpoint> {
  const sources: Source[] = [];
  return closeOnError(sources, async () => {
    const { quantisation, config, stored, tokenIds } = await openMlc(folder, (source) => sources.push(source));
    return makeCheckpoint({
      format: `MLC ${quantisation}`,
      path: folder.path,
      config,
      stored,
      sources,
      vocab: () => folderVocab(folder, tokenIds),
      files: () => smallFiles(folder),
    });
  });
}

/** What may belong to a model beside its weights. */
const SMALL_FILES =
  /^(config|mlc-chat-config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|chat_template)\.json$|^(tokenizer\.model|merges\.txt|chat_template\.jinja)$/;

async function smallFiles(folder: Folder): Promise<ReadonlyMap<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  for (const name of folder.names) if (SMALL_FILES.test(name)) files.set(name, await readSmallFile(folder, name));
  return files;
}

interface Parts {
  readonly format: string;
  readonly path: string;
  readonly config: LlamaConfig;
  readonly stored: ReadonlyMap<string, StoredTensor>;
  readonly sources: readonly Source[];
  readonly vocab: () => Promise<Vocab | undefined>;
  readonly files: () => Promise<ReadonlyMap<string, Uint8Array>>;
}

function makeCheckpoint({ format, path, config, stored: inFile, sources, vocab, files }: Parts): Checkpoint {
  const stored = separateTensors(languageTensors(inFile), config);
  const tensors = selectTensors(config, stored, path);
  return {
    format,
    path,
    config,
    tensors,
    async readRows(name, firstRow, rowCount, into) {
      const rows = tensors.get(name)?.rows ?? 0;
      assert(
        firstRow >= 0 && rowCount >= 0 && firstRow + rowCount <= rows,
        `${name} has no rows ${firstRow} + ${rowCount}`,
      );
      return stored.get(name)!.readRows(firstRow, rowCount, into);
    },
    vocab,
    files,
    close: () => closeAll(sources),
  };
}

/** The names of the files with the weights that make up the model. */
async function shardsOf(folder: Folder, weights: string | undefined): Promise<readonly string[]> {
  const { names } = folder;
  if (weights === INDEX || weights === PYTORCH_INDEX) return readIndex(folder, weights);
  if (weights !== undefined) {
    // One shard of many stands for all of them.
    for (const index of [INDEX, PYTORCH_INDEX]) {
      const shards = names.has(index) ? await readIndex(folder, index) : [];
      if (shards.includes(weights)) return shards;
    }
    return [weights];
  }
  if (names.has(WEIGHTS)) return [WEIGHTS];
  if (names.has(INDEX)) return readIndex(folder, INDEX);
  const [only, ...others] = [...names].filter((name) => name.endsWith('.safetensors'));
  if (only !== undefined && others.length === 0) return [only];
  if (names.has(PYTORCH_WEIGHTS)) return [PYTORCH_WEIGHTS];
  if (names.has(PYTORCH_INDEX)) return readIndex(folder, PYTORCH_INDEX);
  throw noWeights(folder);
}

async function readIndex(folder: Folder, name: string): Promise<readonly string[]> {
  const json = await readJson(folder, name);
  const file = join(folder.path, name);
  const map = isJsonObject(json) ? json.weight_map : undefined;
  if (!isJsonObject(map)) throw new FirstlightError('bad-file', `${file} has no weight_map: get the file again`);
  const shards = [...new Set(Object.values(map))];
  if (shards.length === 0) throw new FirstlightError('bad-file', `${file} names no files: get the file again`);
  return shards.map((shard) => {
    // Only names from the folder's own listing are opened, so that none leads elsewhere.
    if (typeof shard === 'string' && folder.names.has(shard)) return shard;
    throw new FirstlightError(
      'bad-file',
      `${file} names ${JSON.stringify(shard)}, which is not beside it: get all shards`,
    );
  });
}

async function openShards(sources: readonly Source[]): Promise<ReadonlyMap<string, StoredTensor>> {
  const tensors = new Map<string, StoredTensor>();
  for (const source of sources) {
    const content = await sniff(source); // says better than the parser what is no safetensors file at all
    for (const [name, tensor] of await (content === 'pytorch' ? openPyTorch(source) : openSafetensors(source))) {
      if (tensors.has(name)) throw new FirstlightError('bad-file', `${source.name} has ${name}, as has another shard`);
      tensors.set(name, tensor);
    }
  }
  return tensors;
}

/** The weights that a JSON file speaks of: itself for an index, undefined (the folder's usual ones) for config.json. */
async function weightsOfJson(source: Source): Promise<string | undefined> {
  const json = parseJson(await readSmall(source), source.name);
  if (isJsonObject(json) && 'weight_map' in json) return basename(source.name);
  if (isJsonObject(json) && ('architectures' in json || 'model_type' in json)) return undefined;
  throw new FirstlightError('bad-file', `${source.name} is JSON but neither config.json nor an index of safetensors`);
}

/** Checks the header first: what is wrong with the file itself comes before what is missing beside it. */
const WEIGHTS_OF = {
  json: weightsOfJson,
  async safetensors(source: Source): Promise<string> {
    await readSafetensorsHeader(source);
    return basename(source.name);
  },
  async pytorch(source: Source): Promise<string> {
    await openPyTorch(source);
    return basename(source.name);
  },
};

function noConfig(folder: Folder): FirstlightError {
  const { path, names } = folder;
  let advice = adviseGguf(folder) ?? "a model in Hugging Face's layout has config.json beside its weights";
  if (names.has('params.json')) advice = "it is in its maker's own layout: get the model in Hugging Face's, or as GGUF";
  if (names.has('adapter_config.json')) advice = 'it is an adapter (LoRA): merge it into its model first';
  if (names.has('snapshots')) advice = `of Hugging Face's cache give a folder in ${join(path, 'snapshots')}`;
  return new FirstlightError('bad-file', `${path} has no config.json: ${advice}`);
}

function noWeights(folder: Folder): FirstlightError {
  const { path, names } = folder;
  const named = (pattern: RegExp) => [...names].find((name) => pattern.test(name));
  const pytorch = named(/\.(bin|pth|pt)$/);
  let advice = adviseGguf(folder) ?? 'get the weights too';
  if (named(/-\d+-of-\d+\.safetensors$/)) advice = 'get the index too, which says what is in which shard';
  else if (pytorch !== undefined) advice = `give the path of ${join(path, pytorch)}`;
  return new FirstlightError('bad-file', `${path} has neither ${WEIGHTS} nor ${INDEX}: ${advice}`);
}

function adviseGguf({ path, names }: Folder): string | undefined {
  const gguf = [...names].find((name) => name.endsWith('.gguf'));
  return gguf && `to open a GGUF file give its own path, for instance ${join(path, gguf)}`;
}

/** @throws `bad-argument` for a path that leads to nothing readable */
export async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    throw pathError(error, path);
  }
}

async function closeAll(sources: readonly Source[]): Promise<void> {
  await Promise.all(sources.map((source) => source.close()));
}

async function closeOnError<T>(sources: readonly Source[], work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    await closeAll(sources);
    throw error;
  }
}

async function closeAfter<T>(source: Source, work: (source: Source) => Promise<T>): Promise<T> {
  try {
    return await work(source);
  } finally {
    await source.close();
  }
}
