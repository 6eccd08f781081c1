/** How far a download is, how fast it runs and when it will be done. */
import type { Pulled } from '../loaders/hub/pull.ts';
import { mebibytes, note } from './output.ts';

/** Time over which the speed is taken: long enough to be steady, short enough to tell a change. */
const WINDOW_MS = 5000;
const REDRAW_MS = 250;
/** Between lines where there is no terminal to draw in. */
const LINE_MS = 30_000;

export interface Transfer {
  update(doneBytes: number, totalBytes: number | undefined): void;
  /** A line of its own. */
  say(line: string): void;
  end(): void;
  receivedBytes(): number;
  elapsedMs(): number;
}

/** Shows a transfer in the terminal's last line, or by a line now and then where there is none. */
export function startTransfer(isTerminal: boolean = process.stderr.isTTY === true): Transfer {
  const startMs = performance.now();
  const samples: { ms: number; bytes: number }[] = [];
  let firstBytes: number | undefined;
  let lastBytes = 0;
  let shownMs = startMs;
  let isShown = false;
  const clear = () => {
    if (isShown) process.stderr.write('\r\x1b[K');
    isShown = false;
  };
  return {
    update(doneBytes, totalBytes) {
      const nowMs = performance.now();
      if (doneBytes < lastBytes) samples.length = 0; // begun anew
      firstBytes ??= doneBytes;
      lastBytes = doneBytes;
      samples.push({ ms: nowMs, bytes: doneBytes });
      while (samples.length > 2 && samples[1]!.ms < nowMs - WINDOW_MS) samples.shift();
      if (nowMs - shownMs < (isTerminal ? REDRAW_MS : LINE_MS)) return;
      shownMs = nowMs;
      const first = samples[0]!;
      const bytesPerSecond = (1000 * (doneBytes - first.bytes)) / Math.max(1, nowMs - first.ms);
      const line = progressLine(doneBytes, totalBytes, bytesPerSecond);
      if (isTerminal) process.stderr.write(`\r\x1b[K${line}`);
      else note(line);
      isShown = isTerminal;
    },
    say(line) {
      clear();
      note(line);
    },
    end: clear,
    receivedBytes: () => Math.max(0, lastBytes - (firstBytes ?? 0)),
    elapsedMs: () => performance.now() - startMs,
  };
}

/** `37 %, 1.2 of 3.4 GiB, 11.5 MiB/s, 3 min left` */
export function progressLine(doneBytes: number, totalBytes: number | undefined, bytesPerSecond: number): string {
  const speed = `${mebibytes(bytesPerSecond)}/s`;
  if (totalBytes === undefined) return `${size(doneBytes)}, ${speed}`;
  const percent = totalBytes === 0 ? 100 : Math.floor((100 * doneBytes) / totalBytes);
  const left = bytesPerSecond > 0 ? `, ${duration((totalBytes - doneBytes) / bytesPerSecond)} left` : '';
  return `${percent} %, ${size(doneBytes)} of ${size(totalBytes)}, ${speed}${left}`;
}

export function size(bytes: number): string {
  return bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(1)} GiB` : mebibytes(bytes);
}

function duration(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  const minutes = Math.ceil(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** What a pull did, in one line. */
export function describeTransfer({ path, bytes, kept, files }: Pulled, receivedBytes: number, ms: number): string {
  const counted = `${files.length} file${files.length === 1 ? '' : 's'}, ${size(bytes)}`;
  const rate =
    receivedBytes > 0 ? `, ${size(receivedBytes)} received at ${mebibytes(receivedBytes / (ms / 1000))}/s` : '';
  const here = kept === files.length ? ', all here already' : kept > 0 ? `, ${kept} here already` : '';
  return `${path}: ${counted}${here}${rate}`;
}
