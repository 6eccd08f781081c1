/** Every flag of every command: what it takes and refuses, that shells complete it, and that the examples of the help are right. */
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Command, commandHelp, type Flag, readArguments, UsageError } from '../../bin/arguments.ts';
import { COMMANDS } from '../../bin/commands.ts';
import { runCli } from '../run-cli.ts';
import { temporaryFolder } from './temporary-folder.ts';

const test = suite('flags');
const writeFolder = temporaryFolder(test);

const commands = new Map<string, Command>();
for (const [name, { load }] of Object.entries(COMMANDS)) commands.set(name, await load());

/** As many operands as a command needs. */
const needed = ({ operands }: Command) => operands.filter((operand) => !operand.startsWith('[')).map(() => 'x');

/** Texts that a flag takes with what they mean, and others that it does not. */
function samplesOf(flag: Flag): { good: readonly (readonly [string, unknown])[]; bad: readonly string[] } {
  if (flag.kind === 'switch') return { good: [], bad: [] };
  if (flag.kind === 'text')
    return {
      good: [
        ['some text', 'some text'],
        ['-x=1', '-x=1'],
      ],
      bad: [],
    };
  if (flag.kind === 'texts') return { good: [['one', ['one']]], bad: [] };
  if (flag.kind === 'choice')
    return { good: flag.choices.map((one) => [one, one] as const), bad: ['', 'no such choice'] };
  if (flag.kind === 'size')
    return {
      good: [
        ['4GiB', 2 ** 32],
        ['512MiB', 2 ** 29],
      ],
      bad: ['', '-1GiB', 'much'],
    };
  const { least, most, whole, words = [] } = flag;
  const step = whole ? 1 : 0.5;
  const bad = ['', 'many', 'NaN', String(least - step), ...(whole ? [String(least + 0.5)] : [])];
  const good: (readonly [string, unknown])[] = [least, ...(Number.isFinite(most) ? [most] : [least + 7 * step])].map(
    (value) => [String(value), value] as const,
  );
  for (const word of words) good.push([word, word]);
  return { good, bad: Number.isFinite(most) ? [...bad, String(most + step)] : bad };
}

for (const [name, command] of commands) {
  test(`${name}: each flag takes what it says, by its long and its short name, and nothing else`, () => {
    const rest = needed(command);
    const read = (...args: string[]) => readArguments(command, [...args, ...rest]).values as Record<string, unknown>;
    const refused = (message: RegExp, ...args: string[]) => {
      try {
        read(...args);
      } catch (error) {
        assert.instance(error, UsageError);
        assert.match((error as Error).message, message);
        return;
      }
      assert.unreachable(`${args.join(' ')} is taken`);
    };
    for (const [long, flag] of Object.entries(command.flags)) {
      const { good, bad } = samplesOf(flag);
      if (flag.kind === 'switch') {
        assert.is(read(`--${long}`)[long], true);
        refused(/takes no value/, `--${long}=1`);
        if (flag.short) assert.is(read(`-${flag.short}`)[long], true);
        continue;
      }
      for (const [text, value] of good) {
        assert.equal(read(`--${long}=${text}`)[long], value, `--${long}=${text}`);
        if (!text.startsWith('-')) {
          assert.equal(read(`--${long}`, text)[long], value);
          if (flag.short) assert.equal(read(`-${flag.short}`, text)[long], value);
        }
      }
      for (const text of bad) refused(/it must be|needs a value/, `--${long}=${text}`);
      refused(/needs a value/, ...[`--${long}`, '--help-me-not'].slice(0, 1), '--');
    }
  });

  test(`${name}: short names are single and its own, texts say what they do`, () => {
    const shorts = Object.values(command.flags).flatMap(({ short }) => (short ? [short] : []));
    assert.is(new Set([...shorts, 'h']).size, shorts.length + 1);
    for (const [long, { about }] of Object.entries(command.flags)) {
      assert.match(long, /^[a-z][a-z0-9-]+$/);
      assert.ok(about.length > 5 && !about.endsWith('.'), `--${long}: ${about}`);
    }
  });

  test(`${name}: the examples of its help are commands that it takes`, () => {
    const { examples } = COMMANDS[name]!;
    assert.ok(examples.length > 0);
    const help = commandHelp(name, command, examples);
    for (const [args] of examples) {
      assert.ok(help.includes(`\n  firstlight ${name}${args && ` ${args}`}\n`));
      const words = [...args.replace(/ > .*/, '').matchAll(/"([^"]*)"|(\S+)/g)].map(
        ([, quoted, bare]) => quoted ?? bare!,
      );
      assert.not.throws(() => readArguments(command, words), args);
    }
    for (const line of help.split('\n')) assert.ok(line.length <= 100, line);
  });
}

test('each flag is given in a test of what it does', () => {
  const folder = new URL('..', import.meta.url);
  const texts = (readdirSync(folder, { recursive: true }) as string[])
    .filter((name) => name.endsWith('.test.ts') && name !== 'pure/flags.test.ts')
    .map((name) => readFileSync(new URL(name, folder), 'utf8'));
  const all = [...commands.values()].flatMap(({ flags }) => Object.keys(flags));
  const untested = all.filter((long) => !texts.some((text) => new RegExp(`['"\`]--${long}[='"]`).test(text)));
  assert.equal([...new Set(untested)], []);
});

const has = (program: string) => spawnSync(program, ['--version']).status === 0;

test('bash completes commands, options, and values of options', async () => {
  const { code, stdout } = await runCli(['completion', 'bash']);
  assert.is(code, 0);
  const folder = await writeFolder(
    'bash',
    new Map([
      ['script', stdout],
      ['model.gguf', ''],
    ]),
  );
  const complete = (...words: string[]) => {
    const program = `source ./script; COMP_WORDS=(firstlight ${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length}; _firstlight; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return execFileSync('bash', ['--norc', '-c', program], { cwd: folder, encoding: 'utf8' })
      .split('\n')
      .filter(Boolean);
  };
  assert.equal(complete('per'), ['perplexity']);
  assert.equal(complete('').sort(), [...commands.keys(), 'help', '--help', '--version'].sort());
  for (const [name, { flags }] of commands) {
    const offered = complete(name, '-');
    for (const [long, { short }] of Object.entries(flags))
      assert.ok(offered.includes(`--${long}`) && (!short || offered.includes(`-${short}`)), `${name} --${long}`);
  }
  assert.equal(complete('run', '--kv', 'f'), ['f16', 'f32']);
  assert.equal(complete('run', 'm'), ['model.gguf']);
  assert.equal(complete('run', 'bui'), ['builtin']);
  assert.equal(complete('run', '--seed', ''), []);
  assert.equal(complete('run', '--ctx', 'l'), ['largest']);
  assert.equal(complete('help', 'doc'), ['doctor']);
  assert.equal(complete('help', 'form'), ['formats']);
  assert.equal(complete('completion', 'z'), ['zsh']);
});

for (const [shell, ...check] of [
  ['zsh', '-n'],
  ['fish', '--no-execute'],
] as const) {
  const checked = has(shell) ? test : test.skip;
  if (!has(shell)) console.log(`flags.test.ts: 1 test skipped, no ${shell}`);
  checked(`${shell} takes its script`, async () => {
    const { stdout } = await runCli(['completion', shell]);
    const folder = await writeFolder(shell, new Map());
    writeFileSync(join(folder, 'script'), stdout);
    const { status, stderr } = spawnSync(shell, [...check, 'script'], { cwd: folder, encoding: 'utf8' });
    assert.is(status, 0, stderr);
    for (const name of commands.keys()) assert.match(stdout, new RegExp(`\\b${name}\\b`));
    if (shell !== 'fish') return;
    const offered = (line: string) =>
      execFileSync('fish', ['-c', `source script; complete -C '${line}'`], { cwd: folder, encoding: 'utf8' });
    assert.match(offered('firstlight tok'), "tokenize\tshow a text as a model's tokens\n");
    assert.match(offered('firstlight run --adap'), '--adapter\tGPU to use: part of its name');
    assert.match(offered('firstlight run --ctx '), /^auto\t.*\nlargest\t/);
  });
}

/** The modules that come with one before anything runs. */
function loadedWith(first: string): string[] {
  const root = new URL('../../', import.meta.url);
  const loaded = new Set<string>();
  const visit = (file: string) => {
    if (loaded.has(file)) return;
    loaded.add(file);
    const text = readFileSync(new URL(file, root), 'utf8');
    for (const [, path] of text.matchAll(/^(?:import|export) (?!type)[^;]*?from '(\.[^']+)';/gms))
      visit(new URL(path!, new URL(file, root)).href.slice(root.href.length));
  };
  visit(first);
  return [...loaded];
}

test('what every command loads at its start is little', () => {
  const loaded = loadedWith('bin/firstlight.ts');
  assert.ok(
    loaded.every((file) => file.startsWith('bin/')),
    loaded.join(),
  );
  assert.ok(loaded.length <= 6, loaded.join());
});

test('commands load no engine without a model, and nothing of a GPU without one', () => {
  const without = {
    devices: /^(engine|loaders)\//,
    list: /^(engine|devices|shaders)\//,
    pull: /^(engine|devices|shaders)\//,
    rm: /^(engine|devices|shaders)\//,
    convert: /^(devices|shaders)\//,
    tokenize: /^(devices|shaders)\//,
  };
  for (const [name, unwanted] of Object.entries(without))
    assert.equal(
      loadedWith(`bin/${name}.ts`).filter((file) => unwanted.test(file)),
      [],
      name,
    );
});

test('another shell is refused', async () => {
  const { code, stderr } = await runCli(['completion', 'csh']);
  assert.is(code, 2);
  assert.match(stderr, /SHELL is "csh": it must be one of bash, zsh, fish/);
});

test.run();
