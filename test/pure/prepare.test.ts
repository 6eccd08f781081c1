/** What bin/prepare.js decides, in a small project with stand-ins for npm and the compiler that write down their calls. */
import { spawn } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const PREPARE = fileURLToPath(new URL('../../bin/prepare.js', import.meta.url));

/** Installs a compiler and npm's record; fails when there is a file `offline`. */
const NPM = `
const fs = require('node:fs');
fs.appendFileSync('calls', 'npm ' + process.argv.slice(2).join(' ') + '\\n');
if (fs.existsSync('offline')) process.exit(7);
fs.mkdirSync('node_modules/typescript/bin', { recursive: true });
fs.copyFileSync('compiler.cjs', 'node_modules/typescript/bin/tsc');
const lock = JSON.parse(fs.readFileSync('package-lock.json', 'utf8'));
fs.writeFileSync('node_modules/.package-lock.json', JSON.stringify(lock));`;

/** "Compiles" the sources of engine/; fails on one with the text ERROR. With a file `slow` two can meet. */
const COMPILER = `
const fs = require('node:fs');
fs.appendFileSync('calls', 'tsc\\n');
const out = process.argv[process.argv.indexOf('--outDir') + 1];
fs.mkdirSync(out + '/engine', { recursive: true });
for (const name of fs.readdirSync('engine')) {
  const text = fs.readFileSync('engine/' + name, 'utf8');
  fs.writeFileSync(out + '/engine/' + name.replace('.ts', '.js'), text);
  if (text.includes('ERROR')) process.exit(2);
}
if (fs.existsSync('slow')) setTimeout(() => {}, 500);`;

const lockOf = (versions: Record<string, string>, more = {}) =>
  JSON.stringify({
    packages: {
      '': { version: '0.1.0' },
      ...Object.fromEntries(Object.entries(versions).map(([name, version]) => [`node_modules/${name}`, { version }])),
      ...more,
    },
  });

interface Context {
  root: string;
}

const test = suite<Context>('prepare');

test.before.each((context) => {
  context.root = mkdtempSync(join(tmpdir(), 'firstlight-prepare-'));
  const files = {
    'package.json': '{"type": "module"}',
    'package-lock.json': lockOf(
      { uvu: '0.5.6' },
      { 'node_modules/other-system': { version: '1.0.0', optional: true } },
    ),
    'tsconfig.json': '{}',
    'tsconfig.build.json': '{"include": ["engine", "bin"]}',
    'engine/a.ts': 'one',
    'npm.cjs': NPM,
    'compiler.cjs': COMPILER,
  };
  for (const [name, text] of Object.entries(files)) put(context.root, name, text);
  mkdirSync(join(context.root, 'bin'));
  copyFileSync(PREPARE, join(context.root, 'bin/prepare.js'));
});

test.after.each(({ root }) => {
  rmSync(root, { recursive: true, force: true });
});

function put(root: string, name: string, text: string): void {
  mkdirSync(dirname(join(root, name)), { recursive: true });
  writeFileSync(join(root, name), text);
}

const built = (root: string, name = 'a') => readFileSync(join(root, `dist/engine/${name}.js`), 'utf8');

interface Outcome {
  readonly code: number | null;
  readonly said: string;
  readonly stdout: string;
}

/** Runs prepare.js in the project, from another folder. */
function prepare(root: string, ...args: string[]): Promise<Outcome> {
  const child = spawn(process.execPath, [join(root, 'bin/prepare.js'), ...args], {
    cwd: tmpdir(),
    env: { ...process.env, npm_execpath: join(root, 'npm.cjs') },
  });
  let [said, stdout] = ['', ''];
  child.stderr.on('data', (data) => {
    said += data;
  });
  child.stdout.on('data', (data) => {
    stdout += data;
  });
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, said, stdout })));
}

/** The calls of npm and the compiler since the last look. */
function takeCalls(root: string): string[] {
  const file = join(root, 'calls');
  const calls = existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];
  rmSync(file, { force: true });
  return calls;
}

const NPM_CALL = 'npm ci --include=dev --loglevel=error';

test('installs and builds a fresh checkout, then does nothing and says nothing', async ({ root }) => {
  const first = await prepare(root);
  assert.is(first.code, 0, first.said);
  assert.is(first.said, 'firstlight: installing packages (npm ci)\nfirstlight: building dist/\n');
  assert.is(first.stdout, '');
  assert.equal(takeCalls(root), [NPM_CALL, 'tsc']);
  assert.is(built(root), 'one');
  assert.equal(await prepare(root), { code: 0, said: '', stdout: '' });
  assert.equal(takeCalls(root), []);
  const left = ['bin', 'compiler.cjs', 'dist', 'engine', 'node_modules', 'npm.cjs'];
  assert.equal(
    readdirSync(root)
      .filter((name) => !name.endsWith('.json'))
      .sort(),
    left,
  );
});

test('builds again when a source is changed, added or removed', async ({ root }) => {
  await prepare(root);
  takeCalls(root);
  const steps: readonly (readonly [change: () => void, outputs: string[]])[] = [
    [() => put(root, 'engine/a.ts', 'two'), ['a.js']],
    [() => put(root, 'engine/b.ts', 'new'), ['a.js', 'b.js']],
    [() => rmSync(join(root, 'engine/b.ts')), ['a.js']],
    [() => put(root, 'tsconfig.json', '{ "compilerOptions": {} }'), ['a.js']],
    [() => rmSync(join(root, 'dist'), { recursive: true }), ['a.js']],
  ];
  for (const [change, outputs] of steps) {
    change();
    assert.equal(await prepare(root), { code: 0, said: 'firstlight: building dist/\n', stdout: '' });
    assert.equal(takeCalls(root), ['tsc']);
    assert.equal(readdirSync(join(root, 'dist/engine')), outputs);
    assert.is(built(root), 'two');
  }
  put(root, 'engine/notes.md', 'no source');
  assert.is((await prepare(root)).said, '');
});

test('installs again when the lock names other versions, not when npm was run by hand', async ({ root }) => {
  await prepare(root);
  takeCalls(root);
  put(root, 'package-lock.json', lockOf({ uvu: '0.5.7' }));
  await prepare(root);
  assert.equal(takeCalls(root), [NPM_CALL, 'tsc']);
  put(root, 'package-lock.json', lockOf({ uvu: '0.5.7', another: '1.0.0' }));
  await prepare(root);
  assert.equal(takeCalls(root), [NPM_CALL, 'tsc']);
  // as npm leaves it: without what is for other systems
  const lock = lockOf({ uvu: '0.6.0' }, { 'node_modules/other-system': { version: '2.0.0', optional: true } });
  put(root, 'package-lock.json', lock);
  put(root, 'node_modules/.package-lock.json', lockOf({ uvu: '0.6.0' }));
  await prepare(root);
  assert.equal(takeCalls(root), ['tsc']);
});

test('builds in any case with --build', async ({ root }) => {
  await prepare(root);
  takeCalls(root);
  assert.is((await prepare(root, '--build')).code, 0);
  assert.equal(takeCalls(root), ['tsc']);
});

test('leaves the old build when the new one fails, and says what to do', async ({ root }) => {
  await prepare(root);
  put(root, 'engine/a.ts', 'ERROR');
  const { code, said } = await prepare(root);
  assert.is(code, 1);
  assert.match(said, 'firstlight: the build failed: mend the errors above');
  assert.is(built(root), 'one');
  assert.not.ok(existsSync(join(root, '.prepare.lock')) || existsSync(join(root, 'dist-new')));
  put(root, 'engine/a.ts', 'right');
  assert.is((await prepare(root)).code, 0);
  assert.is(built(root), 'right');
});

test('says what to do when npm fails', async ({ root }) => {
  put(root, 'offline', '');
  const { code, said } = await prepare(root);
  assert.is(code, 1);
  assert.match(said, 'firstlight: npm ci failed: see its message above, check the network');
  assert.equal(takeCalls(root), [NPM_CALL]);
  assert.not.ok(existsSync(join(root, '.prepare.lock')));
});

test('does the work once when several start together', async ({ root }) => {
  put(root, 'slow', '');
  const outcomes = await Promise.all([prepare(root), prepare(root), prepare(root)]);
  for (const { code, said } of outcomes) assert.is(code, 0, said);
  assert.equal(takeCalls(root), [NPM_CALL, 'tsc']);
  assert.is(built(root), 'one');
});

test('takes over from a process that died', async ({ root }) => {
  const dead = spawn(process.execPath, ['--version']);
  await new Promise((resolve) => dead.on('close', resolve));
  put(root, '.prepare.lock', String(dead.pid));
  assert.is((await prepare(root)).code, 0);
  assert.is(built(root), 'one');
});

test('does nothing in an installed package', async ({ root }) => {
  for (const name of ['tsconfig.build.json', 'package-lock.json', 'engine']) {
    rmSync(join(root, name), { recursive: true });
  }
  assert.equal(await prepare(root), { code: 0, said: '', stdout: '' });
  assert.equal(takeCalls(root), []);
});

test.run();
