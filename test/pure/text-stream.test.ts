/** Text as it is shown: however it is cut into tokens, whole characters come, and stop strings never, not even in part. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createTextStream } from '../../engine/text-stream.ts';
import { createTokenizer } from '../../engine/tokenizer.ts';
import { vocabFromTokenizerJson } from '../../loaders/vocab-json.ts';
import { createRandom } from '../kernel.ts';
import { expectError } from './expect-error.ts';
import { byteLevelJson } from './small-tokenizers.ts';

const test = suite('text stream');
const tokenizer = createTokenizer(vocabFromTokenizerJson(byteLevelJson(), {}, {}, 'small'));

/** Ids of the bytes one by one. */
function idsOf(text: string): number[] {
  return Array.from(Buffer.from(text), (byte) => byteIds[byte]!);
}
const byteIds: number[] = [];
for (let id = 0; id < tokenizer.vocabSize; id++) {
  const bytes = tokenizer.bytes(id);
  if (bytes.length === 1 && !tokenizer.isSpecial(id)) byteIds[bytes[0]!] = id;
}

function show(ids: readonly number[], stop: readonly string[]) {
  const stream = createTextStream(tokenizer, { stop });
  const parts = ids.map((id) => stream.push(id));
  const held = stream.end();
  return { parts, held, text: parts.join('') + held, stopped: stream.stopped };
}

test('without stop strings all text comes, in whole characters', () => {
  const text = 'na\u00efve \u4e2d\u6587 \ud83d\ude00 e\u0301nd';
  const { parts, held, text: shown } = show(idsOf(text), []);
  assert.is(shown, text);
  assert.is(held, '');
  for (const part of parts) assert.not.match(part, /\ufffd|[\ud800-\udbff]$/);
  assert.is(show(idsOf(text).slice(0, 3), []).text, 'na\ufffd', 'what stays incomplete is told at the end');
});

test('a stop string ends the text, wherever it lies between tokens', () => {
  const text = 'Hello world.\n\nUser: hi';
  assert.equal({ ...show(idsOf(text), ['\nUser:', 'never']) }.text, 'Hello world.\n');
  assert.is(show(idsOf(text), ['\nUser:']).stopped, '\nUser:');
  assert.is(show(tokenizer.encode(text), ['world']).text, 'Hello ');
  assert.is(show(idsOf(text), ['Hello']).text, '');
  assert.is(show(idsOf(text), ['x', 'lo', 'llo']).text, 'He', 'of those that end together the longest');
  assert.is(show(idsOf('abcd'), ['abcd', 'bc']).text, 'a', 'the one that is complete first');
  assert.is(show(idsOf('abc'), ['bcd', 'c']).stopped, 'c');
  assert.is(show(idsOf('abc\ud83d\ude00d'), ['\ud83d\ude00']).text, 'abc');
  assert.is(show(idsOf('ends in Use'), ['User:']).text, 'ends in Use', 'half of one is text after all');
});

/** Reads on until a stop string is complete, as someone would who watches for them. */
function beforeStop(text: string, stop: readonly string[]): string {
  for (let end = 1; end <= text.length; end++) {
    const met = stop.filter((one) => text.slice(0, end).endsWith(one)).map((one) => one.length);
    if (met.length > 0) return text.slice(0, end - Math.max(...met));
  }
  return text;
}

test('random texts and stop strings: what is shown is the text before a stop string, never more', () => {
  const random = createRandom(4);
  const word = (length: number) => Array.from({ length }, () => 'ab\u00e9\u4e2d'[random.below(4)]).join('');
  let stops = 0;
  for (let round = 0; round < 3000; round++) {
    const text = word(random.below(30));
    const stop = Array.from({ length: 1 + random.below(3) }, () => word(1 + random.below(4)));
    const wanted = beforeStop(text, stop);
    const stream = createTextStream(tokenizer, { stop });
    let shown = '';
    for (const id of random.below(2) ? idsOf(text) : tokenizer.encode(text, { bos: false })) {
      shown += stream.push(id);
      assert.ok(wanted.startsWith(shown), `${JSON.stringify(shown)} of ${JSON.stringify(text)} before ${stop}`);
    }
    assert.is(shown + stream.end(), wanted, JSON.stringify({ text, stop }));
    if (wanted !== text) stops++;
  }
  assert.ok(stops > 500 && stops < 2900, `${stops} of 3000 stop`);
});

test('an empty stop string is refused', () =>
  expectError(() => createTextStream(tokenizer, { stop: ['a', ''] }), 'bad-argument', /stop string is empty/));

test.run();
