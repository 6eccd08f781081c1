/**
 * Makes firstlight-linux-x64.tar.xz: Node, Dawn for linux-x64, the program and a launcher, to be unpacked anywhere and run without
 * an installation. `--folder DIR` leaves the unpacked bundle in DIR instead. Plain JavaScript, since it is no part of the program.
 *
 * Exit code: 0 made, 1 something is in the way, which the last line names.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = fileURLToPath(new URL('..', import.meta.url));
const NAME = 'firstlight-linux-x64';
const MOST_BYTES = 60 * 1000 * 1000;

/** What a program does not need of its packages. */
const LEFT_OUT = /(\.d\.[mc]?ts|\.map|\.ts|\.flow|\.md)$|\/(types|test|tests|docs|examples)$/i;
const KEPT = /licen[cs]e/i;
/** Of these packages only what the pattern lets in. */
const ONLY = {
  hono: /^(dist(?!\/(cjs|types)\b).*|package\.json|LICENSE)$/,
  webgpu: /^(dist(\/linux-x64(\/.*)?)?|index\.js|package\.json|LICENSE.*)$/,
  // SwiftShader, for machines without a driver; the browser itself stays out
  '@sparticuz/chromium': /^(bin(\/swiftshader\.tar\.br)?|build(\/esm(\/index\.js)?)?|package\.json|LICENSE.*)$/,
};
/** Types alone. */
const NO_PACKAGES = new Set(['@webgpu/types']);
/** SwiftShader's package is only a container here: what unpacks a browser is not needed. */
const NO_DEPENDENCIES = new Set(['@sparticuz/chromium']);

const LAUNCHER = `#!/bin/sh
# Starts firstlight from where this file lies. What Steam preloads into programs would get into the way of the GPU's driver.
unset LD_PRELOAD LD_LIBRARY_PATH NODE_OPTIONS
self=$(readlink -f -- "$0")
here=\${self%/*}
FIRSTLIGHT_LAUNCHER=$self
export FIRSTLIGHT_LAUNCHER
exec "$here/node" "$here/app/dist/bin/firstlight.js" "$@"
`;

class Obstacle extends Error {}

const read = (path) => JSON.parse(readFileSync(path, 'utf8'));

/** The packages that the program needs, with those that they need. */
function neededPackages() {
  const { dependencies, optionalDependencies } = read(join(root, 'package.json'));
  const needed = new Set();
  const visit = (name) => {
    const path = join(root, 'node_modules', name, 'package.json');
    if (needed.has(name) || NO_PACKAGES.has(name) || !existsSync(path)) return;
    needed.add(name);
    if (!NO_DEPENDENCIES.has(name)) for (const inner of Object.keys(read(path).dependencies ?? {})) visit(inner);
  };
  for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) visit(name);
  return [...needed].sort();
}

function copyPackage(name, folder) {
  const from = join(root, 'node_modules', name);
  const only = ONLY[name];
  cpSync(from, join(folder, 'node_modules', name), {
    recursive: true,
    dereference: true,
    filter(path) {
      const inner = path.slice(from.length + 1);
      if (inner === '') return true;
      if (only) return only.test(inner);
      return KEPT.test(basename(path)) || !(LEFT_OUT.test(path) || inner === 'node_modules');
    },
  });
}

function stage(folder) {
  rmSync(folder, { recursive: true, force: true });
  const app = join(folder, 'app');
  mkdirSync(app, { recursive: true });
  cpSync(process.execPath, join(folder, 'node'), { dereference: true });
  chmodSync(join(folder, 'node'), 0o755);
  writeFileSync(join(folder, 'firstlight'), LAUNCHER, { mode: 0o755 });
  for (const name of ['README.md', 'LICENSE', 'CHANGELOG.md']) cpSync(join(root, name), join(folder, name));
  const nodeLicense = ['../LICENSE', '../share/doc/nodejs/LICENSE', '../share/doc/nodejs/copyright']
    .map((name) => resolve(dirname(process.execPath), name))
    .find((path) => existsSync(path));
  if (nodeLicense) cpSync(nodeLicense, join(folder, 'LICENSE.node'), { dereference: true });
  // what an installed package has
  const { files } = read(join(root, 'package.json'));
  for (const name of ['package.json', ...files.filter((file) => !/[*!]/.test(file))])
    cpSync(join(root, name), join(app, name), {
      recursive: true,
      filter: (path) => !/\.d\.ts$|\/\.prepared$/.test(path),
    });
  cpSync(join(root, 'shaders'), join(app, 'shaders'), { recursive: true, filter: (path) => !path.endsWith('.ts') });
  for (const name of neededPackages()) copyPackage(name, app);
}

function run(command, args, options = {}) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2], ...options });
  if (error) throw new Obstacle(`${command} cannot be run: ${error.message}`);
  if (status !== 0) throw new Obstacle(`${command} failed: see above`);
}

function pack(folder, archive) {
  const order = ['--sort=name', '--owner=0', '--group=0', '--numeric-owner'];
  run('tar', [...order, '-cJf', archive, '-C', dirname(folder), basename(folder)], {
    env: { ...process.env, XZ_OPT: '-9e' },
  });
  const { size } = statSync(archive);
  if (size > MOST_BYTES) throw new Obstacle(`${archive} has ${size} bytes: more than ${MOST_BYTES}`);
  process.stderr.write(`firstlight: ${archive}, ${(size / 1e6).toFixed(1)} MB\n`);
}

try {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw new Obstacle('the bundle is made on linux-x64, of whose Node it takes a copy');
  const { values } = parseArgs({ options: { folder: { type: 'string' } } });
  run(process.execPath, [join(root, 'bin/prepare.js')]);
  if (values.folder !== undefined) stage(resolve(values.folder));
  else {
    const work = join(root, 'dist-bundle');
    try {
      stage(join(work, NAME));
      pack(join(work, NAME), resolve(`${NAME}.tar.xz`));
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
  }
} catch (error) {
  if (!(error instanceof Obstacle)) throw error;
  process.stderr.write(`firstlight: ${error.message}\n`);
  process.exitCode = 1;
}
