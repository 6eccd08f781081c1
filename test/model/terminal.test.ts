/** `firstlight chat` in a terminal: answers, interruption, commands, a window that shrinks, and pipes. */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { deviceTests, skipUnless, testAdapter } from '../device.ts';
import { temporaryFolder } from '../pure/temporary-folder.ts';
import { runCli } from '../run-cli.ts';
import { smallChatModel } from '../small-chat.ts';
import { hasTmux, openTerminal, type Terminal } from '../tmux.ts';

const test = suite('terminal');
const writeFolder = temporaryFolder(test);
const check = await deviceTests(test);

const root = fileURLToPath(new URL('../..', import.meta.url));
const ADAPTER = testAdapter === undefined ? [] : ['--adapter', testAdapter];

async function chatFolder(): Promise<string> {
  const folder = await writeFolder('chat', new Map([['model.gguf', smallChatModel()]]));
  mkdirSync(join(folder, 'a b'), { recursive: true });
  return folder;
}

/** Runs `firstlight chat` on the small model in a terminal. */
async function withChat(
  options: readonly string[],
  size: readonly [columns: number, rows: number],
  work: (terminal: Terminal, folder: string) => Promise<void>,
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  const folder = await chatFolder();
  const args = ['bin/firstlight.ts', 'chat', join(folder, 'model.gguf'), ...ADAPTER, '--temp', '0', ...options];
  const command = `cd '${root}' && '${process.execPath}' --import tsx ${args.map((arg) => `'${arg}'`).join(' ')}`;
  const terminal = openTerminal(command, ...size, { XDG_STATE_HOME: folder, ...env });
  try {
    await terminal.waitFor(/^>>>$/m);
    await work(terminal, folder);
  } finally {
    terminal.close();
  }
}

const say = (terminal: Terminal, line: string) => {
  terminal.type(line);
  terminal.keys('Enter');
};

const checkTmux = skipUnless('terminal', 'no tmux', test, check);

checkTmux(hasTmux, 'a conversation: answers, commands, history, leaving', async () => {
  await withChat(['-n', '6', '--system', 'be kind'], [80, 25], async (terminal, folder) => {
    say(terminal, 'hello');
    const first = await terminal.waitFor(/\[[\d.]+ tok\/s \| context \d+\/512 \|.*\]\n>>>$/);
    assert.match(first, /\(cut: \/set tokens allows more\)/);
    say(terminal, '/set tokens 3');
    await terminal.waitFor(/^tokens 3\n>>>$/m);
    say(terminal, '"""');
    await terminal.waitFor(/^\.\.\.$/m);
    say(terminal, 'two lines');
    say(terminal, '"""');
    await terminal.waitFor(/\| context \d+\/512 \|.*\]\n>>>$/);
    const saved = join(folder, 'a b', 'saved.json');
    say(terminal, `/save ${saved}`);
    await terminal.waitFor(/saved\.json has 5 messages/);
    const { messages } = JSON.parse(readFileSync(saved, 'utf8'));
    assert.equal(
      messages.map(({ role }: { role: string }) => role),
      ['system', 'user', 'assistant', 'user', 'assistant'],
    );
    assert.is(messages[3].content, 'two lines');
    terminal.keys('C-l');
    say(terminal, '/undo');
    await terminal.waitFor(/are taken back\n>>>$/);
    say(terminal, '/regen');
    await terminal.waitFor(/tok.*\]\n>>>$/);
    say(terminal, '/reset');
    await terminal.waitFor(/^a new conversation\n>>>$/m);
    say(terminal, `/load ${saved}`);
    await terminal.waitFor(/goes on with 5 messages\n>>>$/);
    say(terminal, '/wrong');
    await terminal.waitFor(/unknown command \/wrong: \/help lists all\n>>>$/);
    say(terminal, '/reload');
    await terminal.waitFor(/weights [\s\S]*\n>>>$/);
    say(terminal, '/context');
    const told = await terminal.waitFor(/ \d+ of 512 tokens; 5 messages\n>>>$/);
    assert.ok(Number(told.match(/ (\d+) of 512/)?.[1]) > 20, 'of the conversation, whether it has been read or not');
    say(terminal, '/reload none.gguf');
    await terminal.waitFor(/does not exist[\s\S]*\n>>>$/);
    terminal.keys('Up');
    await terminal.waitFor(/^>>> \/reload none\.gguf$/m);
    terminal.keys('C-c');
    await terminal.waitFor(/\^C\n>>>$/);
    say(terminal, '/exit');
    assert.is(await terminal.exitCode(), 0);
    assert.match(readFileSync(join(folder, 'firstlight', 'history'), 'utf8'), /^hello\n\/set tokens 3\n/);
  });
});

checkTmux(hasTmux, 'Ctrl-C stops an answer, and twice leaves; what was typed meanwhile is kept', async () => {
  await withChat(['--ignore-eos', '--ctx', '500'], [80, 25], async (terminal) => {
    say(terminal, 'hello');
    await terminal.waitFor(/>>> hello\n(?!reading)\S/);
    terminal.type('later');
    terminal.keys('C-c');
    const stopped = await terminal.waitFor(/\| context (\d+)\/500 [\s\S]*\n>>>$/);
    assert.ok(Number(stopped.match(/context (\d+)\/500/)?.[1]) < 499, stopped);
    say(terminal, '/set tokens 8');
    await terminal.waitFor(/^tokens 8\n>>>$/m);
    say(terminal, 'short');
    terminal.type('kept');
    await terminal.waitFor(/\]\n>>> kept$/);
    terminal.keys('C-c');
    say(terminal, '/set tokens default');
    say(terminal, 'again');
    await terminal.waitFor(/>>> again\n(?!reading)\S/);
    terminal.keys('C-c');
    await terminal.waitFor(/\]\n>>>$/);
    say(terminal, 'once more');
    await terminal.waitFor(/>>> once more\n(?!reading)\S/);
    terminal.keys('C-c', 'C-c');
    // the second may come before the answer has stopped
    assert.ok([0, 130].includes(await terminal.exitCode()));
  });
});

checkTmux(hasTmux, 'narrow windows, wide characters, a window that changes its size, no colours', async () => {
  const env = { NO_COLOR: '1' };
  const work = async (terminal: Terminal) => {
    terminal.type('\u4e2d\u6587\u5b57\u7b26');
    await terminal.waitFor(/^>>> \u4e2d\u6587\u5b57\u7b26$/m);
    terminal.keys('BSpace', 'Left');
    terminal.type('x');
    await terminal.waitFor(/^>>> \u4e2d\u6587x\u5b57$|^>>> \u4e2dx\u6587$|^>>> \u4e2d\u6587x$/m);
    terminal.keys('Enter');
    await terminal.waitFor(/context \d+\/512/);
    for (const [columns, rows] of [
      [30, 12],
      [100, 30],
    ] as const) {
      terminal.resize(columns, rows);
      say(terminal, '/context');
      const screen = await terminal.waitFor(/messages\n>>>$|mes\n?sages\n>>>$|of 512 tokens[\s\S]*\n>>>$/);
      assert.ok(screen.split('\n').every((line) => line.length <= columns));
    }
    terminal.keys('C-d');
    assert.is(await terminal.exitCode(), 0);
    assert.not.match(terminal.all(), '\x1b[3');
  };
  await withChat(['-n', '5'], [40, 10], work, env);
});

check('from a pipe only answers go to stdout, one for each line', async () => {
  const model = join(await chatFolder(), 'model.gguf');
  const args = ['chat', model, '--temp', '0', '-n', '4', ...ADAPTER];
  const { code, stdout, stderr } = await runCli(args, { stdin: 'hello\n/set tokens 2\n/wrong\nbye' });
  assert.is(code, 0, stderr);
  assert.not.match(stdout, '>>>');
  assert.not.match(stdout, '\x1b');
  assert.match(stdout, /\ntokens 2\n/);
  assert.match(stderr, /unknown command \/wrong/);
  assert.is(stderr.match(/\| context \d+\/512/g)?.length, 2);
  const quiet = await runCli([...args, '-q'], { stdin: 'hello\n' });
  assert.not.match(quiet.stderr, /context \d+\/512|weights/);
  const none = await runCli(args, { stdin: '' });
  assert.equal([none.code, none.stdout], [0, '']);
  const kept = await writeFolder('kept', new Map());
  const [saved, session] = [join(kept, 'chat.json'), join(kept, 'chat.session')];
  await runCli([...args, '--session', session], { stdin: `hello\n/save ${saved}\n` });
  const later = await runCli([...args, '--session', session, '--load', saved], { stdin: 'again\n/stats\n' });
  assert.ok(Number(later.stdout.match(/of which (\d+) were in the cache/)?.[1]) > 5, later.stdout + later.stderr);
  const folder = await writeFolder('plain', new Map([['plain.gguf', smallChatModel('')]]));
  const plain = await runCli(['chat', join(folder, 'plain.gguf'), ...ADAPTER], { stdin: 'hello\n' });
  assert.is(plain.code, 1);
  assert.match(plain.stderr, /plain\.gguf has no chat template, .*: choose one with --template/);
});

check('run takes its prompt from a file, a system message, and makes documents of a schema', async () => {
  const folder = await chatFolder();
  const model = join(folder, 'model.gguf');
  const files = await writeFolder(
    'prompts',
    new Map([
      ['question.txt', 'what?\n'],
      ['schema.json', '{"enum":["yes","no"]}'],
      ['list.gbnf', 'root ::= [ab]{3} "."'],
    ]),
  );
  const counts: number[] = [];
  for (const more of [['hi'], ['hi', '--file', join(files, 'question.txt')], ['hi', '--system', 'be kind']]) {
    const { code, stdout, stderr } = await runCli(['run', model, ...more, '-n', '2', '--json', ...ADAPTER]);
    assert.is(code, 0, stderr);
    counts.push(JSON.parse(stdout).promptTokens);
  }
  assert.ok(counts[1]! > counts[0]! && counts[2]! > counts[0]!, counts.join());
  const answer = (...flags: string[]) => runCli(['run', model, 'hi', ...flags, '-q', ...ADAPTER]);
  assert.match((await answer('--json-schema', join(files, 'schema.json'))).stdout, /^"(yes|no)"\n$/);
  assert.match((await answer('--grammar', join(files, 'list.gbnf'))).stdout, /^[ab]{3}\.\n$/);
  const wrong = await answer('--json-schema', '{"type":"array","uniqueItems":true}');
  assert.match(wrong.stderr, /^firstlight: the JSON schema at \/: the keyword "uniqueItems" is not supported/m);
  assert.is(wrong.code, 1);
  assert.match((await answer('-f', join(files, 'none'))).stderr, /--file: .*none cannot be read/);
  assert.match((await answer('--raw', '--system', 'x')).stderr, /--raw has no system message/);
});

test.run();
