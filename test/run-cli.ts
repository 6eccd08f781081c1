/** The command line as a child process. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliOptions {
  /** What the child reads from standard input. Default nothing. */
  readonly stdin?: string | undefined;
  /** Beside the test's own environment. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Called at once. */
  readonly onStart?: ((child: ChildProcessWithoutNullStreams) => void) | undefined;
  /** Called once, when the first output arrives. */
  readonly onOutput?: ((child: ChildProcessWithoutNullStreams) => void) | undefined;
}

/** Runs `firstlight ARGS` from the sources. */
export function runCli(args: readonly string[], options: CliOptions = {}): Promise<Outcome> {
  return runNode(['bin/firstlight.ts', ...args], root, options);
}

/** Runs a TypeScript file with Node; `folder` becomes its working directory. */
export function runNode(args: readonly string[], folder: string, options: CliOptions = {}): Promise<Outcome> {
  const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), ...args], {
    cwd: folder,
    env: { ...process.env, ...options.env },
  });
  options.onStart?.(child);
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8');
    child[name].on('data', (text: string) => {
      output[name] += text;
    });
  }
  child.stdout.once('data', () => options.onOutput?.(child));
  child.stdin.on('error', () => {}); // it may end without having read everything
  child.stdin.end(options.stdin ?? '');
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, ...output }));
  });
}
