/** The package as npm makes it, in an empty project: its types are enough for the README's examples, which run, also in a worker. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { deviceTests } from '../device.ts';
import { smallChatModel } from '../small-chat.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const project = await mkdtemp(join(tmpdir(), 'firstlight-package-'));

const test = suite('package');
const check = await deviceTests(test);
test.after(() => rmSync(project, { recursive: true, force: true }));

function run(command: string, args: readonly string[], folder = project) {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: folder, encoding: 'utf8' });
  return { code: status, stdout, stderr };
}

function link(name: string): void {
  const place = join(project, 'node_modules', name);
  mkdirSync(dirname(place), { recursive: true });
  symlinkSync(join(root, 'node_modules', name), place);
}

const README = readFileSync(join(root, 'README.md'), 'utf8');
const EXAMPLES = [...README.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map((match) => match[1]!);

test('has what it needs and nothing else', () => {
  const packed = run('npm', ['pack', '--silent', '--pack-destination', project], root);
  assert.is(packed.code, 0, packed.stderr);
  const archive = packed.stdout.trim().split('\n').at(-1)!;
  const folder = join(project, 'node_modules', 'firstlight');
  mkdirSync(folder, { recursive: true });
  assert.is(run('tar', ['-xzf', archive, '-C', folder, '--strip-components=1']).code, 0);
  const files = run('tar', ['-tzf', archive]).stdout.split('\n');
  assert.ok(files.includes('package/dist/engine/index.d.ts') && files.includes('package/shaders/select.wgsl'));
  const odd = files.filter((file) => /^package\/(test|\.ci|(?!dist).*\.ts$)|\.test\.|\.prepared/.test(file));
  assert.equal(odd, []);
  // what it depends on, and what a TypeScript project has
  const { dependencies } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  for (const name of [...Object.keys(dependencies), '@sparticuz/chromium', '@types/node']) link(name);
});

// the library's types name WebGPU's, which come with the DOM's; projects without these skip the check of libraries
for (const [name, lib] of [
  ['all checks', { skipLibCheck: false }],
  ['without the DOM', { skipLibCheck: true, lib: ['ES2023', 'ESNext.Disposable'] }],
] as const)
  test(`has types that are enough for its examples: ${name}`, () => {
    writeFileSync(join(project, 'package.json'), '{"type":"module"}');
    const options = {
      target: 'ES2022',
      module: 'NodeNext',
      strict: true,
      types: ['node'],
      ...lib,
    };
    writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, include: ['*.ts'] }));
    for (const [i, example] of EXAMPLES.entries()) writeFileSync(join(project, `example-${i}.ts`), example);
    const { code, stdout } = run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', '.']);
    assert.is(code, 0, stdout);
  });

check('runs from there, also in a worker thread and by its command', () => {
  writeFileSync(join(project, 'model.gguf'), smallChatModel());
  const worker =
    "import { SHARE_ENV, Worker } from 'node:worker_threads';\n" +
    "new Worker('./example-1.js', { env: SHARE_ENV }).on('error', (error) => { console.error(error); process.exitCode = 1; });\n";
  writeFileSync(join(project, 'worker.js'), worker);
  for (const file of ['example-1.js', 'worker.js']) {
    const { code, stdout, stderr } = run(process.execPath, [file]);
    assert.is(code, 0, stderr);
    assert.match(stdout, /^(fox|owl|hare)\n(fox|owl|hare)\n$/, file);
  }
  const command = run(process.execPath, [
    'node_modules/firstlight/dist/bin/firstlight.js',
    'tokenize',
    'model.gguf',
    'hello',
  ]);
  assert.is(command.code, 0, command.stderr);
  assert.match(command.stdout, /"hello"/);
});

test('starts at once', () => {
  const times = Array.from({ length: 5 }, () => {
    const startMs = performance.now();
    const { code } = run(process.execPath, ['node_modules/firstlight/dist/bin/firstlight.js', '--version']);
    assert.is(code, 0);
    return performance.now() - startMs;
  });
  // 150 ms are meant for a machine that is not busy with tests
  assert.ok(Math.min(...times) < 300, times.map(Math.round).join());
});

test.run();
