/** `firstlight chat`: a conversation in the terminal. */
import { existsSync } from 'node:fs';
import type { ChatMessage } from '../engine/chat-template.ts';
import { BUILTIN } from '../loaders/named.ts';
import { FirstlightError } from '../quant/errors.ts';
import { defineCommand } from './arguments.ts';
import { historyPath, readHistory, writeHistory } from './chat/history.ts';
import { pipedQuestions, type Questions, terminalQuestions } from './chat/questions.ts';
import { runRepl } from './chat/repl.ts';
import { SETTINGS, type Settings, SLASHES } from './chat/slash.ts';
import { loadTranscript } from './chat/transcript.ts';
import { ABOUT_MODEL } from './model.ts';
import { MODEL_FLAGS } from './model-flags.ts';
import { print } from './output.ts';
import { samplingOptions } from './sampling.ts';
import { styled } from './screen.ts';
import { withSession } from './session.ts';
import { readTemplate, TEMPLATE_FLAG, templateFor } from './template.ts';

const PROMPT = '>>> ';
const HINT = '(Ctrl-C again leaves, as /exit does)';

export const chat = defineCommand({
  operands: ['[MODEL]'],
  about: [
    'Talks with a model that has a chat template. From a pipe, each line is a message, and only answers go to stdout.',
    ABOUT_MODEL,
    'In the conversation /help lists the commands; Ctrl-C stops an answer, twice it leaves.',
  ],
  flags: {
    system: { kind: 'text', placeholder: 'TEXT', about: 'system message: what the model should be like' },
    load: { kind: 'text', placeholder: 'FILE', about: 'goes on with a conversation that /save wrote' },
    session: {
      kind: 'text',
      placeholder: 'FILE',
      about: 'keep what has been read and made in FILE: with --load, a later chat does not read it again',
    },
    'when-full': {
      kind: 'choice',
      choices: ['drop', 'shift', 'stop'],
      about: 'at the end of the context: leave out the oldest turns, shift the text, or stop (default drop)',
    },
    ...SETTINGS,
    ...TEMPLATE_FLAG,
    ...MODEL_FLAGS,
    quiet: { kind: 'switch', short: 'q', about: 'no lines about placement and speed' },
  },
  async run(values, [wanted = BUILTIN], signal) {
    const { system, load, session: kept, quiet = false, 'when-full': whenFull } = values;
    const template = await readTemplate(values.template);
    const saved = load === undefined ? undefined : await loadTranscript(load);
    let settings: Settings = Object.fromEntries(
      Object.entries(values).filter(([name]) => Object.hasOwn(SETTINGS, name)),
    );
    let sampling = await samplingOptions(values);
    let isFirst = true; // of the models that are talked with
    let messages = withSystem(saved?.messages ?? [], system);
    const { questions, save } = await openQuestions();
    try {
      for (let model: string | undefined = wanted; model !== undefined; ) {
        const name: string = model;
        model = undefined;
        await withSession(name, values, signal, async (session) => {
          if (kept !== undefined && isFirst && existsSync(kept)) await session.restore(kept);
          isFirst = false;
          const chatTemplate = templateFor(session.model, template);
          if (chatTemplate === undefined)
            throw new FirstlightError(
              'bad-argument',
              `${name} has no chat template, so it was hardly made for conversations: choose one with --template, or let it ` +
                'go on with a text by "firstlight run"',
            );
          if (process.stdin.isTTY && !quiet) print(`${styled(process.stdout, 'dim', 'type /help for commands')}\n`);
          const left = await runRepl(session, {
            model: name,
            questions,
            settings,
            sampling,
            chat: { messages, template: chatTemplate, whenFull },
            quiet,
            signal,
          });
          ({ settings, sampling, messages } = left);
          if (left.next !== 'exit') model = left.next.reload;
          else if (kept !== undefined && session.history.length > 0) await session.save(kept);
        });
      }
    } finally {
      questions.close();
      await save();
    }
  },
});

/** The messages with another system message, if one is given. */
function withSystem(messages: readonly ChatMessage[], system: string | undefined): readonly ChatMessage[] {
  if (system === undefined) return messages;
  return [{ role: 'system', content: system }, ...messages.filter(({ role }) => role !== 'system')];
}

/** From the terminal, with the history of earlier chats, or from a pipe. */
async function openQuestions(): Promise<{ questions: Questions; save: () => Promise<void> }> {
  const { stdin, stdout } = process;
  if (!stdin.isTTY || !stdout.isTTY) return { questions: pipedQuestions(stdin), save: async () => {} };
  const path = historyPath();
  const history = await readHistory(path);
  const words = Object.keys(SLASHES).map((name) => `/${name}`);
  const questions = terminalQuestions({ input: stdin, output: stdout, history, prompt: PROMPT, words, hint: HINT });
  return { questions, save: () => writeHistory(path, history) };
}
