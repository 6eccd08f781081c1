/** The app's own window, by GJS and WebKitGTK under Xvfb: it shows the page, comes only once, and ends the app when it is closed. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { instancePath } from '../../bin/desktop/instance.ts';
import { testAdapter, testDevice } from '../device.ts';

const test = suite('window');

const root = fileURLToPath(new URL('../..', import.meta.url));
const script = join(root, 'bin/desktop/window.js');
const DISPLAY = ':83';
const has = (command: string, ...args: string[]) => {
  const env = { ...process.env, DISPLAY };
  return spawnSync(command, args, { env, stdio: 'ignore', timeout: 20_000 }).status === 0;
};

const folder = mkdtempSync(join(tmpdir(), 'firstlight-window-'));
const children: ChildProcess[] = [];
test.after(() => {
  for (const child of children) child.kill('SIGKILL');
  spawnSync('umount', ['-l', join(folder, 'doc')], { stdio: 'ignore' }); // desktop portals mount it below XDG_RUNTIME_DIR
  rmSync(folder, { recursive: true, force: true });
});

const start = (command: string, args: readonly string[], env: Record<string, string | undefined>) => {
  const child = spawn(command, args, { cwd: root, env, stdio: 'ignore' });
  children.push(child);
  return child;
};
const exitOf = (child: ChildProcess) => new Promise<number | null>((resolve) => child.on('exit', resolve));

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 300; i++) {
    if (await holds()) return;
    await sleep(200);
  }
  assert.unreachable(what);
}

const ready = has('dbus-run-session', '--version') && has('which', 'Xvfb', 'gjs') && (await testDevice()) !== undefined;
if (ready) {
  children.push(spawn('Xvfb', [DISPLAY, '-screen', '0', '1280x800x24'], { stdio: 'ignore' }));
  await sleep(1000);
}
const check = ready && has('gjs', '-m', script, '--check') ? test : test.skip;
if (check !== test) console.log('GJS, WebKitGTK or Xvfb are not there: 1 test is skipped');

check('shows the page, once, and its end is that of the app', async () => {
  const env = { ...process.env, DISPLAY, HOME: folder, XDG_DATA_HOME: folder, XDG_RUNTIME_DIR: folder };
  const adapter = testAdapter === undefined ? [] : ['--adapter', testAdapter];
  const command = [
    process.execPath,
    '--import',
    'tsx',
    'bin/firstlight.ts',
    'desktop',
    '--window',
    'webkit',
    ...adapter,
  ];
  const app = start('dbus-run-session', ['--', ...command], env);
  const ended = exitOf(app);
  const instance = () => JSON.parse(readFileSync(instancePath(env), 'utf8')) as { url: string; key: string };
  await until('the app runs', () => {
    try {
      return instance().key !== '';
    } catch {
      return false;
    }
  });
  const { url, key } = instance();
  // the page has run in WebKit when it has asked for what it shows
  const headers = { authorization: `Bearer ${key}` };
  const requests = async (route: string) => {
    const text = await (await fetch(`${url}/metrics`, { headers })).text();
    return Number(new RegExp(`requests_total\\{route="${route}",status="200"\\} (\\d+)`).exec(text)?.[1] ?? 0);
  };
  await until('the page is shown', async () => (await requests('/app/settings')) > 0);
  assert.is(await requests('/app/key'), 1);

  const second = start(process.execPath, command.slice(1), env);
  assert.is(await exitOf(second), 0, 'the second start shows the first window');
  assert.is(await requests('/app/raise'), 1);
  await sleep(1500);
  assert.is(await requests('/app/key'), 1, 'there is no second window');

  const pids = spawnSync('pgrep', ['-f', `window.js ${url}`], { encoding: 'utf8' })
    .stdout.trim()
    .split('\n');
  for (const pid of pids) process.kill(Number(pid));
  assert.is(await ended, 0);
});

test.run();
