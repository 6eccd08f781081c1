/** Flags of a command as a table: the one source of what is accepted, of its types and of the help. */
import { parseArgs } from 'node:util';

interface FlagBase {
  readonly short?: string;
  /** For the help, with the default. */
  readonly about: string;
}

export type Flag =
  | (FlagBase & { readonly kind: 'switch' })
  | (FlagBase & { readonly kind: 'text'; readonly placeholder: string })
  /** May be given several times. */
  | (FlagBase & { readonly kind: 'texts'; readonly placeholder: string })
  | (FlagBase & { readonly kind: 'choice'; readonly choices: readonly string[] })
  /** `words` may stand for a number. */
  | (FlagBase & {
      readonly kind: 'number';
      readonly whole: boolean;
      readonly least: number;
      readonly most: number;
      readonly words?: readonly string[];
    })
  /** Bytes, given as 4GiB, 512MiB or a number. */
  | (FlagBase & { readonly kind: 'size' });

/** By long name. */
export type Flags = Readonly<Record<string, Flag>>;

type ValueOf<F extends Flag> = F extends { readonly kind: 'switch' }
  ? true
  : F extends { readonly kind: 'number' | 'size' }
    ? number | (F extends { readonly words: readonly (infer Word)[] } ? Word : never)
    : F extends { readonly kind: 'choice' }
      ? F['choices'][number]
      : F extends { readonly kind: 'texts' }
        ? readonly string[]
        : string;

/** What the command line gave for each flag; undefined where it is not there. */
export type Values<F extends Flags> = { readonly [Name in keyof F]?: ValueOf<F[Name]> | undefined };

export interface Command<F extends Flags = Flags> {
  /** `[MODEL]` may be left out, `TEXT` may not; of `[MODEL...]` there may be several. */
  readonly operands: readonly string[];
  /** For the help: what it does, one paragraph a string. */
  readonly about: readonly string[];
  readonly flags: F;
  /** `signal` aborts when the user interrupts, or nobody reads the output any more. */
  run(values: Values<F>, operands: readonly string[], signal: AbortSignal): Promise<void>;
}

/** Gives `run` the types of the flags in the table. */
export function defineCommand<const F extends Flags>(command: Command<F>): Command<F> {
  return command;
}

/** The command line is wrong: exit code 2. */
export class UsageError extends Error {}

const HELP: Flag = { kind: 'switch', short: 'h', about: 'this text' };

export interface Arguments<F extends Flags> {
  readonly help: boolean;
  readonly values: Values<F>;
  readonly operands: readonly string[];
}

/** Reads what follows the command's name. Throws UsageError. */
export function readArguments<F extends Flags>(command: Command<F>, args: readonly string[]): Arguments<F> {
  const flags: Flags = { ...command.flags, help: HELP };
  const options = Object.fromEntries(
    Object.entries(flags).map(([name, { kind, short }]) => [
      name,
      { type: kind === 'switch' ? ('boolean' as const) : ('string' as const), ...(short ? { short } : {}) },
    ]),
  );
  // not strict: its messages take several lines
  const { tokens } = parseArgs({ args: [...args], options, strict: false, allowPositionals: true, tokens: true });
  const values: Record<string, Value> = {};
  const operands: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional') operands.push(token.value);
    if (token.kind !== 'option') continue;
    const { name, rawName, value, inlineValue } = token;
    const flag = Object.hasOwn(flags, name) ? flags[name] : undefined;
    if (!flag) throw new UsageError(unknownOption(rawName, flags));
    // `--adapter --json`: the value was forgotten
    const given = value === undefined || (!inlineValue && value.startsWith('--')) ? undefined : value;
    const read = readValue(flag, rawName, given);
    const before = values[name];
    values[name] = Array.isArray(read) && Array.isArray(before) ? [...before, ...read] : read;
  }
  if (values.help) return { help: true, values: {}, operands };
  checkOperands(command.operands, operands);
  return { help: false, values: values as Values<F>, operands };
}

type Value = string | number | true | readonly string[];

function readValue(flag: Flag, rawName: string, value: string | undefined): Value {
  if (flag.kind === 'switch') {
    if (value !== undefined) throw new UsageError(`${rawName} takes no value`);
    return true;
  }
  if (value === undefined) throw new UsageError(`${rawName} needs a value: ${wanted(flag)}`);
  if (flag.kind === 'text') return value;
  if (flag.kind === 'texts') return [value];
  if (flag.kind === 'choice') {
    if (flag.choices.includes(value)) return value;
  } else if (flag.kind === 'size') {
    const bytes = readSize(value);
    if (bytes !== undefined) return bytes;
  } else if (flag.words?.includes(value)) {
    return value;
  } else {
    const number = value.trim() === '' ? Number.NaN : Number(value);
    if ((Number.isInteger(number) || (!flag.whole && Number.isFinite(number))) && isWithin(number, flag)) return number;
  }
  throw new UsageError(`${rawName} is ${JSON.stringify(value)}: it must be ${wanted(flag)}`);
}

const SIZES: Readonly<Record<string, number>> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

/** Bytes of `4GiB`, `1.5G` or `100000`; undefined for anything else. */
function readSize(text: string): number | undefined {
  const [, digits, unit = ''] = /^(\d+(?:\.\d+)?) ?(?:([KMGT])(?:i?B)?|B)?$/i.exec(text) ?? [];
  const bytes = Math.round(Number(digits) * (SIZES[unit.toUpperCase()] ?? Number.NaN));
  return Number.isSafeInteger(bytes) && bytes > 0 ? bytes : undefined;
}

function isWithin(number: number, { least, most }: { readonly least: number; readonly most: number }): boolean {
  return number >= least && number <= most;
}

function wanted(flag: Exclude<Flag, { kind: 'switch' }>): string {
  if (flag.kind === 'text' || flag.kind === 'texts') return flag.placeholder;
  if (flag.kind === 'choice') return `one of ${flag.choices.join(', ')}`;
  if (flag.kind === 'size') return 'a size such as 4GiB or 512MiB';
  const { whole, least, most, words = [] } = flag;
  const range = most === Number.POSITIVE_INFINITY ? `of at least ${least}` : `from ${least} to ${most}`;
  return [...words, `a ${whole ? 'whole ' : ''}number ${range}`].join(', ');
}

function unknownOption(rawName: string, flags: Flags): string {
  const name = rawName.replace(/^--?/, '');
  const close = rawName.startsWith('--') ? nearest(name, Object.keys(flags)) : undefined;
  const advice = close ? `did you mean --${close}?` : 'a text that begins with - goes behind --';
  return `unknown option ${rawName}: ${advice}`;
}

function checkOperands(wantedOperands: readonly string[], operands: readonly string[]): void {
  const needed = wantedOperands.filter((operand) => !operand.startsWith('['));
  const missing = needed[operands.length];
  if (missing) throw new UsageError(`${missing} is missing`);
  const extra = operands[wantedOperands.length];
  if (extra !== undefined && !wantedOperands.at(-1)?.endsWith('...]'))
    throw new UsageError(`one argument too many, ${JSON.stringify(extra)}: put a text of several words in quotes`);
}

/** The candidate that `word` is probably a slip of: at most two letters differ, and fewer than half. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const ranked = candidates
    .map((candidate) => ({ candidate, distance: editDistance(word, candidate) }))
    .sort((a, b) => a.distance - b.distance);
  const [best] = ranked;
  return best && best.distance <= Math.min(2, (best.candidate.length - 1) / 2) ? best.candidate : undefined;
}

/** Letters to add, drop, replace, or swap with their neighbour. */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 0; i < a.length; i++) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j++) {
      const swapped = i > 0 && j > 0 && a[i] === b[j - 1] && a[i - 1] === b[j];
      const steps = [row[j + 1]! + 1, next[j]! + 1, row[j]! + (a[i] === b[j] ? 0 : 1)];
      next.push(Math.min(...steps, swapped ? before[j - 1]! + 1 : Number.POSITIVE_INFINITY));
    }
    before = row;
    row = next;
  }
  return row[b.length]!;
}

/** Lines of arguments and what they do. */
export type Examples = readonly (readonly [args: string, about: string])[];

/** The help of one command. */
export function commandHelp(name: string, { operands, about, flags }: Command, examples: Examples = []): string {
  const rows = Object.entries({ ...flags, help: HELP }).map(([long, flag]) => {
    const value = placeholderOf(flag);
    return [`${flag.short ? `-${flag.short}, ` : '    '}--${long}${value && ` ${value}`}`, flag.about] as const;
  });
  return [
    `Usage: firstlight ${[name, ...operands].join(' ')} [options]`,
    ...about.map((paragraph) => `\n${wrap(paragraph, 0)}`),
    '\nOptions:',
    twoColumns(rows),
    ...(examples.length > 0 ? ['\nExamples:'] : []),
    ...examples.flatMap(([args, what]) => [`  firstlight ${name}${args && ` ${args}`}`, `      ${wrap(what, INDENT)}`]),
  ].join('\n');
}

function placeholderOf(flag: Flag): string {
  if (flag.kind === 'switch') return '';
  if (flag.kind === 'size') return 'SIZE';
  if (flag.kind === 'number') return ['N', ...(flag.words ?? [])].join('|');
  return flag.kind === 'choice' ? flag.choices.join('|') : flag.placeholder;
}

const HELP_WIDTH = 100;
const LEAST_COLUMN = 24;
const INDENT = 6;

/** Lines of a name and what it means. */
export function twoColumns(rows: readonly (readonly [name: string, about: string])[], columns = HELP_WIDTH): string {
  const width = Math.max(...rows.map(([name]) => name.length)) + 4;
  // beside each other where that leaves room for words
  if (columns - width < LEAST_COLUMN)
    return rows.map(([name, about]) => `  ${name}\n${' '.repeat(INDENT)}${wrap(about, INDENT, columns)}`).join('\n');
  return rows.map(([name, about]) => `  ${name.padEnd(width - 2)}${wrap(about, width, columns)}`).join('\n');
}

/** Breaks a text at spaces; all lines but the first are indented. */
export function wrap(text: string, indent: number, columns = HELP_WIDTH): string {
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = lines.at(-1)!;
    if (line === '') lines[lines.length - 1] = word;
    else if (indent + line.length + 1 + word.length <= columns) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word);
  }
  return lines.join(`\n${' '.repeat(indent)}`);
}
