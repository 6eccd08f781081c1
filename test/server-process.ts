/** `firstlight serve` as a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chatModelFiles } from './chat-model.ts';
import { testAdapter } from './device.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

export interface ServerProcess {
  readonly url: string;
  readonly port: number;
  readonly child: ChildProcess;
  /** Of the process once it has ended. */
  readonly exit: Promise<{ readonly code: number | null; readonly signal: string | null }>;
  readonly log: () => string;
}

/** Writes the tiny chat model below `folder`, for commands; answers its path. */
export function writeChatModel(folder: string, name = 'tiny'): string {
  const path = join(folder, name);
  mkdirSync(path, { recursive: true });
  for (const [file, bytes] of chatModelFiles()) writeFileSync(join(path, file), bytes);
  return path;
}

/** A port of 127.0.0.1 that nobody listened on just now. */
export function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

const START_LIMIT_MS = 120_000;

/** Starts a server on any free port and waits until it is healthy. */
export async function startServer(args: readonly string[]): Promise<ServerProcess> {
  const adapter = testAdapter === undefined ? [] : ['--adapter', testAdapter];
  const command = [
    '--import',
    import.meta.resolve('tsx'),
    'bin/firstlight.ts',
    'serve',
    '--port',
    '0',
    ...adapter,
    ...args,
  ];
  const child = spawn(process.execPath, command, { cwd: root, stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    log += text;
  });
  const exit = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
    child.on('close', (code, signal) => resolve({ code, signal }));
  });
  const startMs = Date.now();
  for (;;) {
    const [, url = '', digits] = /listening on (http:\/\/[\d.]+:(\d+))/.exec(log) ?? [];
    const port = Number(digits);
    const healthy = port > 0 && (await fetch(`${url}/health`).catch(() => undefined))?.status === 200;
    if (healthy) return { url, port, child, exit, log: () => log };
    if (child.exitCode !== null || Date.now() - startMs > START_LIMIT_MS) {
      child.kill('SIGKILL');
      throw new Error(`the server does not start: ${log}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
