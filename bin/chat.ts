/** `firstlight chat`: a conversation in the terminal. */
import { BUILTIN } from '../loaders/named.ts';
import { defineCommand } from './arguments.ts';
import { historyPath, readHistory, writeHistory } from './chat/history.ts';
import { pipedQuestions, type Questions, terminalQuestions } from './chat/questions.ts';
import { runRepl } from './chat/repl.ts';
import { SETTINGS, SLASHES } from './chat/slash.ts';
import { loadTranscript } from './chat/transcript.ts';
import { ABOUT_MODEL, MODEL_FLAGS, withSession } from './model.ts';
import { print } from './output.ts';
import { samplingOptions } from './sampling.ts';
import { styled } from './screen.ts';
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
    const { system, load, quiet = false, 'when-full': whenFull } = values;
    const sampling = await samplingOptions(values);
    const template = await readTemplate(values.template);
    const saved = load === undefined ? undefined : await loadTranscript(load);
    const settings = Object.fromEntries(Object.entries(values).filter(([name]) => Object.hasOwn(SETTINGS, name)));
    const { questions, save } = await openQuestions();
    let messages = saved?.messages;
    try {
      for (let model: string | undefined = wanted; model !== undefined; ) {
        const name: string = model;
        model = undefined;
        await withSession(name, values, signal, async (session) => {
          if (process.stdin.isTTY && !quiet) print(`${styled(process.stdout, 'dim', 'type /help for commands')}\n`);
          const next = await runRepl(session, {
            model: name,
            questions,
            settings,
            sampling,
            chat: { system, messages, template: templateFor(session.model, template), whenFull },
            quiet,
            signal,
          });
          if (next !== 'exit') model = next.reload;
        });
        messages = undefined;
      }
    } finally {
      questions.close();
      await save();
    }
  },
});

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
