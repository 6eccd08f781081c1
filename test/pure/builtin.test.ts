import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { unzipSync } from 'fflate';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createRandom } from '../../engine/builtin/corpus/random.ts';
import { makeStory } from '../../engine/builtin/corpus/stories.ts';
import { makeTalk, requestedStory } from '../../engine/builtin/corpus/talk.ts';
import { fill, polish } from '../../engine/builtin/corpus/template.ts';
import { names } from '../../engine/builtin/corpus/words.ts';
import { makeDocument } from '../../engine/builtin/corpus.ts';

const stories = Array.from({ length: 500 }, (_, seed) => makeStory(createRandom(seed)));
const allNames = [...names.he, ...names.she];

function wordsOf(text: string): readonly string[] {
  return text.match(/[A-Za-z]+/g) ?? [];
}

test('a document depends on its seed and on nothing else', () => {
  assert.equal(makeDocument(42), makeDocument(42));
  const documents = Array.from({ length: 400 }, (_, seed) => JSON.stringify(makeDocument(seed)));
  assert.ok(new Set(documents).size > 390, 'neighbouring seeds give different documents');
});

test('the corpus is the same on every machine', () => {
  const hash = createHash('sha256');
  for (let seed = 0; seed < 300; seed++) hash.update(`${JSON.stringify(makeDocument(seed))}\n`);
  assert.is(hash.digest('hex'), '8dfde01dbcbde4853c529991ff5971d826433181e933b453ea543719c37d8021');
});

test('stories vary in how they begin, go on and end', () => {
  const first = new Set(stories.map(({ text }) => text.split(/(?<=[.!?]"?) /)[0]));
  const last = new Set(stories.map(({ text }) => text.split(/(?<=[.!?]"?)\s/).at(-1)));
  const openings = new Set(stories.map(({ text }) => wordsOf(text).slice(0, 4).join(' ')));
  assert.ok(first.size > 450, `${first.size} first sentences`);
  assert.ok(last.size > 200, `${last.size} last sentences`);
  assert.ok(openings.size > 60, `${openings.size} openings of four words`);
  assert.is(new Set(stories.map(({ text }) => text)).size, stories.length);
});

test('stories are of the promised length and hold no leftovers of templates', () => {
  for (const { text } of stories) {
    const { length } = wordsOf(text);
    assert.ok(length >= 70 && length <= 260, `${length} words: ${text}`);
    assert.not.match(text, /[{}[\]|~_<>]|undefined| {2}| [.,!?]|\.\./);
  }
});

test('sentences begin with a capital, paragraphs end with a mark, articles fit', () => {
  for (const { text } of stories) {
    for (const paragraph of text.split('\n\n')) {
      assert.match(paragraph, /^"?[A-Z]/);
      assert.match(paragraph, /[.!?]"?$/);
      assert.not.match(paragraph, /[.] "?[a-z]|[.]" "?[a-z]/);
      assert.is((paragraph.match(/"/g) ?? []).length % 2, 0, `open quotation: ${paragraph}`);
    }
    assert.not.match(text, /\b[Aa] [aeiou][a-z]+ |\b[Aa]n [bcdfgjklmnpqrstvwxyz]/);
  }
});

test('only the names of the cast appear', () => {
  for (const { text, cast } of stories) {
    const strangers = wordsOf(text).filter((word) => allNames.includes(word) && !cast.includes(word));
    assert.equal(strangers, [], text);
    assert.ok(wordsOf(text).filter((word) => word === cast[0]).length >= 2, `the hero ${cast[0]} is named: ${text}`);
  }
});

test('girls have girls names, and pronouns follow', () => {
  for (const { text } of stories) {
    const [, noun, name] = /\b(girl|boy) (?:named|called) ([A-Z][a-z]+)/.exec(text) ?? [];
    if (!noun || !name || !allNames.includes(name)) continue;
    assert.ok(names[noun === 'girl' ? 'she' : 'he'].includes(name), text);
  }
});

test('a requested story has the hero that was asked for', () => {
  let checked = 0;
  for (let seed = 0; seed < 600; seed++) {
    const { turn } = requestedStory(createRandom(seed));
    const [, noun, name] = /story about an? (?:\w+ )?(\w+) (?:named|called) ([A-Za-z]+)/.exec(turn.user) ?? [];
    if (!noun || !name) continue;
    checked++;
    assert.ok(turn.assistant.toLowerCase().includes(name.toLowerCase()), `${turn.user}\n${turn.assistant}`);
    assert.ok(turn.assistant.includes(noun), `${turn.user}\n${turn.assistant}`);
  }
  assert.ok(checked > 20, `${checked} requests with a name`);
});

test('questions about a story name its hero', () => {
  let checked = 0;
  for (let seed = 0; seed < 3000; seed++) {
    const turns = makeTalk(createRandom(seed));
    turns.forEach(({ assistant }, at) => {
      const [, noun, name] = /^The (\w+) was called ([A-Z]\w+)\.$/.exec(assistant) ?? [];
      if (!noun || !name) return;
      checked++;
      const story = turns[at - 1]!.assistant;
      assert.ok(story.includes(name) && story.includes(noun), `${assistant}\n${story}`);
    });
  }
  assert.ok(checked > 50, `${checked} questions`);
});

test('a story about weather is about the weather that was asked for', () => {
  const words: Record<string, RegExp> = { 'the rain': /rained/, 'a snowstorm': /snow/, 'the wind': /wind/ };
  let checked = 0;
  for (const { text, topic } of Array.from({ length: 6000 }, (_, seed) => makeStory(createRandom(seed)))) {
    if (!words[topic]) continue;
    checked++;
    assert.match(text, words[topic]);
  }
  assert.ok(checked > 20, `${checked} stories`);
});

test('sums and differences are right', () => {
  let checked = 0;
  for (let seed = 0; seed < 2000; seed++) {
    for (const { assistant } of makeTalk(createRandom(seed))) {
      const [, x, word, y, result] = /^(\d+) (plus|minus) (\d+) is (\d+)\.$/.exec(assistant) ?? [];
      if (!x) continue;
      checked++;
      assert.is(word === 'plus' ? Number(x) + Number(y) : Number(x) - Number(y), Number(result), assistant);
    }
  }
  assert.ok(checked > 300, `${checked} sums`);
});

test('templates: choices, slots, articles, capitals', () => {
  const random = createRandom(1);
  const text = fill('[one|one] {fruit}. a~ {fruit}, a~ pear. "no!" he said.', () => '[apple|apple]', random);
  assert.is(polish(text), 'One apple. An apple, a pear. "No!" he said.');
  assert.throws(() => fill('{x}', () => '{x}', random), /does not end/);
});

test('storyteller.zip holds a complete model in blocks of 4 bits', () => {
  const bytes = readFileSync(new URL('../../engine/builtin/storyteller.zip', import.meta.url));
  assert.ok(bytes.length < 6e6, `${bytes.length} bytes`);
  const entries = unzipSync(bytes);
  const expected = [
    'config.json',
    'generation_config.json',
    'model.safetensors',
    'tokenizer.json',
    'tokenizer_config.json',
  ];
  assert.equal(Object.keys(entries).sort(), expected);
  const json = (name: string) => JSON.parse(new TextDecoder().decode(entries[name]));

  const config = json('config.json');
  assert.equal(config.architectures, ['LlamaForCausalLM']);
  assert.is(config.tie_word_embeddings, true);

  const file = entries['model.safetensors']!;
  const headerBytes = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + headerBytes)));
  assert.equal(header.__metadata__, { format: 'firstlight-q4' });
  const hidden = config.hidden_size;
  const queries = config.num_attention_heads * config.head_dim;
  const keys = config.num_key_value_heads * config.head_dim;
  const feedForward = config.intermediate_size;
  const matrices: [string, number, number][] = [['model.embed_tokens', config.vocab_size, hidden]];
  const norms = ['model.norm'];
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const at = `model.layers.${layer}`;
    norms.push(`${at}.input_layernorm`, `${at}.post_attention_layernorm`);
    matrices.push([`${at}.self_attn.q_proj`, queries, hidden], [`${at}.self_attn.o_proj`, hidden, queries]);
    matrices.push([`${at}.self_attn.k_proj`, keys, hidden], [`${at}.self_attn.v_proj`, keys, hidden]);
    matrices.push([`${at}.mlp.gate_proj`, feedForward, hidden], [`${at}.mlp.up_proj`, feedForward, hidden]);
    matrices.push([`${at}.mlp.down_proj`, hidden, feedForward]);
  }
  let end = 0;
  const check = (name: string, dtype: string, shape: number[], elementBytes: number) => {
    const entry = header[name];
    assert.ok(entry, `${name} is there`);
    assert.equal([entry.dtype, entry.shape], [dtype, shape], name);
    const [from, to] = entry.data_offsets;
    assert.is(
      to - from,
      shape.reduce((product, side) => product * side, elementBytes),
      name,
    );
    assert.is(from % elementBytes, 0, `${name} is aligned`);
    end = Math.max(end, to);
  };
  for (const name of norms) check(`${name}.weight`, 'F32', [hidden], 4);
  for (const [name, rows, cols] of matrices) {
    assert.is(cols % 32, 0);
    check(`${name}.weight.codes`, 'U8', [rows, cols / 2], 1);
    check(`${name}.weight.scales`, 'F16', [rows, cols / 32], 2);
  }
  assert.is(Object.keys(header).length, 1 + norms.length + 2 * matrices.length);
  assert.is(8 + headerBytes + end, file.length);
});

test('the tokenizer knows all bytes, and the expected ids belong to it', () => {
  const entries = unzipSync(readFileSync(new URL('../../engine/builtin/storyteller.zip', import.meta.url)));
  const json = (name: string) => JSON.parse(new TextDecoder().decode(entries[name]));
  const { model, added_tokens: added } = json('tokenizer.json');
  const vocab = json('config.json').vocab_size;
  const single = Object.entries(model.vocab as Record<string, number>).filter(([token]) => [...token].length === 1);
  assert.is(single.length, 256);
  assert.is(Object.keys(model.vocab).length + added.length, vocab);
  assert.is(model.merges.length, vocab - 256 - added.length);
  assert.equal(
    added.map(({ content }: { content: string }) => content),
    ['<|begin|>', '<|end|>', '<|user|>', '<|assistant|>'],
  );

  const expected = JSON.parse(readFileSync(new URL('../../engine/builtin/expected.json', import.meta.url), 'utf8'));
  assert.is(expected.prompt_ids[0], added[0].id);
  assert.is(expected.greedy_ids.length, 64);
  assert.is(expected.gaps.length, 64);
  const texts = new Map(Object.entries(model.vocab as Record<string, number>).map(([token, id]) => [id, token]));
  const prompt = expected.prompt_ids.slice(1).map((id: number) => texts.get(id));
  assert.is(prompt.join('').replaceAll('Ġ', ' '), expected.prompt);
  assert.is(expected.top5[0].id, expected.greedy_ids[0]);
  assert.ok(Math.abs(expected.top5[0].logit - expected.top5[1].logit - expected.gaps[0]) < 1e-5);
});

test.run();
