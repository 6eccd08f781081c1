/**
 * The test command: types and lint, then all groups of tests. Those that need a GPU run on SwiftShader and, on a machine
 * that is set up for it, on lavapipe, which has f16 and other subgroups; or on the adapter that FIRSTLIGHT_TEST_ADAPTER
 * names alone. Most tests keep one core busy, so two groups run side by side, each shown when it has ended. The last line counts
 * everything.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';

const root = fileURLToPath(new URL('..', import.meta.url));
const vangogh = join(root, '../shared/vangogh');
const UVU = ['--import', 'tsx', 'node_modules/uvu/bin.js'];
/** lavapipe compiles each kernel by LLVM for seconds; without its optimisation passes for half of them. */
const QUICK_LLVM = { GALLIVM_PERF: 'nopt' };
const RUN_LIMIT_MS = 20 * 60_000;
/** Of test/model: tests of whole programs. */
const PROGRAMS = 'bundle|desktop|flags|haproxy|ollama|openai|package|readme|terminal|window';

const totals = { passed: 0, failed: 0, skipped: 0 };

/** Runs a command, shows its output at its end and returns it; a time-out ends it. */
async function show(title, command, args, env = {}) {
  const child = spawn(command, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true, // a group of its own, so that the time-out ends its children too
  });
  const late = setTimeout(() => {
    output += `ended after ${RUN_LIMIT_MS / 60_000} minutes\n`;
    process.kill(-child.pid, 'SIGKILL');
  }, RUN_LIMIT_MS);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8');
    stream.on('data', (text) => {
      output += text;
    });
  }
  const code = await new Promise((resolve) => {
    child.on('error', (error) => {
      output += `${error.message}\n`;
      resolve(1);
    });
    child.on('close', resolve);
  });
  clearTimeout(late);
  console.log(`\n---- ${title}\n${output}`);
  return { output, code };
}

/** uvu's closing lines, or undefined when it did not get that far. */
function countTests(output) {
  const text = stripVTControlCharacters(output);
  const number = (title) => text.match(new RegExp(`^\\s*${title}:\\s+(\\d+)`, 'm'))?.[1];
  const [total, passed, skipped] = ['Total', 'Passed', 'Skipped'].map(number);
  if (total === undefined || passed === undefined) return undefined;
  return { passed: Number(passed), failed: Number(total) - Number(passed), skipped: Number(skipped ?? 0) };
}

/** One uvu process over one group. */
async function runGroup(group, where, prefix, env, pattern = '\\.test\\.ts$') {
  if (!existsSync(join(root, 'test', group))) return;
  const title = `test/${group}${where ? ` on ${where}` : ''}`;
  const [command, ...args] = [...prefix, process.execPath, ...UVU, '--no-color', `test/${group}`, pattern];
  const { output, code } = await show(title, command, args, env);
  const closing = countTests(output);
  const counts = closing ?? { passed: 0, failed: 0, skipped: 0 };
  // a run that dies or never gets to its end counts as one failure
  if ((code !== 0 || !closing) && counts.failed === 0) counts.failed = 1;
  for (const key of Object.keys(totals)) totals[key] += counts[key];
}

/** Whether lavapipe can be used; sets it up where that is allowed. */
function hasLavapipe() {
  const env = join(vangogh, 'env.sh');
  if (!existsSync(env)) return false;
  const works = () => spawnSync(env, ['lavapipe', 'true'], { cwd: root }).status === 0;
  if (!works() && process.getuid?.() === 0) {
    console.log('\n---- setting up lavapipe');
    spawnSync(join(vangogh, 'setup.sh'), { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  }
  return works();
}

async function runAll() {
  const check = await show('types and lint', 'npm', ['run', '--silent', 'check']);
  if (check.code !== 0) totals.failed += 1;

  const lavapipe = hasLavapipe();
  const chosen = process.env.FIRSTLIGHT_TEST_ADAPTER;
  const main = { name: chosen ?? 'swiftshader', prefix: [] };
  const second = { name: 'llvmpipe', prefix: [join(vangogh, 'env.sh'), 'lavapipe'] };
  const envOf = (name) => ({ FIRSTLIGHT_TEST_ADAPTER: name, ...QUICK_LLVM });
  const kernels = ({ name, prefix }) => runGroup('gpu', name, prefix, envOf(name));
  const models = ({ name, prefix }, files) => runGroup('model', name, prefix, envOf(name), files);
  // the longest first, so that both ends come at about the same time
  const both = !chosen && lavapipe;
  const jobs = [
    () => models(main, `^(?!(${PROGRAMS})\\.).*\\.test\\.ts$`),
    () => both && kernels(second),
    () => kernels(main),
    () => both && models(second, '^(expected|steps|prompts)\\.test\\.ts$'), // more would add only time
    () => models(main, `^(${PROGRAMS})\\.test\\.ts$`),
    () => runGroup('isa', "the Deck's compiler", [], {}), // it comes with lavapipe
    () => runGroup('pure', '', [], {}),
  ];
  const work = async () => {
    for (let job = jobs.shift(); job; job = jobs.shift()) await job();
  };
  await Promise.all([work(), work()]);

  const skipped = totals.skipped > 0 ? `, ${totals.skipped} skipped` : '';
  console.log(`\n${totals.passed} passed, ${totals.failed} failed${skipped}`);
  process.exitCode = totals.failed > 0 ? 1 : 0;
}

await runAll();
