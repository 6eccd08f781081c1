/** `firstlight convert`: a model into firstlight's own file, or back into a folder that transformers reads. */
import { readdir, stat } from 'node:fs/promises';
import { convertCheckpoint, writeHuggingFace } from '../engine/convert.ts';
import { openModel } from '../loaders/named.ts';
import { defineCommand, UsageError } from './arguments.ts';
import { mebibytes, note, startProgress } from './output.ts';

const FLOATS = ['f32', 'f16', 'bf16'] as const;

export const convert = defineCommand({
  operands: ['MODEL', 'OUT'],
  about: [
    'Writes any model that firstlight reads as a file of its own, OUT: the matrices lie in it as on the GPU, so that loading is ' +
      'reading. Quantised weights stay as they are unless --weights says otherwise.',
    'With --to hf, OUT becomes a folder with config.json and model.safetensors, the weights dequantised to f16 or what --weights says.',
    'OUT appears when all of it is there; an attempt that ends before leaves nothing, or after a crash OUT.part, which the next one replaces.',
  ],
  flags: {
    weights: {
      kind: 'choice',
      choices: ['native', 'q4', 'q8', ...FLOATS],
      about: 'format of the matrices; default native, with --to hf f16',
    },
    to: {
      kind: 'choice',
      choices: ['firstlight', 'hf'],
      about: "firstlight's own file (default), or Hugging Face's layout",
    },
    force: { kind: 'switch', about: 'replace OUT' },
  },
  async run(values, [model = '', place = ''], signal) {
    const { weights = values.to === 'hf' ? 'f16' : 'native', to = 'firstlight', force } = values;
    if (place === '') throw new UsageError('OUT is empty');
    if (place.endsWith('/') && to === 'firstlight')
      throw new UsageError(`${place} is a folder: give the name of a file`);
    const out = place.replace(/(?!^)\/+$/, ''); // as a shell completes a folder
    if (await exists(out)) await checkReplaceable(out, to, force);
    const checkpoint = await openModel(model);
    const progress = startProgress('converting', 'bytes');
    try {
      const options = { signal, onProgress: progress.update };
      if (to === 'hf') {
        const type = FLOATS.find((float) => float === weights);
        if (!type) throw new UsageError(`--to hf takes --weights ${FLOATS.join(', ')}`);
        await writeHuggingFace(checkpoint, out, type, options);
      } else {
        await convertCheckpoint(checkpoint, out, weights, options);
      }
    } finally {
      progress.end();
      await checkpoint.close();
    }
    const { size } = await stat(to === 'hf' ? `${out}/model.safetensors` : out);
    note(`${out}: ${mebibytes(size)}`);
    if (to === 'hf' && !(await exists(`${out}/tokenizer.json`)) && !(await exists(`${out}/tokenizer.model`)))
      note(
        `${model} came without tokenizer files (a GGUF file has its own form of them): put the original model's beside it`,
      );
  },
});

/** Nothing but a model makes room for one. */
async function checkReplaceable(out: string, to: 'firstlight' | 'hf', force: boolean | undefined): Promise<void> {
  const isFolder = (await stat(out)).isDirectory();
  if (isFolder && to === 'firstlight') throw new UsageError(`${out} is a folder: give the name of a file`);
  if (!isFolder && to === 'hf') throw new UsageError(`${out} is a file: --to hf writes a folder`);
  if (!force) throw new UsageError(`${out} is there already: --force replaces it`);
  const names = isFolder ? await readdir(out) : [];
  if (names.length > 0 && !names.includes('config.json'))
    throw new UsageError(`${out} is a folder with something else than a model in it: --force does not replace that`);
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
