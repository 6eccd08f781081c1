/** The portable bundle: unpacked at an awkward place that cannot be written, run with an empty environment. */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { testAdapter } from '../device.ts';

const test = suite('bundle');
const check = process.platform === 'linux' && process.arch === 'x64' ? test : test.skip;

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'firstlight bundle '));
const place = join(folder, 'a name with spaces');
const setWritable = (writable: boolean) => {
  for (const entry of readdirSync(place, { recursive: true, withFileTypes: true }))
    if (entry.isDirectory()) chmodSync(join(entry.parentPath, entry.name), writable ? 0o755 : 0o555);
  chmodSync(place, writable ? 0o755 : 0o555);
};

test.after(() => {
  if (existsSync(place)) setWritable(true);
  rmSync(folder, { recursive: true, force: true });
});

/** Runs the launcher with nothing in the environment but a home, which is empty. */
function launch(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(join(place, 'firstlight'), args, {
    env: { HOME: folder },
    cwd: '/',
    encoding: 'utf8',
    timeout: 120_000,
  });
  return { status, stdout, stderr };
}

check('runs without Node, npm, or anything in the environment', () => {
  const made = spawnSync(process.execPath, [join(root, 'bin/bundle.js'), '--folder', place], { encoding: 'utf8' });
  assert.is(made.status, 0, made.stderr);
  setWritable(false);
  assert.match(launch('--version').stdout, /^\d+\.\d+\.\d+\n$/);
  const adapter = testAdapter === undefined ? [] : ['--adapter', testAdapter];
  const { status, stdout, stderr } = launch('run', '--temp', '0', '-n', '8', ...adapter);
  assert.is(status, 0, stderr);
  assert.match(stdout, /^Once upon a time, there was a \w+ /);
  // what is left out is left out: other systems' Dawn, the browser
  const dawn = readdirSync(join(place, 'app/node_modules/webgpu/dist'));
  assert.equal(dawn, ['linux-x64']);
  assert.equal(readdirSync(join(place, 'app/node_modules/@sparticuz/chromium/bin')), ['swiftshader.tar.br']);
  let bytes = 0;
  for (const entry of readdirSync(place, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) bytes += statSync(join(entry.parentPath, entry.name)).size;
  assert.ok(bytes < 145e6, `${bytes} bytes unpacked: above 145 MB the packed bundle comes near its limit of 60`);
});

check('the app installs itself with the launcher as its command', () => {
  const { stdout } = launch('desktop', '--install');
  const [entry = ''] = stdout.split('\n');
  assert.ok(existsSync(entry), stdout);
  const text = spawnSync('cat', [entry], { encoding: 'utf8' }).stdout;
  assert.ok(text.includes(`Exec="${join(place, 'firstlight')}" "desktop"`), text);
  launch('desktop', '--uninstall');
  assert.not(existsSync(entry));
});

test.run();
