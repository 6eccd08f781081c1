/**
 * Broken files of every kind that is read: they are refused with an error for people or read, in less than a second and
 * 256 MiB, and never hang. FIRSTLIGHT_FUZZ=10000 takes that many of each kind, FIRSTLIGHT_FUZZ_SEED others; a case by itself
 * is FIRSTLIGHT_FUZZ_FIRST=N FIRSTLIGHT_FUZZ=1.
 */
import { Worker } from 'node:worker_threads';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { TARGETS } from '../fuzz/targets.ts';
import type { Report, Task } from '../fuzz/worker.ts';

const test = suite('fuzz');

const COUNT = Number(process.env.FIRSTLIGHT_FUZZ ?? 250);
const SEED = Number(process.env.FIRSTLIGHT_FUZZ_SEED ?? 0);
const FIRST = Number(process.env.FIRSTLIGHT_FUZZ_FIRST ?? 0);
/** Of the clock, and other processes share the machine. */
const HANG_MS = 30_000;

/** Threads do not inherit the reading of TypeScript. */
const START = `
  const { workerData } = require('node:worker_threads');
  import(${JSON.stringify(import.meta.resolve('tsx/esm/api'))}).then(({ register }) => {
    register();
    return import(workerData.module);
  });`;

/** Runs a task in a thread; rejects when a case hangs or the thread dies of it. */
function run(task: Task): Promise<Report> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(START, {
      eval: true,
      workerData: { ...task, module: new URL('../fuzz/worker.ts', import.meta.url).href },
      resourceLimits: { maxOldGenerationSizeMb: 1024 },
    });
    let last = -1;
    let sinceMs = performance.now();
    const current = () => Atomics.load(task.heartbeat, 0);
    const watch = setInterval(() => {
      if (current() !== last) {
        last = current();
        sinceMs = performance.now();
      } else if (performance.now() - sinceMs > HANG_MS) end(new Error(`case ${last} hangs`));
    }, 200);
    const end = (result: Report | Error) => {
      clearInterval(watch);
      void worker.terminate();
      if (result instanceof Error) reject(result);
      else resolve(result);
    };
    worker.on('message', end);
    worker.on('error', (error) => end(new Error(`case ${current()}: ${error.message}`, { cause: error })));
    worker.on('exit', () => end(new Error(`case ${current()} ended the thread`)));
  });
}

for (const target of Object.keys(TARGETS)) {
  test(`${target}: ${COUNT} broken ones`, async () => {
    const heartbeat = new Int32Array(new SharedArrayBuffer(4)).fill(-1);
    const report = await run({ target, first: FIRST, count: COUNT, seed: SEED * 1_000_003, heartbeat });
    const { refused, slowestMs, mostBytes, failures } = report;
    if (COUNT >= 1000)
      console.log(
        `${target}: ${refused} of ${COUNT} refused, slowest ${slowestMs.toFixed(0)} ms, most ${mostBytes} bytes`,
      );
    assert.equal(failures, []);
    if (COUNT >= 100)
      assert.ok(refused > COUNT / 10, `only ${refused} of ${COUNT} were refused: the damage is too small`);
  });
}

test.run();
