/**
 * Turns a shader file and a specification into WGSL. A file states what it takes in lines that start with `//!`:
 *
 *   //! include state dot-$DOT            other files, each joined once, before this one; $DOT is an include slot:
 *                                         the spec's value names the file, so algorithms are chosen by include
 *   //! include takes-$TAKES=all          the slot has a default, so that a specification need not name it
 *   //! param TILE u32 32 64              becomes `const TILE: u32 = 32;`; values listed are the only ones allowed
 *   //! param OPAQUE bool =false          likewise
 *   //! enable f16                        likewise `requires NAME` and `diagnostic off RULE`
 *   //! twin down BLOCKS add-i8 quads     these files and what they include once more, for a second matrix: all names that
 *                                         they declare, and BLOCKS, get `down_` before them, or `DOWN_` before capitals,
 *                                         as slots and parameters have in the specification; bindings are 16 further on
 *
 * But for twins the bodies are never touched, so a file stays legal WGSL that editors understand.
 */
import { readFileSync } from 'node:fs';
import { assert } from '../quant/errors.ts';

/** A file of this folder with an entry point `main`. */
export type ShaderName =
  | 'embed'
  | 'gather'
  | 'gemv-rows'
  | 'gemv-lanes'
  | 'gemm-tiles'
  | 'gemm-matrix'
  | 'norm'
  | 'flash-matrix'
  | 'flash-tiles'
  | 'feed-forward'
  | 'attention'
  | 'combine'
  | 'head-norm'
  | 'post-norm'
  | 'select'
  | 'edit'
  | 'rank'
  | 'report'
  | 'kv-copy'
  | 'kv-shift'
  | 'pool'
  | 'repack';

/** Values for a shader's parameters and include slots. */
export type Spec = Readonly<Record<string, number | boolean | string>>;

export interface Binding {
  readonly name: string;
  readonly binding: number;
  readonly access: 'read' | 'read_write' | 'uniform';
}

export interface Specialised {
  readonly code: string;
  /** All in group 0, by the shader's own variable names. */
  readonly bindings: readonly Binding[];
}

interface Part {
  readonly name: string;
  readonly text: string;
  readonly directives: readonly (readonly string[])[];
}

const parts = new Map<string, Part>();

function readPart(name: string): Part {
  const known = parts.get(name);
  if (known) return known;
  let text: string;
  try {
    text = readFileSync(new URL(import.meta.resolve(`firstlight/shaders/${name}.wgsl`)), 'utf8');
  } catch (cause) {
    throw new Error(`no shader file ${name}.wgsl`, { cause });
  }
  const directives = text
    .split('\n')
    .filter((line) => line.startsWith('//!'))
    .map((line) => line.slice(3).trim().split(/\s+/));
  const part = { name, text, directives };
  parts.set(name, part);
  return part;
}

/**
 * The WGSL of `name` under `spec`, and the bindings that it declares.
 * Throws when a key is missing, unknown to every file that takes part, or outside the allowed values.
 */
export function specialise(name: ShaderName, spec: Spec): Specialised {
  const used = new Set<string>();
  const where = () => `shader ${name} ${JSON.stringify(spec)}`;
  const value = (key: string) => {
    const found = spec[key];
    if (found === undefined) throw new Error(`${where()}: ${key} is missing`);
    used.add(key);
    return found;
  };

  const visiting = new Set<string>();
  /** Adds a file behind what it includes to `to`; its slots have `prefix` before them. */
  const visit = (slotted: string, to: Part[], prefix: string) => {
    const partName = slotted.replace(/\$(\w+)(?:=(\w+))?/g, (_, slot: string, usual?: string) => {
      const key = prefix + slot;
      return usual !== undefined && spec[key] === undefined ? usual : String(value(key));
    });
    if (to.some((part) => part.name === partName)) return;
    if (visiting.has(partName)) throw new Error(`${where()}: ${partName}.wgsl includes itself`);
    visiting.add(partName);
    const part = readPart(partName);
    for (const [kind, ...names] of part.directives) {
      if (kind === 'include') for (const wanted of names) visit(wanted, to, prefix);
      if (kind !== 'twin') continue;
      const [twin = '', ...words] = names;
      const others = words.filter((word) => CAPITALS.test(word));
      const files: Part[] = [];
      for (const wanted of words) if (!others.includes(wanted)) visit(wanted, files, `${twin.toUpperCase()}_`);
      to.push(...twinsOf(files, twin, others));
    }
    visiting.delete(partName);
    to.push(part);
  };
  const joined: Part[] = [];
  visit(name, joined, '');

  const head = new Set<string>();
  const constants = new Map<string, string>();
  for (const { name: partName, directives } of joined) {
    for (const [kind, first = '', type = '', ...allowed] of directives) {
      if (kind === 'include' || kind === 'twin') continue;
      else if (kind === 'enable') head.add(`enable ${first};`);
      else if (kind === 'requires') head.add(`requires ${first};`);
      else if (kind === 'diagnostic') head.add(`diagnostic(${first}, ${type});`);
      else if (kind === 'param') {
        const standard = allowed[0]?.startsWith('=') && spec[first] === undefined;
        const given = standard ? JSON.parse(allowed[0]!.slice(1)) : value(first);
        constants.set(first, constant(first, type, allowed[0]?.startsWith('=') ? [] : allowed, given, where));
      } else throw new Error(`${partName}.wgsl: unknown directive "${kind}"`);
    }
  }
  const unknown = Object.keys(spec).filter((key) => !used.has(key));
  if (unknown.length > 0) throw new Error(`${where()}: nothing uses ${unknown.join(', ')}`);

  const body = joined.map((part) => `// ---- ${part.name}.wgsl\n${part.text}`).join('\n');
  // enable comes before requires, as WGSL's grammar wants the directives first in any order but Tint reads best sorted
  const code = [...[...head].sort(), ...constants.values(), body].join('\n');
  return { code, bindings: bindingsOf(code, where) };
}

const CAPITALS = /^[A-Z][A-Z0-9_]*$/;
const TWIN_BINDINGS = 16;

/** The files with another name for all that they declare, and for `others`. */
function twinsOf(files: readonly Part[], twin: string, others: readonly string[]): Part[] {
  const declared = new Set(others);
  const declaration = /^(?:@group.* )?(?:fn|const|alias|struct|var(?:<[^>]*>)?) (\w+)/gm;
  for (const { text, directives } of files) {
    for (const [, found = ''] of text.matchAll(declaration)) declared.add(found);
    for (const [kind, param = ''] of directives) if (kind === 'param') declared.add(param);
  }
  const renamed = (word: string) => {
    if (!declared.has(word)) return word;
    return CAPITALS.test(word) ? `${twin.toUpperCase()}_${word}` : `${twin}_${word}`;
  };
  return files.map(({ name, text, directives }) => ({
    name: `${twin} ${name}`,
    text: text
      .replace(/\b[A-Za-z_]\w*/g, renamed)
      .replace(/@binding\((\d+)\)/g, (_, binding: string) => `@binding(${Number(binding) + TWIN_BINDINGS})`),
    directives: directives
      .filter(([kind]) => kind !== 'include')
      .map(([kind = '', first = '', ...rest]) => [kind, kind === 'param' ? renamed(first) : first, ...rest]),
  }));
}

function constant(
  key: string,
  type: string,
  allowed: readonly string[],
  value: number | boolean | string,
  where: () => string,
): string {
  if (allowed.length > 0 && !allowed.includes(String(value)))
    throw new Error(`${where()}: ${key} must be one of ${allowed.join(', ')}`);
  if (type === 'bool') {
    if (typeof value !== 'boolean') throw new Error(`${where()}: ${key} must be true or false`);
    return `const ${key}: bool = ${value};`;
  }
  if (typeof value !== 'number' || !Number.isFinite(value)) throw new Error(`${where()}: ${key} must be a number`);
  if (type === 'u32') {
    if (!Number.isInteger(value) || value < 0) throw new Error(`${where()}: ${key} must be a whole number >= 0`);
    return `const ${key}: u32 = ${value}u;`;
  }
  assert(type === 'f32', `parameter ${key} has the unknown type "${type}"`);
  return `const ${key}: f32 = ${Number.isInteger(value) ? value.toFixed(1) : value};`;
}

/** The shader is the only place that states bindings; here they are read back from it. */
function bindingsOf(code: string, where: () => string): Binding[] {
  const declaration = /^@group\(0\) @binding\((\d+)\) var<(storage|uniform)(?:, (read|read_write))?> (\w+)/gm;
  const bindings: Binding[] = [];
  for (const [, number, space, access, name] of code.matchAll(declaration)) {
    const binding = Number(number);
    const twin = bindings.find((other) => other.binding === binding);
    if (twin) throw new Error(`${where()}: ${twin.name} and ${name} share binding ${binding}`);
    assert(name !== undefined, 'the pattern has a name');
    bindings.push({
      name,
      binding,
      access: space === 'uniform' ? 'uniform' : access === 'read_write' ? access : 'read',
    });
  }
  return bindings;
}
