/** What goes to the terminal: results to stdout, all else to stderr. */
import type { AdapterInfo } from '../devices/types.ts';
import { wrap } from './arguments.ts';
import { columnsOf, type Style, styled } from './screen.ts';

export function print(text: string): void {
  process.stdout.write(text);
}

/** One JSON value, which is then all that stdout gets. */
export function printJson(value: unknown): void {
  print(`${JSON.stringify(value)}\n`);
}

/** One line for people. Names from files may hold line breaks or codes that move the cursor: they become spaces. */
export function note(line: string, style?: Style): void {
  const screen = process.stderr;
  const whole = line.replace(/\p{Cc}+/gu, ' ');
  const clean = screen.isTTY ? wrap(whole, 0, columnsOf(screen)) : whole;
  process.stderr.write(`${style ? styled(screen, style, clean) : clean}\n`);
}

/** `1.9 MiB` */
export function mebibytes(bytes: number): string {
  const mib = bytes / 2 ** 20;
  return `${mib < 100 ? mib.toFixed(1) : Math.round(mib)} MiB`;
}

/** Rows in columns that are as wide as their widest cell. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length);
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, i) => cell.padEnd(widths[i] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}

/** `NAME, DRIVER`, and a warning where it is no GPU. */
export function describeAdapter({ name, driver, software }: Pick<AdapterInfo, 'name' | 'driver' | 'software'>): string {
  return `${name}, ${driver}${software ? ` (software: ${SOFTWARE})` : ''}`;
}

/** What a driver is that plays GPU. */
export const SOFTWARE = 'CPU, not a GPU: slow';

const PROGRESS_AFTER_MS = 700;
const PROGRESS_EVERY_MS = 100;
const MOST_BAR = 30;

export interface Progress {
  update(done: number, total: number): void;
  /** Takes the line away. */
  end(): void;
}

/**
 * A bar in the terminal's last line for work that takes longer than a moment, with what is left of the time; nothing where
 * there is no terminal. With `unit` bytes it tells the speed.
 */
export function startProgress(what: string, unit?: 'bytes'): Progress {
  const screen = process.stderr;
  const startMs = performance.now();
  let lastMs = 0;
  let isShown = false;
  return {
    update(done, total) {
      const nowMs = performance.now();
      if (!screen.isTTY || nowMs - startMs < PROGRESS_AFTER_MS || nowMs - lastMs < PROGRESS_EVERY_MS) return;
      lastMs = nowMs;
      isShown = true;
      const line = formatProgress(what, done, total, nowMs - startMs, columnsOf(screen) - 1, unit);
      screen.write(`\r\x1b[K${line}`);
    },
    end() {
      if (isShown) screen.write('\r\x1b[K');
      isShown = false;
    },
  };
}

/** `loading [#######.......] 48 %  1.2 GiB/s  4 s left`, as much of it as the columns hold. */
export function formatProgress(
  what: string,
  done: number,
  total: number,
  elapsedMs: number,
  columns: number,
  unit?: 'bytes',
): string {
  const part = total > 0 ? Math.min(1, done / total) : 0;
  const tail = [`${Math.floor(100 * part)} %`];
  if (unit === 'bytes' && elapsedMs > 0) tail.push(`${mebibytes((done / elapsedMs) * 1000)}/s`);
  if (part > 0) tail.push(`${formatSeconds((elapsedMs / 1000) * (1 / part - 1))} left`);
  while (tail.length > 1 && what.length + tail.join('  ').length + 1 > columns) tail.pop();
  const room = Math.min(MOST_BAR, columns - what.length - tail.join('  ').length - 4);
  const full = Math.round(room * part);
  const bar = room >= 5 ? `[${'#'.repeat(full)}${'.'.repeat(room - full)}] ` : '';
  return `${what} ${bar}${tail.join('  ')}`.slice(0, Math.max(columns, 0));
}

function formatSeconds(seconds: number): string {
  const whole = Math.max(1, Math.round(seconds));
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, '0')} s`;
}
