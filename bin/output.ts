/** What goes to the terminal: results to stdout, all else to stderr. */

export function print(text: string): void {
  process.stdout.write(text);
}

/** One JSON value, which is then all that stdout gets. */
export function printJson(value: unknown): void {
  print(`${JSON.stringify(value)}\n`);
}

/** One line for people. Names from files may hold line breaks or codes that move the cursor: they become spaces. */
export function note(line: string): void {
  process.stderr.write(`${line.replace(/\p{Cc}+/gu, ' ')}\n`);
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

const PROGRESS_AFTER_MS = 1000;

/** A percentage in the terminal's last line for work that takes more than a second; nothing where there is no terminal. */
export function startProgress(what: string): { update(done: number, total: number): void; end(): void } {
  const startMs = performance.now();
  let shown = '';
  const show = (text: string) => {
    if (text === shown || !process.stderr.isTTY) return;
    process.stderr.write(`\r\x1b[K${text}`);
    shown = text;
  };
  return {
    update(done, total) {
      if (performance.now() - startMs > PROGRESS_AFTER_MS) show(`${what} ${Math.floor((100 * done) / total)} %`);
    },
    end: () => show(''),
  };
}
