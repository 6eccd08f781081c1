/** The command line as its users meet it: a child process on small models, good and broken. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { COMMANDS } from '../../bin/commands.ts';
import { encodeChat } from '../../engine/chat-template.ts';
import { createTokenizer } from '../../engine/tokenizer.ts';
import { openCheckpoint } from '../../loaders/checkpoint.ts';
import { deviceTests, testAdapter } from '../device.ts';
import { hasSharedData, readSharedJson, reportSkipped, sharedPath } from '../pure/shared-data.ts';
import { byteLevelJson } from '../pure/small-tokenizers.ts';
import { temporaryFolder } from '../pure/temporary-folder.ts';
import { configJson, ggufFile, randomWeights, SMALL_LLAMA, safetensorsFolder } from '../random-model.ts';
import { type Outcome, runCli } from '../run-cli.ts';

const ADAPTER = testAdapter === undefined ? [] : ['--adapter', testAdapter];
const CONFIG = { ...SMALL_LLAMA, vocab: 271, context: 2048 };
const WEIGHTS = randomWeights(CONFIG);
const FILES = safetensorsFolder(CONFIG, WEIGHTS);
const SAFETENSORS = FILES.get('model.safetensors')!;
const TOKENIZER = JSON.stringify(byteLevelJson());
const TEMPLATE = "{% for m in messages %}{{ m['content'] }}<|end|>{% endfor %}";
const SETTINGS = { bos_token: '<|bos|>', add_bos_token: true };

/** The model's folder with some files more, or other ones. */
const withFiles = (files: Readonly<Record<string, Uint8Array | string>>) =>
  new Map<string, Uint8Array | string>([...FILES, ...Object.entries(files)]);

const CHAT = withFiles({
  'tokenizer.json': TOKENIZER,
  'tokenizer_config.json': JSON.stringify({ ...SETTINGS, eos_token: '<|end|>', chat_template: TEMPLATE }),
});
/** Has no end token, so that it never stops by itself. */
const ENDLESS = withFiles({ 'tokenizer.json': TOKENIZER, 'tokenizer_config.json': JSON.stringify(SETTINGS) });

const test = suite('command line');
const writeFolder = temporaryFolder(test);

/** One line on stderr that says it all. Drivers may print lines of their own before it. */
function expectFailure({ code, stdout, stderr }: Outcome, wantedCode: number, message: RegExp): void {
  assert.is(code, wantedCode, stderr);
  assert.is(stdout, '');
  const lines = stderr.split('\n').filter((line) => line.startsWith('firstlight: ') && !/plays GPU/.test(line));
  assert.is(lines.length, 1, stderr);
  assert.match(lines[0]!, message);
  assert.not.match(stderr, /^ +at .*\.[jt]s:/m, 'no stack trace');
}

test('tells its version and its commands', async () => {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  assert.equal(await runCli(['--version']), { code: 0, stdout: `${version}\n`, stderr: '' });
  const help = await runCli([]);
  assert.is(help.code, 0);
  for (const name of Object.keys(COMMANDS)) assert.match(help.stdout, new RegExp(`^  ${name} `, 'm'));
  const ofRun = await runCli(['run', '--help']);
  assert.is(ofRun.code, 0);
  assert.match(ofRun.stdout, 'Usage: firstlight run [MODEL] [PROMPT]');
  assert.equal(await runCli(['help', 'run']), ofRun);
});

test('says what is wrong with a command line', async () => {
  expectFailure(await runCli(['rnu']), 2, /unknown command "rnu": did you mean "firstlight run"\?/);
  expectFailure(await runCli(['model.gguf']), 2, /unknown command "model.gguf": to run a model use "firstlight run"/);
  expectFailure(await runCli(['run', '-n', '0']), 2, /-n is "0": .* \(firstlight run --help\)/);
  expectFailure(await runCli(['logits', '--ids', '1,x']), 2, /--ids is "1,x"/);
  expectFailure(await runCli(['logits']), 2, /--ids is missing/);
  expectFailure(await runCli(['perplexity']), 2, /FILE is missing/);
  expectFailure(await runCli(['run', 'hello', '--raw', '--template', 'gemma']), 2, /--raw uses no template/);
});

test('says what is wrong with a model', async () => {
  const cut = await writeFolder('cut', withFiles({ 'model.safetensors': SAFETENSORS.subarray(0, 9000) }));
  const wild = ggufFile(CONFIG, WEIGHTS);
  new DataView(wild.buffer, wild.byteOffset).setBigUint64(8, 2n ** 60n, true); // tensors
  const gguf = await writeFolder('wild', new Map([['wild.gguf', wild]]));
  const config = JSON.stringify({ ...configJson(CONFIG), architectures: ['OtherForCausalLM'], model_type: 'other' });
  const other = await writeFolder('other', withFiles({ 'config.json': config }));
  const broken = await writeFolder('broken', withFiles({ 'tokenizer.json': '{}' }));
  const without = await writeFolder('without', FILES);
  const cases: [args: string[], message: RegExp][] = [
    [['run', join(cut, 'none.gguf'), 'hello'], /none\.gguf does not exist: check the path/],
    [['run', './nothing/here'], /does not exist/],
    [['run', cut, 'hello'], /model\.safetensors.* tensors end at/],
    [['run', join(gguf, 'wild.gguf'), 'hello'], /wild\.gguf claims 1152921504606847000 tensors/],
    [['plan', other], /other.*architecture/i],
    [['tokenize', broken, 'hello'], /tokenizer\.json/],
    [['perplexity', without, join(without, 'none.txt')], /none\.txt does not exist/],
    [['tokenize', without, 'hello'], /has no tokenizer/],
    [
      ['run', without, 'hello', '--template', 'lama2'],
      /--template "lama2" is no file .* known templates: llama2, llama3/,
    ],
  ];
  for (const [args, message] of cases) expectFailure(await runCli(args), 1, message);
});

test('tokenizes without a GPU', async () => {
  const path = await writeFolder('chat', CHAT);
  const json = await runCli(['tokenize', path, 'hello<|end|>', '--json']);
  const pieces = ['<|bos|>', 'hello', '<|end|>'];
  assert.equal(JSON.parse(json.stdout), { ids: [268, 259, 269], pieces });
  const plain = await runCli(['tokenize', path, '-', '--no-special', '--json'], { stdin: '<|end|>\n' });
  const spelt = JSON.parse(plain.stdout);
  assert.is(spelt.pieces.slice(1).join(''), '<|end|>');
  assert.not.ok(spelt.ids.includes(269));
  const split = await runCli(['tokenize', path, '\u4e2d']);
  assert.is(split.stdout.split('\n').length, 5, split.stdout);
  assert.match(split.stdout, /"<0xE4>"\n.*"<0xB8>"\n.*"<0xAD>"/);
});

const check = await deviceTests(test);

check('a chat is answered, in text and in JSON, and no message forges control tokens', async () => {
  const path = await writeFolder('chat', CHAT);
  const prompt = 'hello <|end|>';
  const args = ['run', path, '-', '--seed', '7', '-n', '24', ...ADAPTER];
  const json = await runCli([...args, '--json'], { stdin: `${prompt}\n` });
  assert.is(json.code, 0, json.stderr);
  assert.is(json.stdout.split('\n').length, 2, 'one line');
  const answer = JSON.parse(json.stdout);

  const checkpoint = await openCheckpoint(path);
  const tokenizer = createTokenizer((await checkpoint.vocab())!);
  await checkpoint.close();
  const ids = await encodeChat(tokenizer, TEMPLATE, [{ role: 'user', content: prompt }]);
  assert.is(ids.filter((id) => id === 269).length, 1, 'the template ends the message, not the message itself');
  assert.is(answer.promptTokens, ids.length);
  assert.is(answer.tokens, answer.ids.length);
  assert.is(answer.finish, answer.ids.includes(269) ? 'stop' : 'length');
  assert.is(answer.text, tokenizer.decode(answer.ids));
  assert.is(answer.seed, 7);
  assert.ok(answer.stats.decodeTokensPerSecond > 0 && answer.stats.prefillTokensPerSecond > 0);
  assert.ok(answer.stats.memoryBytes > 0 && answer.stats.context === 2048);

  const text = await runCli(args, { stdin: prompt });
  assert.is(text.stdout, `${answer.text}\n`, 'streaming splits no character, and the seed decides');
  assert.match(
    text.stderr,
    /^chat on .*: weights \d.* MiB \(native\), KV \d.* MiB \(f16\), context 2048; at load .*free .*$/m,
  );
  assert.match(text.stderr, /^prefill: [\d.]+ tok\/s, decode: [\d.]+ tok\/s \(/m);
});

check('a chat model without a template asks for one, and takes it by name or from a file', async () => {
  const path = await writeFolder(
    'its-chat',
    withFiles({ 'tokenizer.json': TOKENIZER, 'short.jinja': 'o{{ messages[0].content }}' }),
  );
  const args = ['run', path, 'hello', '-n', '1', '--json', ...ADAPTER];
  expectFailure(
    await runCli([...args, '-q']),
    1,
    /its-chat is a chat model without a chat template.*--template \(llama2.*--raw/,
  );
  const prompts = [];
  for (const options of [['--raw'], ['--template', join(path, 'short.jinja')], ['--template', 'zephyr']])
    prompts.push(JSON.parse((await runCli([...args, ...options])).stdout).promptTokens);
  assert.equal(prompts, [1, 2, 9 + 1 + 1 + 15], 'zephyr: <|user|>, line break, hello, <|end|>, line break, ...');
});

check('perplexity of a text', async () => {
  const path = await writeFolder('endless', ENDLESS);
  const args = ['perplexity', path, '-', '--ctx', '16', '--stride', '4', ...ADAPTER];
  const text = 'hello world, hello <|end|>';
  const { code, stdout, stderr } = await runCli([...args, '--json'], { stdin: text });
  assert.is(code, 0, stderr);
  const checkpoint = await openCheckpoint(path);
  const ids = createTokenizer((await checkpoint.vocab())!).encode(text, { special: false, bos: false });
  await checkpoint.close();
  const { perplexity, tokens, windows, stride, context, nll } = JSON.parse(stdout);
  assert.equal([tokens, windows, stride, context], [ids.length, 1 + Math.ceil((ids.length - 15) / 4), 4, 16]);
  assert.ok(Math.abs(Math.log(perplexity) - nll) < 1e-9 && perplexity > 20, 'random weights foretell nothing');
});

check('Ctrl-C ends the text, with the stats and exit code 130', async () => {
  const path = await writeFolder('endless', ENDLESS);
  const args = ['run', path, 'hello', '-n', '2000', '--temp', '0', ...ADAPTER];
  const { code, stdout, stderr } = await runCli(args, { onOutput: (child) => child.kill('SIGINT') });
  assert.is(code, 130, stderr);
  assert.ok(stdout.length > 1 && stdout.length < 4000, `${stdout.length} characters`);
  assert.match(stderr, /^prefill: .* tok\/s, decode: .* tok\/s/m);
});

check('a reader who has seen enough ends it without a word', async () => {
  const path = await writeFolder('endless', ENDLESS);
  const args = ['run', path, 'hello', '-n', '2000', '--temp', '0', '-q', ...ADAPTER];
  const { code, stderr } = await runCli(args, { onOutput: (child) => child.stdout.destroy() });
  assert.is(code, 0, stderr);
  assert.not.match(stderr, /EPIPE|prefill|error:/i);
});

check('says what is wrong once the GPU is there', async () => {
  const chat = await writeFolder('chat', CHAT);
  const small = { ...CONFIG, vocab: 200 };
  const files = safetensorsFolder(small, randomWeights(small)).set('tokenizer.json', Buffer.from(TOKENIZER));
  const misfit = await writeFolder('misfit', files);
  const cases: [args: string[], stdin: string, code: number, message: RegExp][] = [
    [[misfit, 'hello', ...ADAPTER], '', 1, /tokenizer has 271 tokens but the model only 200/],
    [[chat, '-', '--ctx', '32', ...ADAPTER], 'a '.repeat(40), 1, /prompt has \d+ tokens and the context 32 positions/],
    [[chat, '--quiet', ...ADAPTER], '', 2, /give it a PROMPT/],
    [[chat, 'hello', '--adapter', 'Voodoo 2'], '', 1, /no adapter "Voodoo 2" on this machine: /],
  ];
  for (const [args, stdin, code, message] of cases)
    expectFailure(withoutPlacement(await runCli(['run', ...args], { stdin })), code, message);
});

/** The placement line is no failure. */
function withoutPlacement(outcome: Outcome): Outcome {
  return { ...outcome, stderr: outcome.stderr.replace(/^.* on .*: weights .*\n/gm, '') };
}

check('plan and devices describe what is there', async (device) => {
  const chat = await writeFolder('chat', CHAT);
  const plan = await runCli(['plan', chat, ...ADAPTER]);
  assert.is(plan.code, 0, plan.stderr);
  assert.match(plan.stdout, /^layers\.1\.attention +attention +\d/m);
  const [, steps, each] = plan.stdout.match(/^(\d+) steps, (\d) a layer, \d+ distinct kernels$/m) ?? [];
  // a sixth where GPUs cut attention between workgroups and nothing behind it joins the parts
  assert.ok(each === '5' || (each === '6' && !device.traits.software), plan.stdout);
  assert.is(Number(steps), 3 + CONFIG.layers * Number(each));
  const json = JSON.parse((await runCli(['plan', chat, '--json', '--ctx', '64', ...ADAPTER])).stdout);
  assert.is(json.steps.length, Number(steps));
  assert.is(json.totals.context, 64);
  assert.is(json.totals.bytes.kv, CONFIG.layers * 2 * CONFIG.kvHeads * 64 * CONFIG.headDim * 2);

  const estimate = await runCli(['estimate', chat, '--ctx', '64', ...ADAPTER]);
  assert.is(estimate.code, 0, estimate.stderr);
  assert.match(estimate.stdout, /^KV cache +1 {2}MiB {2}64 positions, f16$/m);
  assert.match(estimate.stdout, /^total +\d+ {2}MiB\n/m);
  const planned = JSON.parse((await runCli(['estimate', chat, '--ctx', '64', '--json', ...ADAPTER])).stdout);
  assert.is(planned.bytes.kv, json.totals.bytes.kv);
  assert.is(planned.context, 64);

  const { code, stdout, stderr } = await runCli(['devices', '--json']);
  assert.is(code, 0, stderr);
  const { machine, adapters } = JSON.parse(stdout);
  assert.ok(machine.kind && adapters.length > 0);
  const same = adapters.find(({ name }: { name: string }) => name === device.traits.name);
  if (same) assert.equal({ ...same, memory: undefined }, { ...device.traits, memory: undefined });
  assert.ok(!same || same.memory.rule.length > 0);
});

const AIDREAMS = 'models/aidreams260K/hf';
if (hasSharedData) {
  const path = sharedPath(AIDREAMS);
  test('tokenizes as expected elsewhere', async () => {
    const { cases } = readSharedJson('models/aidreams260K/tokenizer-vectors.json') as {
      cases: { text: string; ids_with_special: number[] }[];
    };
    for (const { text, ids_with_special } of [cases[0]!, cases.find((one) => one.text === 'Hello world')!]) {
      const { stdout } = await runCli(['tokenize', path, text, '--json']);
      assert.equal(JSON.parse(stdout).ids, ids_with_special);
    }
  });

  check('greedy ids and logits are those computed elsewhere', async () => {
    const { runs } = readSharedJson(`${AIDREAMS}/expected.json`) as {
      runs: { prompt_text: string; prompt_ids: number[]; greedy_ids: number[] }[];
    };
    const [, prompted] = runs;
    const args = ['run', path, prompted!.prompt_text, '--raw', '--json', '--temp', '0', '--exact', '-n', '32'];
    const run = await runCli([...args, ...ADAPTER]);
    assert.is(run.code, 0, run.stderr);
    const { ids, promptTokens } = JSON.parse(run.stdout);
    assert.equal(ids, prompted!.greedy_ids.slice(0, 32));
    assert.is(promptTokens, prompted!.prompt_ids.length);

    const text = [...runs[0]!.prompt_ids, ...runs[0]!.greedy_ids].slice(0, 32);
    const top = await runCli(['logits', path, '--ids', text.join(','), '--top', '3', '--exact', '--json', ...ADAPTER]);
    assert.is(top.code, 0, top.stderr);
    const bytes = readFileSync(sharedPath(`${AIDREAMS}/logits.f32`));
    const expected = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
    const { positions } = JSON.parse(top.stdout) as {
      positions: { id: number; top: { id: number; logit: number }[] }[];
    };
    assert.equal(
      positions.map(({ id }) => id),
      text,
    );
    for (const [position, { top }] of positions.entries()) {
      const row = expected.subarray(512 * position, 512 * (position + 1));
      assert.is(top.length, 3);
      assert.is(top[0]!.id, row.indexOf(Math.max(...row)), `best at ${position}`);
      for (const { id, logit } of top) assert.ok(Math.abs(logit - row[id]!) < 1e-3, `logit of ${id} at ${position}`);
    }
  });
} else {
  reportSkipped('cli', 2);
}

check('without arguments the built-in model tells a story', async () => {
  const { code, stdout, stderr } = await runCli(['run', '-n', '24', ...ADAPTER]);
  assert.is(code, 0, stderr);
  assert.match(stdout, /^Once upon a time, \w/);
});

test.run();
