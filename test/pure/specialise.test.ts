/** Shader files joined under a specification: what it must hold, what comes out; and a trap in all WGSL sources. */
import { readdirSync, readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { repackSpec } from '../../engine/upload.ts';
import { type ShaderName, type Spec, specialise } from '../../shaders/specialise.ts';

const test = suite('specialise');

const EMBED: Spec = {
  WEIGHT: 'codes',
  CODES: '4',
  SCALES: 'quad',
  BLOCKS: 3,
  FIRST_ROW: 0,
  PART_ROWS: 64,
  SCALE: 1,
  GAIN: 'vector',
  STORE: 'f32',
  Y_BLOCKS: 3,
};
const { CODES: _codes, SCALES: _scales, ...REST } = EMBED;
const FLOATS: Spec = { ...REST, WEIGHT: 'bf16' };

test('directives come first, then constants, then each file once, included ones before', () => {
  const { code } = specialise('embed', { ...EMBED, STORE: 'f16' });
  const lines = code.split('\n');
  const first = lines.findIndex((line) => !/^(enable|requires|diagnostic)\b/.test(line));
  assert.equal(lines.slice(0, first), ['enable f16;']);
  assert.match(lines[first]!, /^const \w+: \w+ = /);
  for (const line of ['const BLOCKS: u32 = 3u;', 'const FIRST_ROW: u32 = 0u;', 'const OPAQUE: bool = false;'])
    assert.is(lines.filter((other) => other === line).length, 1, line);
  const files = lines.filter((line) => line.startsWith('// ---- '));
  assert.is(new Set(files).size, files.length);
  assert.ok(files.indexOf('// ---- state.wgsl') < files.indexOf('// ---- state-read.wgsl'));
  assert.is(files.at(-1), '// ---- embed.wgsl');
});

test('an include slot chooses the file, a value the constant', () => {
  assert.match(specialise('embed', EMBED).code, '// ---- codes-4.wgsl');
  assert.match(specialise('embed', FLOATS).code, '// ---- weight-bf16.wgsl');
  assert.match(specialise('embed', { ...EMBED, OPAQUE: true }).code, 'const OPAQUE: bool = true;');
  const product = { TILE: 32, COLS: 1, DOT: 'f32-f32', BLOCKS: 2, FIRST_ROW: 0, OUTPUTS: false, EPILOGUE: 'plain' };
  const { code } = specialise('gemv-rows', {
    ...product,
    BIAS: 'none',
    OUT_ROWS: 32,
    NORM: 'rms',
    HIDDEN: 60,
    EPSILON: 1,
  });
  assert.match(code, 'const EPSILON: f32 = 1.0;');
  assert.match(code, 'const OUTPUTS: bool = false;');
});

test('bindings are read back from the shader', () => {
  const { bindings } = specialise('embed', EMBED);
  const byName = new Map(bindings.map(({ name, binding, access }) => [name, `${binding} ${access}`]));
  assert.is(byName.get('state'), '0 read');
  assert.is(byName.get('codes'), '1 read');
  assert.is(byName.get('scales'), '2 read');
  assert.is(byName.get('residual'), '5 read_write');
  assert.is(byName.get('y_meta'), '8 read_write');
  assert.not(specialise('embed', FLOATS).bindings.some(({ name }) => name === 'scales'));
  assert.is(
    specialise('repack', repackSpec('Q4_0', 'q4')).bindings.find(({ binding }) => binding === 0)?.access,
    'uniform',
  );
});

const { BLOCKS: _, ...WITHOUT_BLOCKS } = EMBED;
const WRONG: readonly (readonly [title: string, name: string, spec: Spec, message: RegExp])[] = [
  ['a parameter is missing', 'embed', WITHOUT_BLOCKS, /embed \{.*BLOCKS is missing/],
  ['an include slot is missing', 'select', { VOCAB: 5, THREADS: 64 }, /CHOICE is missing/],
  ['a key that nothing uses', 'embed', { ...EMBED, ROWS: 4, SIZE: 1 }, /nothing uses ROWS, SIZE/],
  ['a parameter of a file that does not take part', 'embed', { ...EMBED, HIDDEN: 4 }, /nothing uses HIDDEN/],
  ['a slot that names no file', 'embed', { ...EMBED, CODES: '7' }, /no shader file codes-7\.wgsl/],
  ['a slot that names a file elsewhere', 'embed', { ...EMBED, CODES: '/../../test/gpu/count' }, /no shader file/],
  ['a shader that is not there', 'nothing', {}, /no shader file nothing\.wgsl/],
  [
    'a value that is not allowed',
    'select',
    { CHOICE: 'greedy', VOCAB: 5, THREADS: 65 },
    /THREADS must be one of 64, 256/,
  ],
  ['text for a number', 'embed', { ...EMBED, BLOCKS: '3' }, /BLOCKS must be a number/],
  ['a fraction for u32', 'embed', { ...EMBED, BLOCKS: 1.5 }, /BLOCKS must be a whole number/],
  ['a negative u32', 'embed', { ...EMBED, BLOCKS: -1 }, /BLOCKS must be a whole number/],
  ['no number', 'embed', { ...EMBED, BLOCKS: Number.NaN }, /BLOCKS must be a number/],
  ['a number for bool', 'embed', { ...EMBED, OPAQUE: 1 }, /OPAQUE must be true or false/],
];

for (const [title, name, spec, message] of WRONG) {
  test(`refused: ${title}`, () => {
    assert.throws(() => specialise(name as ShaderName, spec), message);
  });
}

/** Declarations inside functions that have no initialiser. */
function uninitialised(text: string): string[] {
  return text.split('\n').filter((line) => /^\s+var\s+\w+\s*(:[^=]*)?;/.test(line));
}

const FEED_FORWARD: Spec = {
  ...{
    SLICE: 2,
    SG: 32,
    THREADS: 512,
    SIZE: 'given',
    BLOCKS: 4,
    DOWN_BLOCKS: 7,
    OUT_QUADS: 32,
    HIDDEN: 128,
    EPSILON: 1,
  },
  ...{ ACTIVATION: 'silu', DOT: 'i8', ACT: 'i8-residual', CODES: '4', SCALES: 'quad' },
  ...{ DOWN_CODES: '6', DOWN_SCALES: 'halves' },
};

test('a twin has other names, bindings of its own, and slots with a prefix; what both need is there once', () => {
  const { code, bindings } = specialise('feed-forward', FEED_FORWARD);
  const files = [...code.matchAll(/^\/\/ ---- (.*)\.wgsl$/gm)].map(([, file]) => file);
  for (const file of [
    'codes-4',
    'scales-quad',
    'add-i8',
    'quads',
    'x-i8',
    'down codes-6',
    'down scales-halves',
    'down add-i8',
  ])
    assert.is(files.filter((one) => one === file).length, 1, file);
  assert.not(files.includes('down x-i8'));
  const places = Object.fromEntries(bindings.map(({ name, binding }) => [name, binding]));
  assert.is(places.down_codes, places.codes! + 16);
  assert.is(places.down_scales, places.scales! + 16);
  for (const declared of [
    'fn add_quad(',
    'fn down_add_quad(',
    'struct Quad {',
    'struct down_Quad {',
    'const DOWN_CENTRE = 32.0;',
  ])
    assert.is(code.split(declared).length, 2, declared);
  assert.match(code, /fn down_add_block\(w: down_Codes, s: down_Scales, row: u32, x: X, /);
  assert.match(code, /\(DOWN_BLOCKS \+ 7u\) \/ 8u/);
});

test('a twin has parameters of its own, and what is missing or unknown is named with the prefix', () => {
  const groups = { ...FEED_FORWARD, DOWN_CODES: '4', DOWN_SCALES: 'zero', DOWN_GROUP_BLOCKS: 2 };
  assert.match(specialise('feed-forward', groups).code, 'const DOWN_GROUP_BLOCKS: u32 = 2u;');
  const { DOWN_SCALES: _, ...missing } = FEED_FORWARD;
  assert.throws(() => specialise('feed-forward', missing), /DOWN_SCALES is missing/);
  assert.throws(
    () => specialise('feed-forward', { ...FEED_FORWARD, DOWN_GROUP_BLOCKS: 2 }),
    /nothing uses DOWN_GROUP_BLOCKS/,
  );
});

test('every var of a function has an initialiser: without one Tint does not zero it again on each turn of a loop', () => {
  assert.equal(
    uninitialised('fn f() {\n  var a = 1;\n  var b: array<f32, 4>;\n  var c: u32 = 2u;\n}\nvar<private> d: u32;'),
    ['  var b: array<f32, 4>;'],
  );
  const folder = new URL('../../shaders/', import.meta.url);
  const files = readdirSync(folder).filter((file) => file.endsWith('.wgsl'));
  assert.ok(files.length > 40);
  for (const file of files) assert.equal(uninitialised(readFileSync(new URL(file, folder), 'utf8')), [], file);
});

test.run();
