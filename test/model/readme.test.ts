/** The README's example of the library runs as it stands there, and its commands have the flags they are shown with. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readArguments } from '../../bin/arguments.ts';
import { COMMANDS } from '../../bin/commands.ts';
import { deviceTests } from '../device.ts';
import { byteLevelMetadata } from '../pure/small-tokenizers.ts';
import { temporaryFolder } from '../pure/temporary-folder.ts';
import { ggufFile, randomWeights, SMALL_LLAMA } from '../random-model.ts';
import { runNode } from '../run-cli.ts';
import type { GgufEntry } from '../write-gguf.ts';

const README = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');

/** The README's blocks in one language. */
function blocks(language: string): string[] {
  return [...README.matchAll(new RegExp(`^\`\`\`${language}\n([\\s\\S]*?)^\`\`\`$`, 'gm'))].map((match) => match[1]!);
}

const test = suite('readme');
const writeFolder = temporaryFolder(test);

test('shows commands that the command line takes', async () => {
  const lines = blocks('sh').flatMap((block) => block.split('\n'));
  const calls = lines.map((line) => line.match(/firstlight (\w+)([^#|]*)/)).filter((match) => match !== null);
  assert.ok(calls.length >= 8, `${calls.length} commands`);
  for (const [call, name, rest] of calls) {
    const args = [...rest!.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare!);
    const command = await COMMANDS[name!]?.load();
    assert.ok(command, call);
    assert.not.throws(() => readArguments(command, args), call);
  }
});

const check = await deviceTests(test);

check('has an example of the library that runs', async () => {
  const [example, ...others] = blocks('ts');
  assert.ok(example && others.length === 0);
  const config = { ...SMALL_LLAMA, vocab: 271 };
  const model = ggufFile(config, randomWeights(config), 'F32', { metadata: tokenizerEntries() });
  const folder = await writeFolder('example', new Map([['model.gguf', model]]));
  const library = new URL('../../engine/index.ts', import.meta.url).href;
  writeFileSync(join(folder, 'example.mts'), example.replace("from 'firstlight'", `from '${library}'`));
  const { code, stdout, stderr } = await runNode(['example.mts'], folder);
  assert.is(code, 0, stderr);
  assert.ok(stdout.length > 20, stdout);
});

/** The metadata of a small tokenizer as writeGguf takes it. */
function tokenizerEntries(): GgufEntry[] {
  return Array.from(byteLevelMetadata(), ([key, value]): GgufEntry => {
    if (value instanceof Int32Array) return [key, 'i32[]', value];
    if (Array.isArray(value)) return [key, 'string[]', value as readonly string[]];
    return typeof value === 'number' ? [key, 'u32', value] : [key, 'string', String(value)];
  });
}

test.run();
