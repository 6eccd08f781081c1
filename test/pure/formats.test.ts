/** What people are told of the formats is what the code has. */
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FORMAT_TITLES, formatRows, formatsHelp } from '../../bin/formats.ts';
import { NAMED_TYPES } from '../../quant/file-types.ts';

const test = suite('formats');

test('the help has every type, in lines that fit a terminal', () => {
  const help = formatsHelp();
  for (const type of NAMED_TYPES) assert.match(help, new RegExp(`^${type}\\b`, 'm'));
  assert.match(help, /^Q6_K +6-bit codes, 8-bit scale for 16, f16 for 256 +6\.5625$/m);
  for (const line of help.split('\n')) assert.ok(line.length <= 100, line);
});

test("the README's table is that of the help", () => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  const [, table = ''] = readme.split(`| ${FORMAT_TITLES.join(' | ')} |\n|---|---|---|\n`);
  const rows = formatRows().map((row) => `| ${row.join(' | ')} |\n`);
  assert.is(table.slice(0, rows.join('').length), rows.join(''));
});

test.run();
