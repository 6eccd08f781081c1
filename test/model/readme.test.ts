/** The README's examples of the library run as they stand there, and its commands have the flags they are shown with. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readArguments } from '../../bin/arguments.ts';
import { COMMANDS } from '../../bin/commands.ts';
import { deviceTests } from '../device.ts';
import { temporaryFolder } from '../pure/temporary-folder.ts';
import { runNode } from '../run-cli.ts';
import { smallChatModel } from '../small-chat.ts';

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

const EXAMPLES = blocks('ts');

for (const [i, example] of EXAMPLES.entries()) {
  check(`has examples of the library that run (${i + 1})`, async () => {
    const folder = await writeFolder(`example-${i}`, new Map([['model.gguf', smallChatModel()]]));
    const library = new URL('../../engine/index.ts', import.meta.url).href;
    writeFileSync(join(folder, 'example.mts'), example.replace("from 'firstlight'", `from '${library}'`));
    const { code, stdout, stderr } = await runNode(['example.mts'], folder);
    assert.is(code, 0, stderr);
    const wanted = [
      /tok\/s, decode: .*\n[\s\S]*tok\/s, decode: /,
      /^(fox|owl|hare)\n(fox|owl|hare)\n$/,
      /-\d+\.\d\d\n[\s\S]*^bad-argument /m,
    ];
    assert.match(stdout, wanted[i]!);
  });
}

test('has three examples of the library', () => assert.is(EXAMPLES.length, 3));

test.run();
