/**
 * Makes a checkout ready before `npm start` and `npm test`: installs packages when package-lock.json names others than
 * are there, and builds dist/ when a source has changed. Says nothing and takes no time when there is nothing to do.
 * `--build` builds in any case. Plain JavaScript without dependencies, since it runs before there are any.
 *
 * Exit code: 0 ready, 1 something is in the way, which the last line names.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const at = (...names) => join(root, ...names);
const read = (name) => readFileSync(at(name), 'utf8');

function readIfThere(name) {
  try {
    return read(name);
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** In dist/: the hash of what it was built from. */
const STAMP = '.prepared';

/** Holds the process id of who is at work. */
const LOCK = '.prepare.lock';
const LOCK_POLL_MS = 100;
const LOCK_LIMIT_MS = 15 * 60_000;

class Obstacle extends Error {}

function say(line) {
  process.stderr.write(`firstlight: ${line}\n`); // stdout belongs to what runs next
}

/** Runs a Node program here, its output on stderr; returns whether it succeeded. */
function runNode(args) {
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: ['ignore', 2, 2] });
  return status === 0;
}

/** Whether npm's own record of what it installed agrees with package-lock.json. It writes that record last. */
function packagesAreThere() {
  const record = readIfThere('node_modules/.package-lock.json');
  if (!record) return false; // empty for a moment, while another process's npm writes it
  const installed = JSON.parse(record).packages;
  return Object.entries(JSON.parse(read('package-lock.json')).packages).every(
    ([path, { version, optional }]) => path === '' || (installed[path]?.version ?? (optional && version)) === version,
  );
}

function installPackages() {
  say('installing packages (npm ci)');
  // Set by npm for its scripts; building needs the development packages whatever the user's setting.
  const npm = process.env.npm_execpath;
  const args = ['ci', '--include=dev', '--loglevel=error'];
  const done = npm
    ? runNode([npm, ...args])
    : spawnSync('npm', args, { cwd: root, stdio: ['ignore', 2, 2], shell: process.platform === 'win32' }).status === 0;
  if (!done) throw new Obstacle('npm ci failed: see its message above, check the network and the disk, then try again');
}

/** A hash of everything that dist/ is made of. */
function hashSources() {
  const folders = JSON.parse(read('tsconfig.build.json')).include;
  const sources = folders
    .filter((folder) => existsSync(at(folder)))
    .flatMap((folder) => readdirSync(at(folder), { recursive: true }).map((name) => join(folder, name)))
    .filter((name) => name.endsWith('.ts'))
    .sort();
  const hash = createHash('sha256');
  for (const name of [...sources, 'tsconfig.json', 'tsconfig.build.json', 'package-lock.json']) {
    hash.update(`${name}\n${read(name)}\n`);
  }
  return hash.digest('hex');
}

function isBuilt() {
  return readIfThere(join('dist', STAMP)) === hashSources();
}

/** Builds beside dist/ and swaps, so that a failed build leaves the old one and a reader never meets half of one. */
function build() {
  say('building dist/');
  const [fresh, old] = ['dist-new', 'dist-old'];
  for (const leftover of [fresh, old]) rmSync(at(leftover), { recursive: true, force: true });
  const hash = hashSources();
  if (!runNode([at('node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json', '--outDir', fresh])) {
    rmSync(at(fresh), { recursive: true, force: true });
    throw new Obstacle('the build failed: mend the errors above, then try again');
  }
  writeFileSync(at(fresh, STAMP), hash);
  if (existsSync(at('dist'))) renameSync(at('dist'), at(old));
  renameSync(at(fresh), at('dist'));
  rmSync(at(old), { recursive: true, force: true });
}

function isRunning(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM'; // someone else's, but there
  }
}

/** Takes the lock; waits for another process that holds it, takes it over from a dead one. */
async function takeLock() {
  const giveUpAt = Date.now() + LOCK_LIMIT_MS;
  for (let told = false; ; ) {
    try {
      writeFileSync(at(LOCK), String(process.pid), { flag: 'wx' });
      return;
    } catch (error) {
      if (error.code !== 'EEXIST') throw new Obstacle(`cannot write here (${error.message}): check the permissions`);
    }
    const holder = readIfThere(LOCK) ?? ''; // empty for a moment, when just taken
    if (holder !== '' && !isRunning(Number(holder))) {
      rmSync(at(LOCK), { force: true });
      continue;
    }
    if (Date.now() > giveUpAt) throw new Obstacle(`process ${holder} does not finish: end it, or remove ${LOCK}`);
    if (!told) say('waiting for another process that prepares this folder');
    told = true;
    await sleep(LOCK_POLL_MS);
  }
}

const always = process.argv.includes('--build');
const ready = () => packagesAreThere() && !always && isBuilt();

try {
  // an installed package has dist/ and no sources: there is nothing to prepare
  if (existsSync(at('tsconfig.build.json')) && !ready()) {
    await takeLock();
    try {
      if (!packagesAreThere()) installPackages();
      if (always || !isBuilt()) build();
    } finally {
      rmSync(at(LOCK), { force: true });
    }
  }
} catch (error) {
  if (!(error instanceof Obstacle)) throw error;
  say(error.message);
  process.exitCode = 1;
}
