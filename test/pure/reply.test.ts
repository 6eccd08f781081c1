/** Reasoning and function calls in a model's text, however it comes in pieces. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createReplyReader, type ReplyOptions, type ReplyPart } from '../../engine/reply.ts';

const test = suite('reply');

/** Neighbouring parts of one kind joined. */
function read(text: string, options: ReplyOptions, pieceLength: number): ReplyPart[] {
  const reader = createReplyReader(options);
  const parts: ReplyPart[] = [];
  const add = (part: ReplyPart) => {
    const last = parts.at(-1);
    if (last && last.kind !== 'call' && part.kind === last.kind)
      parts[parts.length - 1] = { ...last, text: last.text + part.text };
    else parts.push(part);
  };
  for (let at = 0; at < text.length; at += pieceLength) reader.push(text.slice(at, at + pieceLength)).forEach(add);
  reader.end().forEach(add);
  return parts;
}

const text = (text: string): ReplyPart => ({ kind: 'text', text });
const reasoning = (text: string): ReplyPart => ({ kind: 'reasoning', text });
const call = (name: string, input: string): ReplyPart => ({ kind: 'call', name, input });
const functions = new Set(['weather', 'time']);

const cases: readonly (readonly [title: string, text: string, options: ReplyOptions, wanted: ReplyPart[]])[] = [
  ['plain', 'Hello, world', {}, [text('Hello, world')]],
  ['nothing', '', {}, []],
  ['a less-than sign at the end', 'a < b <', { functions }, [text('a < b <')]],
  ['reasoning', '<think>\nHm.\n</think>\n\nYes.', {}, [reasoning('\nHm.\n'), text('Yes.')]],
  ['reasoning that the prompt has opened', 'Hm.</think>Yes.', { thinking: true }, [reasoning('Hm.'), text('Yes.')]],
  ['reasoning that does not end', '<think>Hm', {}, [reasoning('Hm')]],
  ['something like the tag', '<thinner> than', {}, [text('<thinner> than')]],
  ['the tag later in the text', 'The tag <think> is', {}, [text('The tag <think> is')]],
  [
    'a call in tags',
    'Let me see.\n<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>',
    { functions },
    [text('Let me see.'), call('weather', '{"city":"Rome"}')],
  ],
  [
    'two calls behind reasoning',
    '<think>a</think><tool_call>{"name":"time"}</tool_call>\n<tool_call>{"name":"weather","arguments":{}}</tool_call>',
    { functions },
    [reasoning('a'), call('time', '{}'), call('weather', '{}')],
  ],
  ['a call whose end is missing', '<tool_call>{"name":"time"}', { functions }, [call('time', '{}')]],
  [
    'no JSON in the tags',
    '<tool_call>time please</tool_call> ok',
    { functions },
    [text('<tool_call>time please</tool_call> ok')],
  ],
  ['a function that is not there', '{"name":"rm"}', { functions }, [text('{"name":"rm"}')]],
  [
    'an object',
    ' {"name":"weather","parameters":{"city":"Rome"}}',
    { functions },
    [call('weather', '{"city":"Rome"}')],
  ],
  [
    'a list',
    '[{"name":"time","arguments":{}},{"name":"time"}]',
    { functions },
    [call('time', '{}'), call('time', '{}')],
  ],
  ['JSON that is no call', '{"a":1} and so on', { functions }, [text('{"a":1} and so on')]],
  [
    'calls where there are no functions',
    '<tool_call>{"name":"time"}</tool_call>',
    {},
    [text('<tool_call>{"name":"time"}</tool_call>')],
  ],
];
for (const [title, input, options, wanted] of cases) {
  test(title, () => {
    for (const length of [1, 2, 3, 5, 100]) assert.equal(read(input, options, length), wanted, `pieces of ${length}`);
  });
}

test.run();
