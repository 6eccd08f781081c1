/** `firstlight completion`: scripts that let a shell complete commands, options and their values. */
import { type Command, defineCommand, type Flag, UsageError } from './arguments.ts';
import { print } from './output.ts';

const SHELLS = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof SHELLS)[number];

interface Known {
  readonly name: string;
  readonly summary: string;
  readonly command: Command;
}

type Entries = Readonly<Record<string, { readonly summary: string; load(): Promise<Command> }>>;

/** The command, which knows the others. */
export function createCompletion(commands: Entries): Command {
  return defineCommand({
    operands: ['SHELL'],
    about: [`Prints a script for SHELL, one of ${SHELLS.join(', ')}. Where it belongs: see the examples.`],
    flags: {},
    async run(_values, [shell = '']) {
      const isShell = (name: string): name is Shell => SHELLS.some((one) => one === name);
      if (!isShell(shell))
        throw new UsageError(`SHELL is ${JSON.stringify(shell)}: it must be one of ${SHELLS.join(', ')}`);
      const known: Known[] = [];
      for (const [name, { summary, load }] of Object.entries(commands))
        known.push({ name, summary, command: await load() });
      print({ bash: bashScript, zsh: zshScript, fish: fishScript }[shell](known));
    },
  });
}

const HELP: readonly (readonly [string, Flag])[] = [
  ['help', { kind: 'switch', short: 'h', about: 'options and examples' }],
];

const flagsOf = (command: Command) => [...Object.entries(command.flags), ...HELP];
const takesValue = (flag: Flag) => flag.kind !== 'switch';
/** What a flag does, without its conditions. */
const brief = (about: string) => about.split(/[;(]/)[0]!.trim();
/** What may stand for a value besides what the user knows. */
const wordsOf = (flag: Flag): readonly string[] =>
  flag.kind === 'choice' ? flag.choices : flag.kind === 'number' ? (flag.words ?? []) : [];
/** `firstlight help` has a topic that is no command. */
const topicsOf = (known: readonly Known[]) => [...known.map(({ name }) => name), 'formats'];

/** Words that a command takes first, besides files. */
function firstWords({ name, command }: Known): readonly string[] {
  if (name === 'completion') return SHELLS;
  return command.operands.some((operand) => operand.includes('MODEL')) ? ['builtin'] : [];
}

function bashScript(known: readonly Known[]): string {
  const cases = known.map((one) => {
    const flags = flagsOf(one.command);
    const names = flags.flatMap(([long, { short }]) => [`--${long}`, ...(short ? [`-${short}`] : [])]);
    const values = flags.filter(([, flag]) => takesValue(flag));
    const choices = values.flatMap(([long, flag]) => {
      const words = wordsOf(flag).join(' ');
      return words === '' ? [] : [`        --${long}) COMPREPLY=($(compgen -W '${words}' -- "$cur")); return ;;`];
    });
    const numbers = values
      .filter(([, flag]) => flag.kind === 'number' && wordsOf(flag).length === 0)
      .map(([long, { short }]) => `--${long}${short ? `|-${short}` : ''}`);
    return [
      `    ${one.name})`,
      '      case $prev in',
      ...choices,
      ...(numbers.length > 0 ? [`        ${numbers.join('|')}) return ;;`] : []),
      '      esac',
      `      if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W '${names.join(' ')}' -- "$cur")); return; fi`,
      `      COMPREPLY=($(compgen -W '${firstWords(one).join(' ')}' -- "$cur"; compgen -f -- "$cur")) ;;`,
    ].join('\n');
  });
  const names = known.map(({ name }) => name);
  return `# bash completion for firstlight
_firstlight() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]}
  COMPREPLY=()
  if (( COMP_CWORD == 1 )); then
    COMPREPLY=($(compgen -W '${[...names, 'help', '--help', '--version'].join(' ')}' -- "$cur"))
    return
  fi
  case \${COMP_WORDS[1]} in
    help) COMPREPLY=($(compgen -W '${topicsOf(known).join(' ')}' -- "$cur")) ;;
${cases.join('\n')}
  esac
}
complete -o filenames -F _firstlight firstlight
`;
}

function zshScript(known: readonly Known[]): string {
  /** Within a specification in quotes: the signs that it would end at, and the quote itself. */
  const quote = (text: string) => text.replaceAll(/[\\[\]:]/g, '\\$&').replaceAll("'", "'\\''");
  const cases = known.map((one) => {
    const specs = flagsOf(one.command).map(([long, flag]) => {
      const words = wordsOf(flag);
      const value =
        words.length > 0 ? `:value:(${words.join(' ')})` : flag.kind === 'number' ? ':number: ' : ':value:_files';
      const rest = `[${quote(brief(flag.about))}]${takesValue(flag) ? value : ''}`;
      const star = flag.kind === 'texts' ? '*' : '';
      return flag.short
        ? `'(-${flag.short} --${long})'{-${flag.short},--${long}}'${rest}'`
        : `'${star}--${long}${rest}'`;
    });
    const words = firstWords(one);
    specs.push(
      words.length > 0
        ? `'*:argument:{_alternative "words:word:(${words.join(' ')})" "files:file:_files"}'`
        : "'*:file:_files'",
    );
    return `        ${one.name}) _arguments ${specs.join(' \\\n          ')} ;;`;
  });
  const described = known.map(({ name, summary }) => `    '${name}:${quote(summary)}'`);
  return `#compdef firstlight
_firstlight() {
  local -a commands
  commands=(
${described.join('\n')}
    'help:options and examples of a command'
  )
  _arguments -C '1:command:->command' '*::argument:->argument'
  case $state in
    command) _describe command commands ;;
    argument)
      case $words[1] in
        help) _arguments '*:topic:(${topicsOf(known).join(' ')})' ;;
${cases.join('\n')}
      esac ;;
  esac
}
_firstlight "$@"
`;
}

function fishScript(known: readonly Known[]): string {
  const quote = (text: string) => `'${text.replaceAll(/['\\]/g, '\\$&')}'`;
  const names = known.map(({ name }) => name);
  const lines = [
    '# fish completion for firstlight',
    `set -l commands ${names.join(' ')} help`,
    'complete -c firstlight -n "not __fish_seen_subcommand_from $commands" -f',
    ...known.map(
      ({ name, summary }) =>
        `complete -c firstlight -n "not __fish_seen_subcommand_from $commands" -a ${name} -d ${quote(summary)}`,
    ),
    `complete -c firstlight -n "__fish_seen_subcommand_from help" -f -a ${quote(topicsOf(known).join(' '))}`,
  ];
  for (const one of known) {
    const here = `complete -c firstlight -n "__fish_seen_subcommand_from ${one.name}"`;
    const words = firstWords(one);
    if (words.length > 0) lines.push(`${here} -a ${quote(words.join(' '))}`);
    for (const [long, flag] of flagsOf(one.command)) {
      const short = flag.short ? ` -s ${flag.short}` : '';
      const words = wordsOf(flag);
      const value =
        words.length > 0
          ? ` -x -a ${quote(words.join(' '))}`
          : flag.kind === 'number'
            ? ' -x'
            : takesValue(flag)
              ? ' -r'
              : '';
      lines.push(`${here} -l ${long}${short}${value} -d ${quote(brief(flag.about))}`);
    }
  }
  return `${lines.join('\n')}\n`;
}
