/** The parts of `firstlight chat` that need no terminal: Markdown as it arrives, messages of several lines, lines that fit. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { historyPath, readHistory, writeHistory } from '../../bin/chat/history.ts';
import { createMarkdownWriter } from '../../bin/chat/markdown.ts';
import { createMessageReader, pipedQuestions, terminalQuestions } from '../../bin/chat/questions.ts';
import { runSlash, SETTINGS, SLASHES, slashHelp, type Talk } from '../../bin/chat/slash.ts';
import { formatStatus } from '../../bin/chat/status.ts';
import { loadTranscript, saveTranscript } from '../../bin/chat/transcript.ts';
import { formatProgress } from '../../bin/output.ts';
import { withoutControls } from '../../bin/screen.ts';
import { fitParts, widthOf } from '../../bin/terminal.ts';
import type { Chat } from '../../engine/chat.ts';
import { createRandom } from '../kernel.ts';
import { expectError } from './expect-error.ts';
import { temporaryFolder } from './temporary-folder.ts';

const test = suite('chat terminal');
const writeFolder = temporaryFolder(test);

function render(parts: readonly string[], columns: number, color: boolean): string {
  let out = '';
  const writer = createMarkdownWriter({
    write: (text) => {
      out += text;
    },
    columns: () => columns,
    color,
  });
  for (const part of parts) writer.push(part);
  writer.end();
  return out;
}

const MARKDOWN = `# A title

Some **bold words** and \`code --flag\` and 2 * 3 ** 4, with _this_ and *that*.

- an item that is long enough to be broken at the fortieth column
  - and one in it, long enough as well, to see where it goes on
10. ten

\`\`\`ts
const code = 'is never broken, however long it is, for it is copied from here';
# no heading
\`\`\`
\u4e2d\u6587\u5b57\u7b26\u6ca1\u6709\u7a7a\u683c\u6240\u4ee5\u53ef\u4ee5\u5728\u4efb\u4f55\u5730\u65b9\u65ad\u5f00\u8fd9\u662f\u5f88\u957f\u7684\u4e00\u884c
`;

test('words are kept whole, lines fit, code stays as it is', () => {
  const lines = render([MARKDOWN], 40, false).split('\n');
  const code = lines.findIndex((line) => line.startsWith('const code'));
  assert.is(lines[code], MARKDOWN.match(/^const code.*$/m)?.[0]);
  for (const [i, line] of lines.entries()) if (i !== code) assert.ok(widthOf(line) <= 40, `${widthOf(line)}: ${line}`);
  const joined = (text: string) => text.replace(/\s+/g, '');
  assert.is(joined(lines.join('\n')), joined(MARKDOWN), 'without colours not a letter is lost');
  assert.ok(lines.includes('- an item that is long enough to be'));
  assert.ok(lines.includes('  broken at the fortieth column'), 'items go on below their text');
});

test('with colours marks become styles, which all end', () => {
  const out = render([MARKDOWN], 80, true);
  const plain = stripVTControlCharacters(out);
  assert.match(plain, /^Some bold words and code --flag and 2 \* 3 /m);
  assert.match(out, '\x1b[1mbold words\x1b[22m');
  assert.match(out, '\x1b[36mcode --flag\x1b[39m');
  assert.match(out, '\x1b[1m# A title\x1b[22m');
  assert.match(out, '\x1b[36m# no heading\n');
  for (const [on, off] of [
    ['\x1b[1m', '\x1b[22m'],
    ['\x1b[36m', '\x1b[39m'],
  ] as const)
    assert.ok(out.lastIndexOf(off) > out.lastIndexOf(on));
  assert.ok(!render(['**bold', ' and no end'], 80, true).endsWith('\x1b[1m'));
});

test('it does not matter how the text comes in pieces', () => {
  const random = createRandom(2);
  const wanted = [false, true].map((color) => render([MARKDOWN], 33, color));
  for (let round = 0; round < 60; round++) {
    const parts: string[] = [];
    for (let at = 0; at < MARKDOWN.length; ) {
      const length = 1 + random.below(9);
      parts.push(MARKDOWN.slice(at, at + length));
      at += length;
    }
    assert.is(render(parts, 33, round % 2 === 1), wanted[round % 2]);
  }
});

test('a window that changes its size changes the lines that follow', () => {
  let columns = 60;
  let out = '';
  const writer = createMarkdownWriter({
    write: (text) => {
      out += text;
    },
    columns: () => columns,
    color: false,
  });
  writer.push(`${'word '.repeat(24)}\n`);
  columns = 20;
  writer.push(`${'word '.repeat(24)}\n`);
  const widths = out.split('\n').map(widthOf);
  assert.is(Math.max(...widths), 59);
  assert.ok(Math.max(...widths.slice(-4)) <= 20);
});

test('what a model says cannot move the cursor', () => {
  assert.is(withoutControls('a\x1b[2Jb\x07\x08c\u009b1m\td\ne'), 'a[2Jbc1m\td\ne');
  assert.not.match(render(['x\x1b]0;title\x07 y'], 80, false), '\x1b');
});

test('messages of several lines: quotes, a backslash, what is pasted', () => {
  const read = (...lines: (string | readonly [string])[]) => {
    const reader = createMessageReader();
    const messages: string[] = [];
    for (const line of lines) {
      const message = typeof line === 'string' ? reader.push(line) : reader.push(line[0], true);
      if (message !== undefined) messages.push(message);
    }
    return { messages, rest: reader.end() };
  };
  assert.equal(read('one', 'two').messages, ['one', 'two']);
  assert.equal(read('"""', 'one', '', 'two', '"""', 'three').messages, ['one\n\ntwo', 'three']);
  assert.equal(read('"""one', 'two"""').messages, ['one\ntwo']);
  assert.equal(read('"""one"""').messages, ['one']);
  assert.equal(read('one\\', 'two\\', 'three').messages, ['one\ntwo\nthree']);
  assert.equal(read(['pasted'], ['lines'], 'end').messages, ['pasted\nlines\nend']);
  assert.equal(read('"""', 'open'), { messages: [], rest: '\nopen' });
});

test('from a pipe each line is a message, the last one too', async () => {
  const questions = pipedQuestions(Readable.from(['one\ntwo\n"""\nthree\nfo', 'ur\n"""\nfive']));
  const got: (string | undefined)[] = [];
  for (let i = 0; i < 5; i++) got.push(await questions.ask(false));
  assert.equal(got, ['one', 'two', 'three\nfour', 'five', undefined]);
});

test('in a line, what is typed or pasted stands where the cursor is, beside wide characters too', async () => {
  const input = new PassThrough();
  const questions = terminalQuestions({
    input: input as unknown as NodeJS.ReadStream,
    output: Object.assign(new PassThrough().resume(), { columns: 80 }) as unknown as NodeJS.WriteStream,
    ...{ history: [], prompt: '> ', words: ['/help'], hint: '' },
  });
  const left = '\x1b[D';
  for (const [keys, wanted] of [
    [['ac', left, 'XY', '!', '\r'], 'aXY!c'],
    [['\u4e2d\u{1f389}\u6587', left, left, 'XY\u{1f389}', '\r'], '\u4e2dXY\u{1f389}\u{1f389}\u6587'],
    [['\u{1f389}b', '\x7f\x7f', 'c', '\r'], 'c'],
    [['end', 'less\r'], 'endless'],
    [['/h', '\t', '\r'], '/help'],
    [['\x1b[200~a\tb\tc\x1b[201~', '\r'], 'a\tb\tc'],
  ] as const) {
    const asked = questions.ask(false);
    for (const key of keys) {
      input.write(key);
      await new Promise(setImmediate);
    }
    assert.is(await asked, wanted);
  }
});

test('the status line tells what there is room for', () => {
  const pool = (used: number, total: number) => ({ usedBytes: used * 2 ** 30, totalBytes: total * 2 ** 30 });
  const status = {
    stats: { promptTokens: 100, reusedTokens: 0, prefillMs: 2000, tokens: 41, decodeMs: 4000 },
    used: 141,
    context: 4096,
    deviceBytes: 3.9 * 2 ** 30,
    pools: [
      ['carve-out', pool(0.9, 1)],
      ['GTT', pool(3.2, 7.9)],
    ] as const,
    energy: { joules: 40, seconds: 4 },
  };
  assert.is(
    formatStatus(status, 200),
    '10.0 tok/s | context 141/4096 | 10.0 W, 1.00 tok/J | 3.9 GiB | carve-out 0.9/1.0 | GTT 3.2/7.9 | prompt 50.0 tok/s',
  );
  for (const columns of [20, 40, 80]) assert.ok(formatStatus(status, columns).length <= columns - 2);
  assert.is(
    formatStatus({ ...status, pools: [], energy: undefined, deviceBytes: 2 ** 20 }, 60),
    '10.0 tok/s | context 141/4096 | 1.0 MiB',
  );
  assert.is(fitParts(['\u4e2d\u6587', 'ab'], ' ', 6), '\u4e2d\u6587');
});

test('progress tells part, speed and time left, as far as it fits', () => {
  const line = formatProgress('loading', 1 << 30, 4 * 2 ** 30, 2000, 79, 'bytes');
  assert.is(line, `loading [${'#'.repeat(8)}${'.'.repeat(22)}] 25 %  512 MiB/s  6 s left`);
  assert.is(formatProgress('reading', 30, 4000, 2000, 60), `reading [${'.'.repeat(29)}] 0 %  4 min 25 s left`);
  for (let columns = 5; columns < 90; columns++)
    assert.ok(formatProgress('loading', 3, 7, 900, columns, 'bytes').length <= columns, `${columns}`);
});

test('a conversation is written and read back; other files are left alone', async () => {
  const folder = await writeFolder(
    'saved',
    new Map([
      ['notes.txt', 'mine'],
      ['broken.json', '{"format":"firstlight-chat"'],
    ]),
  );
  const path = join(folder, 'chat.json');
  const messages = [
    { role: 'user', content: 'h\u00e9llo\n"x"' },
    { role: 'assistant', content: '' },
  ] as const;
  await saveTranscript(path, { model: 'm', messages });
  await saveTranscript(path, { model: 'm', messages });
  assert.equal(await loadTranscript(path), { model: 'm', messages });
  await expectError(
    () => saveTranscript(join(folder, 'notes.txt'), { model: 'm', messages }),
    'bad-argument',
    /is no saved chat/,
  );
  assert.is(readFileSync(join(folder, 'notes.txt'), 'utf8'), 'mine');
  await expectError(
    () => saveTranscript(join(folder, 'no/where'), { model: 'm', messages }),
    'bad-argument',
    /cannot be written/,
  );
  for (const name of ['notes.txt', 'broken.json'])
    await expectError(() => loadTranscript(join(folder, name)), 'bad-file', /is no saved chat/);
  await expectError(() => loadTranscript('/dev/zero'), 'bad-file', /is no saved chat/);
  const zeros = () => saveTranscript('/dev/zero', { model: 'm', messages });
  await expectError(zeros, 'bad-argument', /is there and is no saved chat/);
  await expectError(() => loadTranscript(join(folder, 'none')), 'bad-argument', /cannot be read/);
  writeFileSync(path, readFileSync(path, 'utf8').replace('"version": 1', '"version": 2'));
  await expectError(() => loadTranscript(path), 'bad-file', /newer firstlight/);
});

test('history keeps lines for the next time, the newest first', async () => {
  const folder = await writeFolder('state', new Map());
  const path = historyPath({ XDG_STATE_HOME: folder });
  assert.equal(await readHistory(path), []);
  await writeHistory(path, ['third', 'second', 'first']);
  assert.equal(await readHistory(path), ['third', 'second', 'first']);
  assert.is(readFileSync(path, 'utf8'), 'first\nsecond\nthird\n');
  await writeHistory(join(path, 'below', 'a file'), ['x']); // that it cannot is no error
  mkdirSync(join(folder, 'taken'));
  await writeHistory(join(folder, 'taken'), ['x']);
  assert.equal(readdirSync(folder).sort(), ['firstlight', 'taken'], 'nothing is left behind');
});

/** A talk whose model nobody asks. */
function talkOf(messages: Chat['messages'] = []) {
  const printed: string[] = [];
  let present = messages;
  const chat = {
    get messages() {
      return present;
    },
    dropped: 2,
    session: { context: 10 },
    countTokens: async () => 3,
    resetChat(start: Parameters<Chat['resetChat']>[0]) {
      const system = start?.system === undefined ? [] : [{ role: 'system' as const, content: start.system }];
      present = [...system, ...(start?.messages ?? [])];
    },
    undo: () => false,
  } as unknown as Chat;
  const talk: Talk = {
    chat,
    model: 'm',
    settings: {},
    options: {},
    print: (text) => void printed.push(text),
    describe: async () => 'fast',
    regenerate: async () => void printed.push('again\n'),
    checkModel: async (name) => {
      if (name === 'none') throw new Error('no model');
    },
  };
  return { talk, printed };
}

test('commands of the conversation', async () => {
  const { talk, printed } = talkOf([
    { role: 'system', content: 'be kind' },
    { role: 'user', content: 'x' },
  ]);
  const say = async (line: string) => {
    printed.length = 0;
    const next = await runSlash(talk, line);
    return { next, text: printed.join('') };
  };
  assert.match((await say('/help')).text, '/regen');
  for (const leave of ['/exit', '/bye', '/quit']) assert.is((await say(leave)).next, 'exit');
  assert.is((await say('/stats')).text, 'fast\n');
  assert.is((await say('/regen')).text, 'again\n');
  assert.match((await say('/undo')).text, 'nothing to take back');
  assert.match(
    (await say('/context')).text,
    /^\[#{12}\.{28}\] 3 of 10 tokens; 2 messages, 2 of them no longer read\n$/,
  );
  assert.is((await say('/system')).text, 'be kind\n');
  await say('/system be short');
  assert.equal(talk.chat.messages, [
    { role: 'system', content: 'be short' },
    { role: 'user', content: 'x' },
  ]);
  await say('/reset');
  assert.equal(talk.chat.messages, [{ role: 'system', content: 'be short' }]);
  await say('/system off');
  assert.equal(talk.chat.messages, []);
  assert.equal((await say('/reload')).next, { reload: 'm' });
  assert.equal((await say('/reload other.gguf')).next, { reload: 'other.gguf' });
  const fails = async (line: string, message: RegExp) => {
    const error: Error = await runSlash(talk, line).then(
      () => assert.unreachable(line) as never,
      (error) => error,
    );
    assert.match(error.message, message);
  };
  await fails('/reload none', /no model/);
  await fails('/sats', /unknown command \/sats: did you mean \/stats\?/);
  await fails('/constructor', /unknown command/);
  await fails('/save', /a file is missing: \/save FILE/);
});

test('/set shows, changes and takes back what the flags of sampling do', async () => {
  const { talk, printed } = talkOf();
  const set = async (line: string) => {
    printed.length = 0;
    await runSlash(talk, `/set ${line}`);
    return printed.join('');
  };
  assert.is(await set('temp 0.7'), 'temp 0.7\n');
  assert.is(talk.options.temperature, 0.7);
  assert.is(await set('temp'), 'temp 0.7\n');
  assert.match(await set(''), /temp = 0\.7 /);
  assert.is(await set('temp default'), 'temp default\n');
  assert.is(talk.options.temperature, undefined);
  assert.is(await set('ignore-eos'), 'ignore-eos on\n');
  assert.is(await set('ignore-eos off'), 'ignore-eos default\n');
  await set('stop one');
  assert.is(await set('stop two words'), 'stop "one" "two words"\n');
  assert.equal(talk.options.stop, ['one', 'two words']);
  assert.is(await set('tokens 5'), 'tokens 5\n');
  assert.is(talk.options.maxTokens, 5);
  await set('json-schema {"type":"integer"}');
  assert.ok(talk.options.grammar);
  for (const [line, message] of [
    ['temp hot', /^temp is "hot": it must be a number from 0 to 100/],
    ['tmp 1', /unknown setting tmp: did you mean temp\?/],
    ['ignore-eos maybe', /ignore-eos is on or off/],
    ['json-schema {"not":{}}', /keyword "not"/],
  ] as const)
    assert.match(
      await runSlash(talk, `/set ${line}`).then(
        () => '',
        (error) => error.message,
      ),
      message,
    );
  assert.is(talk.options.maxTokens, 5, 'what is wrong changes nothing');
});

test('help fits the terminal and names everything', () => {
  for (const columns of [40, 80, 120]) {
    const help = slashHelp(columns);
    for (const line of help.split('\n')) assert.ok(line.length <= columns, line);
    for (const name of Object.keys(SLASHES)) assert.match(help, `/${name}`);
  }
  assert.ok(Object.keys(SETTINGS).includes('temp'));
});

test.run();
