/** A terminal for tests: a program in a tmux of its own, which sees keys and shows a screen. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export const hasTmux = spawnSync('tmux', ['-V']).status === 0;

export interface Terminal {
  /** Keys by tmux's names, e.g. `C-c`, `Enter`, `Up`; other arguments are typed as they are. */
  keys(...keys: string[]): void;
  /** Types a text as it is. */
  type(text: string): void;
  /** Pastes, as a terminal does from its clipboard. */
  paste(text: string): void;
  /** The screen's lines, joined, without spaces at their ends. */
  screen(): string;
  /** With what has been scrolled away. */
  all(): string;
  /** Waits until the screen shows it; throws with the screen when it does not. */
  waitFor(what: RegExp, limitMs?: number): Promise<string>;
  resize(columns: number, rows: number): void;
  /** Waits until the program has ended; its exit code. */
  exitCode(limitMs?: number): Promise<number>;
  close(): void;
}

const LIMIT_MS = 60_000;

/** Runs a shell command in a window of so many columns and rows. */
export function openTerminal(
  command: string,
  columns: number,
  rows: number,
  env: Readonly<Record<string, string>>,
): Terminal {
  const folder = mkdtempSync(join(tmpdir(), 'firstlight-tmux-'));
  const socket = join(folder, 'socket');
  const tmux = (...args: string[]) =>
    execFileSync('tmux', ['-S', socket, '-f', '/dev/null', ...args], {
      encoding: 'utf8',
      env: { ...process.env, LC_ALL: 'C.UTF-8' },
    });
  const variables = Object.entries(env).flatMap(([name, value]) => ['-e', `${name}=${value}`]);
  tmux(
    ...['new-session', '-d', '-x', String(columns), '-y', String(rows), ...variables],
    `${command}; echo "exit code $?"; sleep 600`,
    ...[';', 'set-option', '-g', 'escape-time', '0', ';', 'set-option', '-g', 'history-limit', '5000'],
  );
  const terminal: Terminal = {
    keys: (...keys) => void tmux('send-keys', ...keys),
    type: (text) => void tmux('send-keys', '-l', text),
    paste(text) {
      tmux('set-buffer', text);
      tmux('paste-buffer', '-p');
    },
    screen: () => tmux('capture-pane', '-p').trimEnd(),
    all: () => tmux('capture-pane', '-p', '-J', '-S', '-').trimEnd(),
    async waitFor(what, limitMs = LIMIT_MS) {
      const endMs = performance.now() + limitMs;
      for (;;) {
        const screen = terminal.screen();
        if (what.test(screen)) return screen;
        if (performance.now() > endMs) throw new Error(`${what} is not on the screen:\n${screen}`);
        await sleep(100);
      }
    },
    resize: (width, height) => void tmux('resize-window', '-x', String(width), '-y', String(height)),
    async exitCode(limitMs) {
      const screen = await terminal.waitFor(/exit code \d+/, limitMs);
      return Number(screen.match(/exit code (\d+)/)?.[1]);
    },
    close() {
      spawnSync('tmux', ['-S', socket, 'kill-server']);
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return terminal;
}
