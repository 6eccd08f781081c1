/** What the terminal is like: its width, and whether it has colours. */
import { styleText } from 'node:util';

/** A stream that may be a terminal. */
export type Screen = Pick<NodeJS.WriteStream, 'isTTY' | 'columns'> & Partial<Pick<NodeJS.WriteStream, 'hasColors'>>;

const USUAL_COLUMNS = 80;

/** Columns of the terminal now; 80 where nothing tells. */
export function columnsOf(screen: Screen): number {
  return screen.columns > 0 ? screen.columns : USUAL_COLUMNS;
}

/** Whether text may have colours: NO_COLOR, FORCE_COLOR and TERM have been asked. */
export function hasColors(screen: Screen): boolean {
  return screen.isTTY === true && screen.hasColors?.() === true;
}

export type Style = 'bold' | 'dim' | 'cyan' | 'red';

/** The text in a style, where the screen has styles. */
export function styled(screen: Screen, style: Style, text: string): string {
  return hasColors(screen) ? styleText(style, text) : text;
}

/** Text of a model or a file without codes that would move the cursor, change colours or ring. */
export function withoutControls(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is about
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '');
}
