/** The table of flags: what it accepts, what it says of the rest, and that the help knows all of it. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { commandHelp, defineCommand, nearest, readArguments, UsageError } from '../../bin/arguments.ts';
import { COMMANDS } from '../../bin/commands.ts';

const COMMAND = defineCommand({
  operands: ['[MODEL]', 'TEXT'],
  about: ['Does something.'],
  flags: {
    tokens: { kind: 'number', short: 'n', whole: true, least: 1, most: 100, about: 'how many' },
    temp: { kind: 'number', whole: false, least: 0, most: Number.POSITIVE_INFINITY, about: 'how hot' },
    adapter: { kind: 'text', placeholder: 'NAME', about: 'where' },
    weights: { kind: 'choice', choices: ['f16', 'q4'], about: 'how small' },
    json: { kind: 'switch', about: 'for programs' },
    memory: { kind: 'size', about: 'how much' },
    ctx: { kind: 'number', whole: true, least: 1, most: 9, words: ['auto'], about: 'how far' },
    stop: { kind: 'texts', placeholder: 'TEXT', about: 'where to end' },
  },
  async run() {},
});

const test = suite('arguments');

test('are read by the table', () => {
  const args = ['a', '-n', '5', '--temp=0.5', '--adapter', 'x', '--weights', 'q4', '--json', 'b'];
  const { values, operands, help } = readArguments(COMMAND, args);
  assert.equal({ ...values }, { tokens: 5, temp: 0.5, adapter: 'x', weights: 'q4', json: true });
  assert.equal(operands, ['a', 'b']);
  assert.not.ok(help);
  assert.is(readArguments(COMMAND, ['a', '-n7']).values.tokens, 7);
  assert.is(readArguments(COMMAND, ['a', '-n', '1', '-n', '2']).values.tokens, 2, 'the last one counts');
  assert.equal(readArguments(COMMAND, ['--', '-n']).operands, ['-n']);
  assert.equal(readArguments(COMMAND, ['-']).operands, ['-']);
  assert.equal(readArguments(COMMAND, ['a', '--stop', 'x', '--stop=y']).values.stop, ['x', 'y']);
  assert.ok(readArguments(COMMAND, ['-h']).help && readArguments(COMMAND, ['a', 'b', 'c', '--help']).help);
});

test('sizes are bytes, with or without a unit', () => {
  const size = (text: string) => readArguments(COMMAND, ['a', '--memory', text]).values.memory;
  for (const text of ['4GiB', '4G', '4 gib', '4gb', '4096MiB', '4194304K', '4294967296', '4294967296B'])
    assert.is(size(text), 2 ** 32, text);
  assert.is(size('1.5M'), 1.5 * 2 ** 20);
});

test('a word may stand for a number', () => {
  assert.is(readArguments(COMMAND, ['a', '--ctx', 'auto']).values.ctx, 'auto');
  assert.is(readArguments(COMMAND, ['a', '--ctx', '7']).values.ctx, 7);
});

const WRONG: readonly (readonly [args: readonly string[], message: RegExp])[] = [
  [['a', '-n', '0'], /^-n is "0": it must be a whole number from 1 to 100$/],
  [['a', '-n', '101'], /whole number from 1 to 100/],
  [['a', '-n', '1.5'], /whole number/],
  [['a', '-n', ''], /^-n is "": it must be/],
  [['a', '--tokens', 'many'], /^--tokens is "many"/],
  [['a', '--temp', '-1'], /^--temp is "-1": it must be a number of at least 0$/],
  [['a', '--temp', 'Infinity'], /number of at least 0/],
  [['a', '--temp'], /^--temp needs a value/],
  [['a', '--adapter', '--json'], /^--adapter needs a value: NAME/],
  [['a', '--stop'], /^--stop needs a value: TEXT$/],
  [['a', '--memory', '4 apples'], /^--memory is "4 apples": it must be a size such as 4GiB or 512MiB$/],
  [['a', '--memory', '0'], /a size such as/],
  [['a', '--memory', 'G'], /a size such as/],
  [['a', '--ctx', 'large'], /^--ctx is "large": it must be auto, a whole number from 1 to 9$/],
  [['a', '--json=1'], /^--json takes no value$/],
  [['a', '--weights', 'q5'], /one of f16, q4$/],
  [['a', '--wieghts', 'q4'], /^unknown option --wieghts: did you mean --weights\?$/],
  [['a', '--constructor'], /^unknown option --constructor: a text that begins with - goes behind --$/],
  [['-5 + 3'], /^unknown option -5: a text that begins with -/],
  [[], /^TEXT is missing$/],
  [['a', 'b', 'c'], /^one argument too many, "c"/],
];
for (const [args, message] of WRONG) {
  test(`are refused: ${JSON.stringify(args)}`, () => {
    try {
      readArguments(COMMAND, args);
    } catch (error) {
      assert.instance(error, UsageError);
      assert.match((error as Error).message, message);
      return;
    }
    assert.unreachable('no error');
  });
}

test('a slip is guessed, another word is not', () => {
  const names = ['run', 'tokenize', 'logits', 'plan', 'devices'];
  const slips = { rnu: 'run', ru: 'run', tokenise: 'tokenize', device: 'devices', logit: 'logits', plna: 'plan' };
  for (const [slip, name] of Object.entries(slips)) assert.is(nearest(slip, names), name);
  for (const other of ['', 'x', 'serve', 'on', 'chat']) assert.is(nearest(other, names), undefined, other);
});

for (const [name, { load }] of Object.entries(COMMANDS)) {
  test(`the help of ${name} names every flag and what it takes, in lines of at most 100 characters`, async () => {
    const command = await load();
    const help = commandHelp(name, command);
    assert.match(help, `Usage: firstlight ${[name, ...command.operands].join(' ')}`);
    for (const [long, flag] of Object.entries(command.flags)) {
      assert.match(help, new RegExp(`^ +(-\\w, )?--${long}\\b`, 'm'));
      assert.match(help.replace(/\s+/g, ' '), flag.about, `what --${long} is about`);
    }
    for (const line of help.split('\n')) assert.ok(line.length <= 100, line);
  });
}

test.run();
