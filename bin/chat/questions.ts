/** Reads what the user says: from a terminal with a line editor, or line by line from a pipe. */
import { createInterface, type Interface } from 'node:readline';
import { withoutControls } from '../screen.ts';

export interface Questions {
  /**
   * The next message, of several lines when it is in """ or its lines end with \\; undefined when the user leaves.
   *
   * @param interrupted the user has just pressed Ctrl-C: once more is enough to leave
   */
  ask(interrupted: boolean): Promise<string | undefined>;
  /** Calls `onInterrupt` at each Ctrl-C while something is done. What is typed meanwhile stands in the next question. */
  during<T>(work: () => Promise<T>, onInterrupt: () => void): Promise<T>;
  close(): void;
}

export interface TerminalOptions {
  readonly input: NodeJS.ReadStream;
  readonly output: NodeJS.WriteStream;
  /** Lines, the newest first; new ones are put in front. */
  readonly history: string[];
  readonly prompt: string;
  /** Words that Tab completes. */
  readonly words: readonly string[];
  /** Says how to leave, in a line of its own. */
  readonly hint: string;
}

const CONTINUED = '... ';
const QUOTES = '"""';
const CTRL_C = '\x03';
const ESCAPE = '\x1b';
/** Terminals put these around what is pasted when they are asked to. */
const [PASTE_ON, PASTE_OFF] = ['\x1b[?2004h', '\x1b[?2004l'];
const MOST_HISTORY = 1000;

/** Joins lines to messages. */
export function createMessageReader() {
  let lines: string[] = [];
  let quoted = false;
  return {
    get isOpen() {
      return lines.length > 0;
    },
    clear() {
      lines = [];
      quoted = false;
    },
    /** A line more; answers the message that it ends. `more`: others follow at once, as in what is pasted. */
    push(line: string, more = false): string | undefined {
      let text = line;
      if (lines.length === 0 && line.trimStart().startsWith(QUOTES)) {
        quoted = true;
        text = line.trimStart().slice(QUOTES.length);
      }
      const closes = quoted && text.trimEnd().endsWith(QUOTES);
      if (closes) text = text.trimEnd().slice(0, -QUOTES.length);
      const continues = !quoted && text.endsWith('\\');
      lines.push(continues ? text.slice(0, -1) : text);
      if ((quoted && !closes) || continues || more) return undefined;
      const message = lines.join('\n');
      const isQuoted = quoted;
      this.clear();
      // quotes in lines of their own
      return isQuoted ? message.replace(/^\n/, '').replace(/\n$/, '') : message;
    },
    /** What there is when nothing more comes. */
    end(): string | undefined {
      const rest = lines.length > 0 ? lines.join('\n') : undefined;
      this.clear();
      return rest;
    },
  };
}

/** Questions from a terminal. */
export function terminalQuestions({ input, output, history, prompt, words, hint }: TerminalOptions): Questions {
  let typedAhead = '';

  return {
    ask(interrupted) {
      const reader = createMessageReader();
      let leaving = interrupted;
      let pasting = false;
      const lines = createInterface({
        input,
        output,
        terminal: true,
        history: [...history],
        historySize: MOST_HISTORY,
        removeHistoryDuplicates: true,
        prompt,
        // a tab that is pasted stays a tab
        completer: (line: string) => [pasting ? [`${line}\t`] : words.filter((word) => word.startsWith(line)), line],
      });
      // Without it, of keys that arrive together Node's editor adds letters to the line's end, wherever the cursor is.
      Object.defineProperty(lines, 'isCompletionEnabled', { get: () => true, set: () => {} });
      let ended = false;
      const onKey = (text: string | undefined, key: { readonly name?: string }) => {
        // what came together with the line's end
        if (ended) typedAhead += text === '\r' ? '' : withoutControls(text ?? '');
        if (key.name === 'paste-start') pasting = true;
        if (key.name === 'paste-end') pasting = false;
      };
      input.on('keypress', onKey);
      output.write(PASTE_ON);
      const show = () => {
        lines.setPrompt(reader.isOpen ? CONTINUED : prompt);
        lines.prompt();
      };
      return new Promise((resolve) => {
        const end = (message: string | undefined) => {
          if (ended) return; // closing the editor says so again
          ended = true;
          process.nextTick(() => input.off('keypress', onKey));
          output.write(PASTE_OFF);
          history.splice(0, history.length, ...(lines as Interface & { readonly history: string[] }).history);
          lines.close();
          resolve(message);
        };
        lines.on('line', (line) => {
          leaving = false;
          const message = reader.push(line, pasting);
          if (message === undefined) show();
          else end(message);
        });
        lines.on('SIGINT', () => {
          const isEmpty = lines.line === '' && !reader.isOpen;
          if (isEmpty && leaving) {
            output.write('\n');
            return end(undefined);
          }
          leaving = isEmpty;
          output.write(isEmpty ? `\n${hint}\n` : '^C\n');
          reader.clear();
          lines.write(null, { ctrl: true, name: 'e' });
          lines.write(null, { ctrl: true, name: 'u' });
          show();
        });
        lines.on('close', () => {
          if (!ended) output.write('\n');
          end(undefined);
        });
        show();
        const typed = typedAhead;
        typedAhead = '';
        if (typed !== '') lines.write(typed);
      });
    },

    async during(work, onInterrupt) {
      const onData = (data: Buffer) => {
        const text = data.toString('utf8');
        if (text.includes(CTRL_C)) {
          typedAhead = '';
          for (const sign of text) if (sign === CTRL_C) onInterrupt();
        } else if (!text.startsWith(ESCAPE)) typedAhead += withoutControls(text); // letters, no keys that move
      };
      input.setRawMode(true);
      input.on('data', onData);
      input.resume();
      try {
        return await work();
      } finally {
        input.off('data', onData);
        input.pause();
        input.setRawMode(false);
      }
    },

    close: () => input.pause(),
  };
}

/** Questions from a pipe or a file: a message a line. */
export function pipedQuestions(input: NodeJS.ReadableStream): Questions {
  const reader = createMessageReader();
  const lines = createInterface({ input, terminal: false });
  const stream = lines[Symbol.asyncIterator]();
  return {
    async ask() {
      for (;;) {
        const { value, done } = await stream.next();
        if (done) return reader.end();
        const message = reader.push(value);
        if (message !== undefined) return message;
      }
    },
    during: (work) => work(),
    close: () => lines.close(),
  };
}
