/** What the user can say to the program instead of the model: lines that begin with /. */
import type { Chat } from '../../engine/chat.ts';
import type { ChatMessage } from '../../engine/chat-template.ts';
import type { TextOptions } from '../../engine/generate-text.ts';
import { FirstlightError } from '../../quant/errors.ts';
import { nearest, readArguments, twoColumns, UsageError, type Values } from '../arguments.ts';
import { SAMPLING_FLAGS, samplingOptions } from '../sampling.ts';
import { columnsOf } from '../screen.ts';
import { loadTranscript, saveTranscript } from './transcript.ts';

/** What /set knows: the flags of sampling. */
export const SETTINGS = {
  tokens: {
    kind: 'number',
    short: 'n',
    whole: true,
    least: 1,
    most: 2 ** 31 - 1,
    about: 'most tokens of an answer (default no limit)',
  },
  ...SAMPLING_FLAGS,
} as const;

export type Settings = Values<typeof SETTINGS>;

/** A chat as it goes on. */
export interface Talk {
  readonly chat: Chat;
  /** For messages and files: what the user called the model. */
  readonly model: string;
  settings: Settings;
  /** What the settings mean. */
  options: TextOptions;
  readonly print: (text: string) => void;
  /** Lines about speed, device and memory. */
  describe(): Promise<string>;
  /** Lets the model answer the last message anew. */
  regenerate(): Promise<void>;
  /** Throws for what is no model. */
  checkModel(name: string): Promise<void>;
}

/** What the program does next. */
export type Next = 'go on' | 'exit' | { readonly reload: string };

interface Slash {
  readonly args: string;
  readonly about: string;
  run(talk: Talk, args: string): Promise<Next | undefined> | Next | undefined;
}

const isSystem = ({ role }: ChatMessage) => role === 'system' || role === 'developer';

export const SLASHES: Readonly<Record<string, Slash>> = {
  help: {
    args: '',
    about: 'this list',
    run: ({ print }) => print(`${slashHelp(columnsOf(process.stdout))}\n`) as undefined,
  },
  exit: { args: '', about: 'leaves; so do Ctrl-D and Ctrl-C twice', run: () => 'exit' },
  stats: {
    args: '',
    about: 'speed of the last answer, device and memory',
    async run({ print, describe }) {
      print(`${await describe()}\n`);
      return undefined;
    },
  },
  reset: {
    args: '',
    about: 'begins a new conversation',
    run({ chat, print }) {
      chat.resetChat({ system: chat.messages.find(isSystem)?.content ?? undefined });
      print('a new conversation\n');
      return undefined;
    },
  },
  reload: {
    args: '[MODEL]',
    about: 'goes on with the model loaded anew, or with another one',
    async run({ checkModel, model }, name) {
      await checkModel(name || model);
      return { reload: name || model };
    },
  },
  system: {
    args: '[TEXT|off]',
    about: 'shows the system message, or gives another one',
    run({ chat, print }, text) {
      const [first] = chat.messages;
      const present = first && isSystem(first) ? first.content : undefined;
      if (text === '') print(`${present ?? 'no system message'}\n`);
      else {
        const messages = chat.messages.filter((message) => !isSystem(message));
        const system: ChatMessage[] = text === 'off' ? [] : [{ role: 'system', content: text }];
        chat.resetChat({ system: undefined, messages: [...system, ...messages] });
        print(text === 'off' ? 'no system message any more\n' : 'the system message is another one\n');
      }
      return undefined;
    },
  },
  regen: {
    args: '',
    about: 'answers the last question anew',
    async run({ regenerate }) {
      await regenerate();
      return undefined;
    },
  },
  undo: {
    args: '',
    about: 'takes the last question and its answer back',
    run({ chat, print }) {
      print(chat.undo() ? 'the last question and its answer are taken back\n' : 'there is nothing to take back\n');
      return undefined;
    },
  },
  save: {
    args: 'FILE',
    about: 'writes the conversation to a file',
    async run({ chat, model, print }, path) {
      await saveTranscript(needed(path, '/save FILE'), { model, messages: chat.messages });
      print(`${path} has ${countMessages(chat.messages)}\n`);
      return undefined;
    },
  },
  load: {
    args: 'FILE',
    about: 'goes on with a conversation from a file',
    async run({ chat, model, print }, path) {
      const saved = await loadTranscript(needed(path, '/load FILE'));
      chat.resetChat({ system: undefined, messages: saved.messages });
      const other = saved.model === model ? '' : `, which was with ${saved.model}`;
      print(`goes on with ${countMessages(saved.messages)}${other}\n`);
      return undefined;
    },
  },
  set: {
    args: '[NAME [VALUE]]',
    about: 'shows or changes how answers are made, e.g. /set temp 0.7; VALUE default takes it back',
    async run(talk, args) {
      const [, name = '', value = ''] = args.match(/^(\S*)\s*([\s\S]*)$/) ?? [];
      if (name === '') talk.print(`${describeSettings(talk.settings)}\n`);
      else if (!Object.hasOwn(SETTINGS, name)) throw new UsageError(unknownSetting(name));
      else if (value === '' && SETTINGS[name as keyof Settings].kind !== 'switch')
        talk.print(`${name} ${showSetting(talk.settings, name as keyof Settings)}\n`);
      else {
        const settings = changeSetting(talk.settings, name as keyof Settings, value);
        talk.options = optionsOf(settings, await samplingOptions(settings));
        talk.settings = settings;
        talk.print(`${name} ${showSetting(settings, name as keyof Settings)}\n`);
      }
      return undefined;
    },
  },
  context: {
    args: '',
    about: 'how full the context is',
    async run({ chat, print }) {
      const { session, messages, dropped } = chat;
      const used = await chat.countTokens();
      const width = 40;
      const full = Math.min(width, Math.round((width * used) / session.context));
      const bar = '#'.repeat(full).padEnd(width, '.');
      const gone = dropped > 0 ? `, ${dropped} of them no longer read` : '';
      print(`[${bar}] ${used} of ${session.context} tokens; ${countMessages(messages)}${gone}\n`);
      return undefined;
    },
  },
};

function countMessages({ length }: readonly ChatMessage[]): string {
  return length === 1 ? '1 message' : `${length} messages`;
}

/** The commands with their arguments, in two columns. */
export function slashHelp(columns: number): string {
  const rows = Object.entries(SLASHES).map(([name, { args, about }]) => [`/${name} ${args}`.trimEnd(), about] as const);
  const more = [
    ['"""', "begins and ends a message of several lines; a \\ at a line's end goes on, too"],
    ['//...', 'a message that begins with /'],
    ['Ctrl-C', 'stops an answer; twice leaves'],
  ] as const;
  return twoColumns([...rows, ...more], columns);
}

/** Does what a line says. Throws UsageError for what it does not understand. */
export async function runSlash(talk: Talk, line: string): Promise<Next> {
  const [, name = '', args = ''] = line.match(/^\/(\S*)\s*([\s\S]*)$/) ?? [];
  const known: Readonly<Record<string, Slash>> = {
    ...SLASHES,
    bye: SLASHES.exit!,
    quit: SLASHES.exit!,
    '?': SLASHES.help!,
  };
  const slash = Object.hasOwn(known, name) ? known[name] : undefined;
  if (!slash) {
    const close = nearest(name, Object.keys(SLASHES));
    throw new UsageError(`unknown command /${name}: ${close ? `did you mean /${close}?` : '/help lists all'}`);
  }
  return (await slash.run(talk, args.trim())) ?? 'go on';
}

/** The settings as options of the engine. */
export function optionsOf(settings: Settings, sampling: TextOptions): TextOptions {
  return { ...sampling, maxTokens: settings.tokens };
}

function needed(path: string, form: string): string {
  if (path === '') throw new UsageError(`a file is missing: ${form}`);
  return path;
}

function unknownSetting(name: string): string {
  const close = nearest(name, Object.keys(SETTINGS));
  return `unknown setting ${name}: ${close ? `did you mean ${close}?` : '/set lists all'}`;
}

function changeSetting(settings: Settings, name: keyof Settings, value: string): Settings {
  const { [name]: _, ...others } = settings;
  if (value === 'default' || value === 'off') return others;
  const { kind } = SETTINGS[name];
  if (kind === 'switch' && value !== '' && value !== 'on')
    throw new FirstlightError('bad-argument', `${name} is on or off, not ${JSON.stringify(value)}`);
  const args = kind === 'switch' ? [`--${name}`] : [`--${name}=${value}`];
  const values = readSetting(args);
  const before = kind === 'texts' ? settings[name] : undefined;
  return before === undefined
    ? { ...others, ...values }
    : { ...others, [name]: [...(before as readonly string[]), value] };
}

/** As a flag, but without its dashes in what is wrong. */
function readSetting(args: readonly string[]): Settings {
  try {
    return readArguments({ operands: [], about: [], flags: SETTINGS, run: async () => {} }, args).values;
  } catch (error) {
    throw new UsageError((error as Error).message.replace(/^--/, ''), { cause: error });
  }
}

function showSetting(settings: Settings, name: keyof Settings): string {
  const value = settings[name];
  if (value === undefined) return 'default';
  return value === true
    ? 'on'
    : Array.isArray(value)
      ? value.map((one) => JSON.stringify(one)).join(' ')
      : String(value);
}

function describeSettings(settings: Settings): string {
  return twoColumns(
    Object.entries(SETTINGS).map(([name, { about }]) => {
      const value = settings[name as keyof Settings];
      return [
        value === undefined ? name : `${name} = ${showSetting(settings, name as keyof Settings)}`,
        about,
      ] as const;
    }),
  );
}
