/** GGUF files in several parts, whichever of them is opened. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openGgufSource } from '../../loaders/checkpoint.ts';
import { memorySource } from '../../loaders/source.ts';
import { FirstlightError } from '../../quant/errors.ts';
import { ggufMetadata, ggufWeights } from '../gguf-conventions.ts';
import { encodeRows, ggufFile, randomWeights, SMALL_LLAMA } from '../random-model.ts';
import { type GgufEntry, writeGguf } from '../write-gguf.ts';
import type { TensorBytes } from '../write-safetensors.ts';
import { expectError } from './expect-error.ts';

const test = suite('gguf-split');

/** As llama-gguf-split cuts a file, three tensors a part but the last. */
function splitFiles(change: (part: number, entries: GgufEntry[]) => GgufEntry[] = (_, entries) => entries) {
  const tensors: TensorBytes[] = [];
  for (const [name, { shape, values }] of ggufWeights(SMALL_LLAMA, randomWeights(SMALL_LLAMA)))
    tensors.push({ name, type: 'F32', shape, bytes: encodeRows('F32', values) });
  const files = new Map<string, Uint8Array>();
  for (let part = 0; part < 3; part++) {
    const entries: GgufEntry[] = [
      ['split.no', 'u16', part],
      ['split.count', 'u16', 3],
      ['split.tensors.count', 'i32', tensors.length],
    ];
    const all = part === 0 ? [...ggufMetadata(SMALL_LLAMA), ...entries] : entries;
    const own = part === 2 ? tensors.slice(6) : tensors.slice(3 * part, 3 * part + 3);
    files.set(`model-0000${part + 1}-of-00003.gguf`, writeGguf(change(part, all), own));
  }
  return files;
}

function opener(files: ReadonlyMap<string, Uint8Array>) {
  const closed: string[] = [];
  const open = async (path: string) => {
    const bytes = files.get(path);
    if (!bytes) throw new FirstlightError('bad-argument', `${path} does not exist`);
    const source = memorySource(path, bytes);
    return { ...source, close: async () => void closed.push(path) };
  };
  return { open, closed };
}

test('any part stands for the whole', async () => {
  const files = splitFiles();
  const whole = await openGgufSource(memorySource('m.gguf', ggufFile(SMALL_LLAMA, randomWeights(SMALL_LLAMA))));
  for (const name of files.keys()) {
    const { open, closed } = opener(files);
    const checkpoint = await openGgufSource(await open(name), open);
    assert.equal(checkpoint.config, whole.config);
    assert.is(checkpoint.format, 'GGUF v3 in 3 parts');
    for (const { name: tensor, rows } of whole.tensors.values())
      assert.equal(await checkpoint.readRows(tensor, 0, rows), await whole.readRows(tensor, 0, rows), tensor);
    await checkpoint.close();
    assert.is(closed.length, 3);
  }
});

test('parts that are missing or do not belong together', async () => {
  const first = 'model-00001-of-00003.gguf';
  const check = async (files: Map<string, Uint8Array>, message: RegExp) => {
    const { open, closed } = opener(files);
    let opened = 0;
    const counting = async (path: string) => {
      const source = await open(path);
      opened++;
      return source;
    };
    const source = await counting([...files.keys()][0]!);
    await expectError(() => openGgufSource(source, counting), 'bad-file', message);
    assert.is(closed.length, opened, 'what was opened is closed');
  };
  const without = splitFiles();
  without.delete('model-00003-of-00003.gguf');
  await check(without, /00003-of-00003\.gguf does not exist; .*all of them in one folder/);
  const changed = (no: number, key: string, value: number) =>
    splitFiles((part, entries) =>
      entries.map((entry) => (part === no && entry[0] === key ? [key, 'u16', value] : entry)),
    );
  await check(changed(1, 'split.no', 2), /00002-of-00003\.gguf says that it is part 2 of 3/);
  await check(changed(2, 'split.count', 4), /00003-of-00003\.gguf says that it is part 2 of 4/);
  await check(changed(0, 'split.tensors.count', 4), /tensors in all its parts where 4 are told of/);
  await check(new Map([['other.gguf', splitFiles().get(first)!]]), /one of 3 parts, but not named so/);
});

test.run();
