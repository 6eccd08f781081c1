#!/usr/bin/env node
/**
 * The command line. Exit codes: 0 done, 1 something is in the way (one line on stderr says what), 2 the command line is
 * wrong, 130 interrupted. FIRSTLIGHT_DEBUG=1 adds where an error comes from.
 */
import { readFileSync } from 'node:fs';
import { commandHelp, nearest, readArguments, twoColumns, UsageError } from './arguments.ts';
import { COMMANDS } from './commands.ts';
import { note, print } from './output.ts';

const INTERRUPTED = 130;

async function main(args: readonly string[], signal: AbortSignal): Promise<void> {
  const [name = '--help', ...rest] = args;
  if (name === '--version' || name === '-V') return print(`${version()}\n`);
  if (name === '--help' || name === '-h') return print(`${overview()}\n`);
  if (name === 'help') return help(rest[0], signal);
  const entry = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (!entry) throw new UsageError(unknownCommand(name));
  const command = await entry.load();
  try {
    const { help, values, operands } = readArguments(command, rest);
    if (help) return print(`${commandHelp(name, command, entry.examples)}\n`);
    await command.run(values, operands, signal);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(`${error.message} (firstlight ${name} --help)`, { cause: error });
  }
}

async function help(topic: string | undefined, signal: AbortSignal): Promise<void> {
  if (topic === undefined) return print(`${overview()}\n`);
  if (topic === 'formats') return print(`${(await import('./formats.ts')).formatsHelp()}\n`);
  return main([topic, '--help'], signal);
}

function unknownCommand(name: string): string {
  if (name.startsWith('-')) return `unknown option ${name} (firstlight --help)`;
  const close = nearest(name, Object.keys(COMMANDS));
  const advice = close ? `did you mean "firstlight ${close}"?` : 'to run a model use "firstlight run"';
  return `unknown command ${JSON.stringify(name)}: ${advice} (firstlight --help)`;
}

function version(): string {
  const { version } = JSON.parse(readFileSync(new URL(import.meta.resolve('firstlight/package.json')), 'utf8'));
  return version;
}

function overview(): string {
  const commands = Object.entries(COMMANDS).map(([name, { summary }]) => [name, summary] as const);
  return [
    'firstlight: language models on any Vulkan GPU',
    '\nUsage: firstlight COMMAND [arguments] [options]',
    '\nCommands:',
    twoColumns(commands),
    '\nOptions:',
    twoColumns([
      ['-h, --help', 'this text; behind a command, its options and examples, as does "firstlight help COMMAND"'],
      ['-V, --version', 'the version'],
      ['help formats', 'the types of weights that run, and what they become on the GPU'],
    ]),
    '\nTry: firstlight run',
  ].join('\n');
}

/** Prints why it ends and returns the exit code. */
function report(error: unknown): number {
  note(`firstlight: ${error instanceof Error ? error.message : String(error)}`);
  if (process.env.FIRSTLIGHT_DEBUG) process.stderr.write(`${error instanceof Error ? error.stack : ''}\n`);
  return error instanceof UsageError ? 2 : 1;
}

const stop = new AbortController();
/** What ended the work from outside, as an exit code. */
let stoppedBy: number | undefined;
const end = (exitCode: number) => {
  stoppedBy ??= exitCode;
  stop.abort();
};
// once: a second Ctrl-C ends the process at once, whatever it waits for
process.once('SIGINT', () => end(INTERRUPTED));
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (stoppedBy !== undefined) return; // said already
  // `| head` has seen enough; a full disk is another matter
  end(error.code === 'EPIPE' ? 0 : report(new Error(`standard output cannot be written: ${error.message}`)));
});
process.stderr.on('error', () => {}); // nobody is left to tell

try {
  await main(process.argv.slice(2), stop.signal);
} catch (error) {
  if (stoppedBy === undefined) process.exitCode = report(error);
}
process.exitCode ??= stoppedBy;
