/**
 * Runs chat templates: Jinja as Hugging Face transformers sets it up, by @huggingface/jinja, with what that library does
 * otherwise than Python's jinja2 mended where templates notice it: values that are printed (True, None, lists and
 * dictionaries look as in Python), a few names of tests, and range(). What it does not know is an error and never a
 * wrong text: {% raw %}, {%+, loop.cycle, printf-style %, str.find, count, format and splitlines, the filters batch,
 * groupby, map by a filter's name, round, select, sum and wordcount, and exponents in numbers. One thing it forgives: an
 * attribute of an undefined value is undefined.
 */
import type { Environment } from '@huggingface/jinja';

/** Numbers that all calls of range() give at most, and values that are printed; a template must not take all memory. */
const MOST_NUMBERS = 10_000;
const MOST_PRINTED = 1_000_000;

/** What raise_exception() of a template throws: it does not take these messages. */
export class TemplateRefusal extends Error {}

/**
 * The text that a template gives, with trim_blocks and lstrip_blocks.
 * @param variables beside Jinja's own, range and raise_exception; functions take and give plain values
 * @throws TemplateRefusal for raise_exception(), other errors for a template that does not work
 */
export async function renderTemplate(template: string, variables: Readonly<Record<string, unknown>>): Promise<string> {
  const jinja = await import('@huggingface/jinja'); // only here: most programs never chat
  const environment = new jinja.Environment();
  addTests(environment);
  const constants = { true: true, false: false, none: null, True: true, False: false, None: null };
  const functions = { range: createRange(), raise_exception: refuse };
  for (const [name, value] of Object.entries({ ...constants, ...functions, ...variables }))
    environment.set(name, value);
  environment.setVariable(PRINT, createPrinter());
  const program = jinja.parse(jinja.tokenize(template, { lstrip_blocks: true, trim_blocks: true }));
  printLikePython(program as unknown as Node);
  return String(new jinja.Interpreter(environment).run(program).value);
}

function refuse(message: unknown): never {
  throw new TemplateRefusal(String(message));
}

/** Python's range. */
function createRange(): (first: number, end?: number, step?: number) => number[] {
  let left = MOST_NUMBERS;
  return (first, end, step = 1) => {
    const start = end === undefined ? 0 : first;
    const length = Math.max(0, Math.ceil(((end ?? first) - start) / step));
    if (!(length <= left)) throw new Error(`range() over more than ${MOST_NUMBERS} numbers`);
    left -= length;
    return Array.from({ length }, (_, index) => start + index * step);
  };
}

type Test = (...values: { readonly value: unknown }[]) => boolean;

/** Names that Python has for tests that are there; the map is shared by all environments. */
function addTests(environment: Environment): void {
  const tests = environment.tests as Map<string, Test>;
  if (tests.has('==')) return;
  for (const name of ['==', 'eq']) tests.set(name, (a, b) => a?.value === b?.value);
  for (const name of ['!=', 'ne']) tests.set(name, (a, b) => a?.value !== b?.value);
}

/** Not a name that a template could use. */
const PRINT = '*print';

interface Node {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** Fields of statements that hold statements. */
const BODIES = ['body', 'alternate', 'defaultBlock'];
const STATEMENTS: ReadonlySet<string> = new Set([
  ...['Set', 'If', 'For', 'Macro', 'CallStatement', 'FilterStatement', 'Break', 'Continue', 'Comment'],
  'StringLiteral', // the text between
]);

/** Puts a call of the printer around each expression that stands for its value, is joined by ~ or made a string. */
function printLikePython(node: Node): void {
  for (const child of Object.values(node).flat()) if (isNode(child)) printLikePython(child);
  for (const field of BODIES) {
    const body = node[field];
    if (!Array.isArray(body)) continue;
    body.forEach((statement: Node, i) => {
      if (!STATEMENTS.has(statement.type)) body[i] = printed(statement);
    });
  }
  const { operator, filter } = node;
  if (node.type === 'BinaryExpression' && isToken(operator) && operator.value === '~')
    Object.assign(node, { left: printed(node.left), right: printed(node.right) });
  if (node.type === 'FilterExpression' && isNode(filter) && filter.type === 'Identifier' && filter.value === 'string')
    Object.assign(node, printed(node.operand));
}

function printed(expression: unknown): Node {
  return { type: 'CallExpression', callee: { type: 'Identifier', value: PRINT }, args: [expression] };
}

function isToken(value: unknown): value is { readonly value: unknown } {
  return typeof value === 'object' && value !== null && 'value' in value;
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'type' in value;
}

/** A value of the library: its classes are not exported. */
interface Value {
  readonly type: string;
  readonly value: unknown;
}

function createPrinter(): never {
  let left = MOST_PRINTED;
  const print = ([value]: readonly Value[]): Value => {
    if (--left < 0) throw new Error(`it prints more than ${MOST_PRINTED} values`);
    if (!value) return { type: 'UndefinedValue', value: undefined };
    const text = value.type === 'StringValue' ? String(value.value) : pythonText(value);
    return { type: 'StringValue', value: text, toString: () => text } as Value;
  };
  // the library takes its own values as they are
  return { type: 'FunctionValue', value: print } as never;
}

/** Python's str() of a number, None, list, dict and so on; strings within those are quoted. */
function pythonText({ type, value }: Value): string {
  switch (type) {
    case 'UndefinedValue':
      return '';
    case 'NullValue':
      return 'None';
    case 'BooleanValue':
      return value === true ? 'True' : 'False';
    case 'FloatValue':
      return pythonFloat(Number(value));
    case 'StringValue':
      return pythonQuoted(String(value));
    case 'ArrayValue':
      return `[${listed(value)}]`;
    case 'TupleValue': {
      const items = listed(value);
      return (value as readonly unknown[]).length === 1 ? `(${items},)` : `(${items})`;
    }
    case 'ObjectValue': {
      const entries = [...(value as ReadonlyMap<string, Value>)];
      return `{${entries.map(([key, one]) => `${pythonQuoted(key)}: ${pythonText(one)}`).join(', ')}}`;
    }
    default:
      return String(value);
  }
}

function listed(values: unknown): string {
  return (values as readonly Value[]).map(pythonText).join(', ');
}

function pythonFloat(value: number): string {
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e16 || size < 1e-4)) return value.toExponential().replace(/e([+-])(\d)$/, 'e$10$2');
  if (Object.is(value, -0)) return '-0.0';
  return Number.isInteger(value) ? value.toFixed(1) : String(value);
}

/** Python's repr() of a string, but for characters that it does not call printable. */
function pythonQuoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = text.replace(/[\\\n\r\t]/g, (character) => ESCAPES[character]!);
  return quote + (quote === "'" ? escaped.replaceAll("'", "\\'") : escaped) + quote;
}

const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' };
