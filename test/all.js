/**
 * The test command: types and lint, then all groups of tests. Those that need a GPU run on SwiftShader and, on a machine
 * that is set up for it, on lavapipe, which has f16 and other subgroups; or on the adapter that FIRSTLIGHT_TEST_ADAPTER
 * names alone. The last line counts everything.
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

const totals = { passed: 0, failed: 0, skipped: 0 };

/** Runs a command, shows its output and returns it; a time-out ends it. */
async function show(command, args, env = {}) {
  const child = spawn(command, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true, // a group of its own, so that the time-out ends its children too
  });
  const late = setTimeout(() => {
    console.log(`ended after ${RUN_LIMIT_MS / 60_000} minutes`);
    process.kill(-child.pid, 'SIGKILL');
  }, RUN_LIMIT_MS);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8');
    stream.on('data', (text) => {
      output += text;
      process.stdout.write(text);
    });
  }
  const code = await new Promise((resolve) => {
    child.on('error', (error) => {
      console.log(error.message);
      resolve(1);
    });
    child.on('close', resolve);
  });
  clearTimeout(late);
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
  console.log(`\n---- test/${group}${where ? ` on ${where}` : ''}`);
  const [command, ...args] = [...prefix, process.execPath, ...UVU, '--no-color', `test/${group}`, pattern];
  const { output, code } = await show(command, args, env);
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
  console.log('---- types and lint');
  const check = await show('npm', ['run', '--silent', 'check']);
  if (check.code !== 0) totals.failed += 1;

  await runGroup('pure', '', [], {});
  // the Deck's compiler comes with lavapipe
  const lavapipe = hasLavapipe();
  await runGroup('isa', "the Deck's compiler", [], {});

  const chosen = process.env.FIRSTLIGHT_TEST_ADAPTER;
  const drivers = chosen ? [{ name: chosen, prefix: [] }] : [{ name: 'swiftshader', prefix: [] }];
  if (!chosen && lavapipe) drivers.push({ name: 'llvmpipe', prefix: [join(vangogh, 'env.sh'), 'lavapipe'] });
  for (const { name, prefix } of drivers) {
    const env = { FIRSTLIGHT_TEST_ADAPTER: name, ...QUICK_LLVM };
    await runGroup('gpu', name, prefix, env);
    // what lavapipe would add to the rest of the models' tests is only time
    await runGroup(
      'model',
      name,
      prefix,
      env,
      name === 'llvmpipe' ? '(expected|steps|prompts)\\.test\\.ts$' : undefined,
    );
  }

  const skipped = totals.skipped > 0 ? `, ${totals.skipped} skipped` : '';
  console.log(`\n${totals.passed} passed, ${totals.failed} failed${skipped}`);
  process.exitCode = totals.failed > 0 ? 1 : 0;
}

await runAll();
