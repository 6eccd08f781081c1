/** `firstlight bench`: speed, with the test names and the protocol of llama-bench. */

import {
  type BenchResult,
  type BenchTest,
  benchTest,
  bench as measure,
  type ProfileRow,
  profilePass,
  profileSubmission,
  type Submission,
  usualTests,
} from '../engine/bench.ts';
import { benchGrammar, type GrammarResult, type MaskTimes } from '../engine/bench-grammar.ts';
import { benchStreams } from '../engine/bench-streams.ts';
import type { Grammar } from '../engine/grammar.ts';
import { parseGbnf } from '../engine/grammar-gbnf.ts';
import { JSON_GRAMMAR } from '../engine/grammar-json.ts';
import { loadModel } from '../engine/model.ts';
import { createSession } from '../engine/session.ts';
import { defineCommand, UsageError, type Values } from './arguments.ts';
import { openMeasured, SHAPE_FLAG } from './measured.ts';
import { readTextFile } from './model.ts';
import { ADAPTER_FLAG, PLACEMENT_FLAGS, TUNING_FLAGS, tuningMode } from './model-flags.ts';
import { mebibytes, note, print, printJson, table } from './output.ts';
import { describeStreaming, openAdapter } from './session.ts';
import { tuningFor } from './tuning.ts';

const count = (about: string, most = 1_000_000) => ({ kind: 'number', whole: true, least: 0, most, about }) as const;

const DEFAULT_PROMPT = 512;
const DEFAULT_TOKENS = 128;

export const bench = defineCommand({
  operands: ['[MODEL]'],
  about: [
    'Measures prompt processing (pp) and text generation (tg) in tokens per second, as llama-bench names and counts them: ' +
      'the median of several repetitions on a GPU that has been warmed up, one sequence, greedy choice on the GPU.',
    'MODEL is a folder or a file; without one, --shape makes random weights of a known shape, and without either the ' +
      'built-in model is measured.',
  ],
  flags: {
    ...SHAPE_FLAG,
    prompt: { ...count(`prompt tokens of the pp test; 0 = leave it out; default ${DEFAULT_PROMPT}`), short: 'p' },
    tokens: { ...count(`tokens of the tg test; 0 = leave it out; default ${DEFAULT_TOKENS}`), short: 'n' },
    depth: { ...count('positions that are in the context beforehand; default 0'), short: 'd' },
    repetitions: { kind: 'number', whole: true, least: 1, most: 1000, short: 'r', about: 'default 5' },
    streams: {
      kind: 'text',
      placeholder: 'N,...',
      about: 'text generation by so many sequences at once, in tokens per second of all together, such as 1,4,16,32',
    },
    grammar: {
      kind: 'text',
      placeholder: 'json|FILE',
      about:
        'what it costs that texts must be JSON, or follow a GBNF grammar: speed without and with, CPU time a token',
    },
    'fast-batch': { kind: 'switch', about: 'with --streams: as in "firstlight serve"' },
    full: {
      kind: 'switch',
      about: 'pp128, pp512, pp2048, tg128, pp512 at a depth of 4096, as far as the context allows',
    },
    blog: { kind: 'switch', about: 'the protocol of MLC: one prompt token, 512 generated' },
    profile: {
      kind: 'switch',
      about: 'also the time of every step of one token, and of a pass over 512 prompt tokens',
    },
    exact: { kind: 'switch', about: 'f32 arithmetic' },
    kv: PLACEMENT_FLAGS.kv,
    memory: PLACEMENT_FLAGS.memory,
    'no-stream': PLACEMENT_FLAGS['no-stream'],
    ...ADAPTER_FLAG,
    ...TUNING_FLAGS,
    json: { kind: 'switch', about: 'one JSON object' },
  },
  async run(values, [path], signal) {
    const streams = values.streams === undefined ? undefined : streamsOf(values.streams);
    const grammar = values.grammar === undefined ? undefined : await readGrammar(values.grammar);
    const device = await openAdapter(values);
    const checkpoint = await openMeasured(values, path);
    try {
      const startMs = performance.now();
      const model = await loadModel(device, checkpoint, {
        arithmetic: values.exact ? 'f32' : undefined,
        weights: values.type ? 'native' : undefined, // a float type is meant as such
        kv: values.kv,
        memoryBytes: values.memory,
        stream: !values['no-stream'],
        signal,
      });
      const loadMs = performance.now() - startMs;
      const tuning = await tuningFor(model, tuningMode(values));
      const { prompt = DEFAULT_PROMPT, tokens, depth = 0 } = values;
      const tests = testsOf(values, model.config.context);
      const { name, driver, software } = device.traits;
      const weightBytes = model.memory().weights;
      const streaming = describeStreaming(model);
      if (streaming) note(`firstlight: ${streaming}`);
      if (!values.json)
        note(
          `${model.path} on ${name}, ${driver}${software ? ' (a CPU, not a GPU)' : ''}: ` +
            `${mebibytes(weightBytes)} of weights, loaded in ${(loadMs / 1000).toFixed(2)} s`,
        );
      const onResult = (result: BenchResult) => !values.json && print(line(result));
      if (streams) {
        const results: BenchResult[] = [];
        const { repetitions } = values;
        for (const count of streams) {
          const options = { repetitions, tokens, tuning, signal, fastBatch: values['fast-batch'] };
          results.push(await benchStreams(model, count, options));
          onResult(results.at(-1)!);
        }
        if (values.json) printJson({ model: model.path, device: name, driver, software, weightBytes, loadMs, results });
        await model.close();
        return;
      }
      if (grammar) {
        const { repetitions } = values;
        const found = await benchGrammar(model, grammar, { repetitions, tokens, tuning, signal });
        for (const result of found.results) onResult(result);
        if (values.json)
          printJson({ model: model.path, device: name, driver, software, weightBytes, loadMs, ...found });
        else print(grammarLines(found));
        await model.close();
        return;
      }
      const results = await measure(model, tests, {
        repetitions: values.repetitions,
        signal,
        tuning,
        onResult,
      });
      const profiles: Record<string, readonly ProfileRow[]> = {};
      let submission: Submission | undefined;
      if (values.profile) {
        const columns = Math.min(prompt, model.plan.chunk);
        const session = await createSession(model, { context: depth + Math.max(columns, 64), tuning });
        if (depth > 0)
          for await (const _ of session.generate(new Array(depth).fill(100), { temperature: 0, maxTokens: 1, signal }));
        for (const count of columns > 1 ? [1, columns] : [1]) {
          const rows = await profilePass(session, count);
          if (rows) profiles[count === 1 ? 'decode' : `prefill of ${count}`] = rows;
        }
        const decode = results.find(({ kind }) => kind === 'decode');
        if (decode) submission = await profileSubmission(session, decode.median);
        if (Object.keys(profiles).length === 0) note('this device has no timestamps: there is no profile');
        await session.close();
      }
      if (values.json)
        printJson({
          ...{ model: model.path, device: name, driver, software, weightBytes, loadMs },
          ...{ results, profiles, submission },
        });
      else {
        for (const [what, rows] of Object.entries(profiles)) print(profileTable(what, rows));
        if (submission) print(submissionLine(submission));
      }
      await model.close();
    } finally {
      await checkpoint.close();
      device.close();
    }
  },
});

/** What is measured of a model with so long a context. */
export function testsOf(
  {
    prompt = DEFAULT_PROMPT,
    tokens = DEFAULT_TOKENS,
    depth = 0,
    full,
    blog,
  }: Pick<Values<typeof bench.flags>, 'prompt' | 'tokens' | 'depth' | 'full' | 'blog'>,
  context: number,
): readonly BenchTest[] {
  if (blog) return [benchTest('decode', 512)];
  if (full) return usualTests(context);
  return [
    ...(prompt > 0 ? [benchTest('prefill', prompt, depth)] : []),
    ...(tokens > 0 ? [benchTest('decode', tokens, depth)] : []),
  ];
}

function streamsOf(text: string): number[] {
  const counts = text.split(',').map(Number);
  if (counts.every((count) => Number.isInteger(count) && count >= 1 && count <= 64)) return counts;
  throw new UsageError(
    `--streams is ${JSON.stringify(text)}: it must be whole numbers from 1 to 64, separated by commas`,
  );
}

async function readGrammar(wanted: string): Promise<Grammar> {
  return wanted === 'json' ? JSON_GRAMMAR : parseGbnf(await readTextFile(wanted, '--grammar'));
}

function grammarLines({ overhead, first, later }: GrammarResult): string {
  const times = ({ median, p99 }: MaskTimes) => `${median.toFixed(3)} ms, 99 % within ${p99.toFixed(2)} ms`;
  return (
    `a token takes ${(100 * overhead).toFixed(1)} % longer with the grammar; its mask takes the CPU ${times(later)} ` +
    `(in the first text ${times(first)})\n`
  );
}

function line({ name, kind, tokens, median, deviation, tokensPerSecond, loopBusy }: BenchResult): string {
  const each = tokensPerSecond.map((value) => value.toFixed(1)).join(' ');
  const speed = `${name.padEnd(12)} ${median.toFixed(2).padStart(10)} tokens/s  +- ${deviation.toFixed(2)}  (${each})`;
  return kind === 'decode'
    ? `${speed}, event loop ${(100 * loopBusy).toFixed(0)} % busy\n`
    : `${speed}, first token after ${((1000 * tokens) / median).toFixed(0)} ms\n`;
}

function submissionLine({ medianMs, quickestMs }: Submission): string {
  return `recording and submitting a token takes the CPU ${medianMs.toFixed(2)} ms, at best ${quickestMs.toFixed(2)}\n`;
}

function profileTable(what: string, rows: readonly ProfileRow[]): string {
  const total = rows.reduce((sum, row) => sum + row.microseconds, 0);
  const operations = rows.reduce((sum, row) => sum + row.operations, 0);
  const rate = (value: number, microseconds: number, unit: number) =>
    value > 0 ? (value / microseconds / unit).toFixed(unit === 1e6 ? 1 : 0) : '';
  return table([
    [what, 'count', 'us', 'us each', 'MB', 'GB/s', 'TFLOP/s', 'share'],
    ...rows.map((row) => [
      row.name,
      String(row.count),
      row.microseconds.toFixed(1),
      (row.microseconds / row.count).toFixed(2),
      row.bytes > 0 ? (row.bytes / 1e6).toFixed(1) : '',
      rate(row.bytes, row.microseconds, 1e3),
      rate(row.operations, row.microseconds, 1e6),
      `${((100 * row.microseconds) / total).toFixed(1)} %`,
    ]),
    ['sum', '', total.toFixed(1), '', '', '', rate(operations, total, 1e6), ''],
  ]);
}
