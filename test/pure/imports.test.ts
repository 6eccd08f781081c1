/** The shape of the project: which folders there are, and that imports go downwards only. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, posix, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Layers from the top; those of one row know nothing of each other. */
const LAYERS = [['test'], ['bin'], ['engine'], ['loaders', 'shaders', 'devices'], ['quant']];
const FOLDERS = [...LAYERS.flat(), '.ci'];

/** The one way across a row: devices compiles what shaders specialises, and names its types. */
const isAllowedAcross = (from: string, to: string, typeOnly: boolean) =>
  from.startsWith('devices/') && to === 'shaders/specialise.ts' && (typeOnly || from === 'devices/pipelines.ts');

const rowOf = (file: string) => LAYERS.findIndex((row) => row.includes(file.split('/')[0]!));

interface Import {
  readonly to: string;
  readonly typeOnly: boolean;
}

/** Imports of files of the project, as paths from its root: static, re-exporting and dynamic. */
function importsOf(file: string, text: string): Import[] {
  const code = text.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
  const pattern =
    /\b(?:import|export)\s+(type\s)?(?:[\w*{][^'"`;]*?\sfrom\s*)?['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/g;
  return [...code.matchAll(pattern)]
    .map(([, type, fixed, dynamic]) => ({ path: fixed ?? dynamic!, typeOnly: type !== undefined }))
    .filter(({ path }) => path.startsWith('.'))
    .map(({ path, typeOnly }) => ({ to: posix.join(posix.dirname(file), path), typeOnly }));
}

/** What is wrong with a set of files, one line each. */
function findProblems(files: ReadonlyMap<string, string>): string[] {
  const problems: string[] = [];
  const edges = new Map<string, string[]>();
  for (const [file, text] of files) {
    if (/^export default\b/m.test(text)) problems.push(`${file}: default export`);
    const imports = importsOf(file, text);
    edges.set(
      file,
      imports.map(({ to }) => to),
    );
    for (const { to, typeOnly } of imports) {
      const [from, target] = [rowOf(file), rowOf(to)];
      const sameFolder = file.split('/')[0] === to.split('/')[0];
      if (sameFolder || (target > from && from >= 0) || isAllowedAcross(file, to, typeOnly)) continue;
      problems.push(`${file}: imports ${to}, which is not below it`);
    }
  }
  const circle = findCircle(edges);
  if (circle) problems.push(`circle: ${circle.join(' -> ')}`);
  return problems;
}

function findCircle(edges: ReadonlyMap<string, readonly string[]>): string[] | undefined {
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): string[] | undefined => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    if (done.has(file)) return undefined;
    for (const to of edges.get(file) ?? []) {
      const circle = visit(to, [...path, file]);
      if (circle) return circle;
    }
    done.add(file);
    return undefined;
  };
  for (const file of edges.keys()) {
    const circle = visit(file, []);
    if (circle) return circle;
  }
  return undefined;
}

function foldersNotAllowed(folders: readonly string[], ignored: string): string[] {
  const known = new Set([...FOLDERS, '.git', ...ignored.split('\n').map((line) => line.replace(/\/$/, ''))]);
  return folders.filter((folder) => !known.has(folder));
}

function readSources(): Map<string, string> {
  const files = new Map<string, string>();
  for (const folder of LAYERS.flat()) {
    if (!existsSync(join(root, folder))) continue;
    for (const entry of readdirSync(join(root, folder), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !/\.(ts|js)$/.test(entry.name)) continue;
      const path = join(entry.parentPath, entry.name);
      files.set(relative(root, path).split(sep).join('/'), readFileSync(path, 'utf8'));
    }
  }
  return files;
}

const test = suite('imports');

test('go downwards only, in no circle, without default exports', () => {
  const files = readSources();
  assert.ok(files.has('devices/open.ts') && files.has('test/pure/imports.test.ts'), 'the sources are read');
  assert.equal(findProblems(files), []);
});

test('only the folders of the architecture stand at the top', () => {
  const folders = readdirSync(root, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const ignored = readFileSync(join(root, '.gitignore'), 'utf8');
  assert.equal(
    foldersNotAllowed(
      folders.map((folder) => folder.name),
      ignored,
    ),
    [],
  );
  assert.equal(foldersNotAllowed(['engine', 'utils', 'dist', '.git'], 'dist/\n'), ['utils']);
});

const examples: readonly (readonly [title: string, files: Record<string, string>, problem: RegExp | undefined])[] = [
  ['downwards', { 'engine/a.ts': "import { b } from '../quant/b.ts';\nimport 'node:fs';" }, undefined],
  ['upwards', { 'quant/a.ts': "import { b } from '../engine/b.ts';" }, /quant\/a.ts: imports engine\/b.ts/],
  ['upwards for a type', { 'quant/a.ts': "import type { B } from '../bin/b.ts';" }, /imports bin\/b.ts/],
  ['upwards over lines', { 'loaders/a.ts': "import {\n  b,\n  c,\n} from '../engine/b.ts';" }, /imports engine/],
  ['upwards by re-export', { 'devices/a.ts': "export * from '../engine/b.ts';" }, /imports engine/],
  ['upwards, loaded late', { 'engine/a.ts': "const b = await import('../bin/b.ts');" }, /imports bin/],
  ['upwards for its effects', { 'engine/a.ts': "import '../bin/b.ts';" }, /imports bin/],
  ['from the product into the tests', { 'bin/a.ts': "import { b } from '../test/b.ts';" }, /imports test/],
  ['across', { 'loaders/a.ts': "import { b } from '../shaders/b.ts';" }, /imports shaders/],
  ['across, from shaders', { 'shaders/a.ts': "import type { B } from '../devices/types.ts';" }, /imports devices/],
  [
    'the way across that is allowed',
    {
      'devices/types.ts': "import type { Spec } from '../shaders/specialise.ts';",
      'devices/pipelines.ts': "import { specialise } from '../shaders/specialise.ts';",
    },
    undefined,
  ],
  [
    'that way from another file',
    { 'devices/a.ts': "import { s } from '../shaders/specialise.ts';" },
    /imports shaders/,
  ],
  ['out of the project', { 'engine/a.ts': "import { b } from '../other/b.ts';" }, /imports other/],
  [
    'a circle',
    {
      'engine/a.ts': "import { b } from './b.ts';",
      'engine/b.ts': "import { c } from './c.ts';",
      'engine/c.ts': "export { b } from './b.ts';",
    },
    /circle: engine\/b.ts -> engine\/c.ts -> engine\/b.ts/,
  ],
  ['a default export', { 'quant/a.ts': 'const a = 1;\nexport default a;' }, /default export/],
  ['an import in a comment', { 'quant/a.ts': "// import { b } from '../engine/b.ts';" }, undefined],
];

for (const [title, files, problem] of examples) {
  test(`the check on an example: ${title}`, () => {
    const problems = findProblems(new Map(Object.entries(files)));
    assert.is(problems.length, problem ? 1 : 0, problems.join('\n'));
    if (problem) assert.match(problems[0]!, problem);
  });
}

test.run();
