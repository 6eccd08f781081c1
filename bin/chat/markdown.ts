/**
 * Markdown for a terminal, as it arrives: lines are broken at words, code stays as it is, headings, bold text and code have
 * styles. Nothing is taken back once it is written, so what may be the beginning of a mark waits for the next character.
 */
import { withoutControls } from '../screen.ts';
import { widthOf } from '../terminal.ts';

export interface MarkdownOptions {
  readonly write: (text: string) => void;
  /** Asked for each word, so that a window may change its size. */
  readonly columns: () => number;
  /** Styles in place of the marks; without, the marks stay. */
  readonly color: boolean;
}

export interface MarkdownWriter {
  push(text: string): void;
  /** Writes what waits, and ends all styles. */
  end(): void;
}

const BOLD = ['\x1b[1m', '\x1b[22m'] as const;
const DIM = ['\x1b[2m', '\x1b[22m'] as const;
const CODE = ['\x1b[36m', '\x1b[39m'] as const;
const MOST_INDENT = 12;

export function createMarkdownWriter({ write, columns, color }: MarkdownOptions): MarkdownWriter {
  let column = 0;
  let word = ''; // with codes
  let spaces = ''; // before the word
  let isLongWord = false; // whose beginning is on the screen
  let stars = ''; // that may become a mark
  let head: string | undefined = ''; // the line so far, while it may become a fence or a heading
  let indent = 0; // of lines that go on with an item of a list
  let fence = false;
  let fenceLine = false;
  let heading = false;
  let bold = false;
  let code = false;

  const style = ([on, off]: readonly [string, string], isOn: boolean) => {
    if (color) word += isOn ? on : off;
  };

  const flush = () => {
    if (word === '') return;
    const width = widthOf(word);
    const room = columns();
    const mayBreak = !fence && (!isLongWord || spaces !== '');
    if (mayBreak && column > indent && column + spaces.length + width > room) {
      write(`\n${' '.repeat(indent)}`);
      column = indent;
      spaces = '';
    }
    write(spaces + word);
    column += spaces.length + width;
    if (column > room) column %= room; // the terminal breaks what has no place to be broken
    spaces = '';
    word = '';
    isLongWord = false;
  };

  const endLine = () => {
    resolveHead();
    flushStars();
    if (heading || fenceLine) style(fenceLine ? DIM : BOLD, false);
    if (bold) style(BOLD, false);
    if (code) style(CODE, false);
    flush();
    write('\n');
    column = 0;
    spaces = '';
    indent = 0;
    heading = false;
    fenceLine = false;
    bold = false;
    code = false;
    head = '';
    if (fence) style(CODE, true);
  };

  /** Stars that have come to their end: two are a mark, others are stars. */
  const flushStars = () => {
    const run = stars;
    stars = '';
    if (run.length === 2 && color && !fence && !code) {
      bold = !bold;
      style(BOLD, bold);
    } else word += run;
  };

  const plain = (sign: string) => {
    if (sign === '*' && !code && !fence) {
      stars += sign;
      return;
    }
    if (stars !== '') flushStars();
    if (sign === ' ' || sign === '\t') {
      flush();
      spaces += sign === '\t' ? '    ' : ' ';
      if (fence) {
        write(spaces);
        column += spaces.length;
        spaces = '';
      }
      return;
    }
    if (sign === '`' && color && !fence && !fenceLine) {
      code = !code;
      style(CODE, code);
      return;
    }
    // wide characters come without spaces between words
    const wide = (sign.codePointAt(0) as number) > 0x2e7f && widthOf(sign) === 2;
    if (wide) flush();
    word += sign;
    if (wide) flush();
    // what does not end is shown all the same
    if (word.length > columns() / 2) {
      flush();
      isLongWord = true;
    }
  };

  /** Decides what a line is by its beginning. */
  const resolveHead = () => {
    const line = head;
    if (line === undefined || line === '') return;
    head = undefined;
    const trimmed = line.trimStart();
    if (/^(```|~~~)/.test(trimmed)) {
      if (fence && color) word += CODE[1];
      fence = !fence;
      fenceLine = true;
      style(DIM, true);
      // the fence itself is never broken
      word += line;
      return;
    }
    if (!fence && /^#{1,6} /.test(trimmed)) {
      heading = true;
      style(BOLD, true);
    }
    const item = line.match(/^ *(?:[-*+]|\d{1,3}[.)]) $/);
    if (!fence && item) {
      indent = Math.min(line.length, MOST_INDENT);
      word += line.trimEnd();
      flush();
      spaces = ' ';
      return;
    }
    const lead = line.length - trimmed.length;
    if (!fence && lead > 0) indent = Math.min(lead, MOST_INDENT);
    for (const sign of line) plain(sign);
  };

  /** Whether a line that begins like this may still become something else than text. */
  const mayBecome = (line: string) =>
    fence ? /^ *[`~]{0,2}$/.test(line) : /^ *(?:[`~]{0,2}|#{1,6}|[-*+]|\d{1,3}[.)]?)$/.test(line);

  return {
    push(text) {
      for (const sign of withoutControls(text)) {
        if (sign === '\n') endLine();
        else if (head !== undefined) {
          head += sign;
          if (!mayBecome(head)) resolveHead();
        } else plain(sign);
      }
    },
    end() {
      resolveHead();
      flushStars();
      if (fence || code) style(CODE, false);
      if (bold || heading) style(BOLD, false);
      if (fenceLine) style(DIM, false);
      flush();
      fence = false;
      code = false;
      bold = false;
      heading = false;
      fenceLine = false;
      head = '';
    },
  };
}
