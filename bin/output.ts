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
const PROGRESS_EVERY_MS = 200;

/** `loading 43 %, 812 MiB/s, 5 s left`; of a start that tells little yet, only the part that is done. */
export function formatProgress(what: string, doneBytes: number, totalBytes: number, elapsedMs: number): string {
  const part = `${what} ${Math.floor((100 * doneBytes) / totalBytes)} %`;
  if (doneBytes === 0 || elapsedMs < PROGRESS_AFTER_MS) return part;
  const bytesPerMs = doneBytes / elapsedMs;
  const seconds = Math.ceil((totalBytes - doneBytes) / bytesPerMs / 1000);
  const left = seconds < 100 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
  return `${part}, ${mebibytes(1000 * bytesPerMs)}/s, ${left} left`;
}

/** How far bytes have come, in the terminal's last line, for work that takes more than a second; nothing where there is none. */
export function startProgress(what: string): { update(doneBytes: number, totalBytes: number): void; end(): void } {
  const startMs = performance.now();
  let shownMs = 0;
  const show = (text: string) => process.stderr.isTTY && process.stderr.write(`\r\x1b[K${text}`);
  return {
    update(doneBytes, totalBytes) {
      const nowMs = performance.now();
      if (nowMs - startMs < PROGRESS_AFTER_MS || nowMs - shownMs < PROGRESS_EVERY_MS) return;
      shownMs = nowMs;
      show(formatProgress(what, doneBytes, totalBytes, nowMs - startMs));
    },
    end() {
      if (shownMs > 0) show('');
      shownMs = 0;
    },
  };
}
