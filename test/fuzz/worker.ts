/** Fuzzes one target in a thread of its own, so that a reader that hangs can be ended and named. */
import { parentPort, workerData } from 'node:worker_threads';
import { seededRandom } from '../random.ts';
import { isRefused, TARGETS } from './targets.ts';

/** What the test tells the thread. */
export interface Task {
  readonly target: string;
  readonly first: number;
  readonly count: number;
  readonly seed: number;
  /** [case that is being read] */
  readonly heartbeat: Int32Array;
}

/** What the thread tells when it is done. */
export interface Report {
  readonly refused: number;
  readonly slowestMs: number;
  readonly mostBytes: number;
  /** `case N: what happened`. */
  readonly failures: readonly string[];
}

const MOST_MS = 1000;
const MOST_BYTES = 256 * 2 ** 20;
const MOST_FAILURES = 20;

async function fuzz({ target: name, first, count, seed, heartbeat }: Task): Promise<Report> {
  const target = TARGETS[name]!;
  const failures: string[] = [];
  let refused = 0;
  let slowestMs = 0;
  let mostBytes = 0;
  // what a first read compiles and loads is not the file's doing
  await isRefused(target, target.make(seededRandom(1))).catch(() => undefined);
  for (let i = first; i < first + count && failures.length < MOST_FAILURES; i++) {
    Atomics.store(heartbeat, 0, i);
    const file = target.make(seededRandom(seed + i));
    const peak = process.resourceUsage().maxRSS;
    const start = process.cpuUsage();
    try {
      if (await isRefused(target, file)) refused++;
    } catch (error) {
      failures.push(`case ${i}: ${error instanceof Error ? error.stack?.split('\n').slice(0, 4).join(' ') : error}`);
    }
    const { user, system } = process.cpuUsage(start);
    const ms = (user + system) / 1000;
    const bytes = 1024 * (process.resourceUsage().maxRSS - peak);
    slowestMs = Math.max(slowestMs, ms);
    mostBytes = Math.max(mostBytes, bytes);
    if (ms > MOST_MS) failures.push(`case ${i}: took ${ms.toFixed(0)} ms of the processor`);
    if (bytes > MOST_BYTES) failures.push(`case ${i}: took ${bytes} bytes`);
  }
  return { refused, slowestMs, mostBytes, failures };
}

parentPort?.postMessage(await fuzz(workerData));
