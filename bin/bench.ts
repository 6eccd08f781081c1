/** `firstlight bench`: speed, with the test names and the protocol of llama-bench. */

import { type BenchResult, benchTest, bench as measure, profileDecode } from '../engine/bench.ts';
import { loadModel } from '../engine/model.ts';
import { createSession } from '../engine/session.ts';
import { defineCommand } from './arguments.ts';
import { ADAPTER_FLAG, openAdapter, openMeasured, SHAPE_FLAG } from './model.ts';
import { mebibytes, note, print, printJson, table } from './output.ts';
import { tuningFor, tuningMode } from './tuning.ts';

const count = (about: string, most = 1_000_000) => ({ kind: 'number', whole: true, least: 0, most, about }) as const;

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
    prompt: { ...count('prompt tokens of the pp test; 0 = leave it out; default 512'), short: 'p' },
    tokens: { ...count('tokens of the tg test; 0 = leave it out; default 128'), short: 'n' },
    depth: { ...count('positions that are in the context beforehand; default 0'), short: 'd' },
    repetitions: { kind: 'number', whole: true, least: 1, most: 1000, short: 'r', about: 'default 5' },
    blog: { kind: 'switch', about: 'the protocol of MLC: one prompt token, 512 generated' },
    profile: { kind: 'switch', about: 'also the time of every step of one token, with the bytes it reads' },
    exact: { kind: 'switch', about: 'f32 arithmetic' },
    ...ADAPTER_FLAG,
    'no-tune': { kind: 'switch', about: 'use no measured kernel variants' },
    retune: { kind: 'switch', about: 'measure the kernel variants anew' },
    json: { kind: 'switch', about: 'one JSON object' },
  },
  async run(values, [path], signal) {
    const device = await openAdapter(values);
    const checkpoint = await openMeasured(values, path);
    try {
      const startMs = performance.now();
      const model = await loadModel(device, checkpoint, {
        arithmetic: values.exact ? 'f32' : undefined,
        weights: values.type ? 'native' : undefined, // a float type is meant as such
        signal,
      });
      const loadMs = performance.now() - startMs;
      const tuning = await tuningFor(model, tuningMode(values));
      const { prompt = 512, tokens = 128, depth = 0 } = values;
      const tests = values.blog
        ? [benchTest('decode', 512)]
        : [
            ...(prompt > 0 ? [benchTest('prefill', prompt, depth)] : []),
            ...(tokens > 0 ? [benchTest('decode', tokens, depth)] : []),
          ];
      const { name, driver, software } = device.traits;
      const weightBytes = model.memory().weights;
      if (!values.json)
        note(
          `${model.path} on ${name}, ${driver}${software ? ' (a CPU, not a GPU)' : ''}: ` +
            `${mebibytes(weightBytes)} of weights, loaded in ${(loadMs / 1000).toFixed(2)} s`,
        );
      const results = await measure(model, tests, {
        repetitions: values.repetitions,
        signal,
        tuning,
        onResult: (result) => !values.json && print(line(result)),
      });
      let profile: Awaited<ReturnType<typeof profileDecode>>;
      if (values.profile) {
        const session = await createSession(model, { context: depth + 64, tuning });
        if (depth > 0)
          for await (const _ of session.generate(new Array(depth).fill(100), { temperature: 0, maxTokens: 1, signal }));
        profile = await profileDecode(session);
        if (!profile) note('this device has no timestamps: there is no profile');
        await session.close();
      }
      if (values.json)
        printJson({ model: model.path, device: name, driver, software, weightBytes, loadMs, results, profile });
      else if (profile) print(profileTable(profile));
      await model.close();
    } finally {
      await checkpoint.close();
      device.close();
    }
  },
});

function line({ name, median, deviation, tokensPerSecond }: BenchResult): string {
  const each = tokensPerSecond.map((value) => value.toFixed(1)).join(' ');
  return `${name.padEnd(12)} ${median.toFixed(2).padStart(10)} tokens/s  +- ${deviation.toFixed(2)}  (${each})\n`;
}

function profileTable(rows: readonly { name: string; count: number; microseconds: number; bytes: number }[]): string {
  const total = rows.reduce((sum, row) => sum + row.microseconds, 0);
  return table([
    ['step', 'count', 'us', 'us each', 'MB', 'GB/s', 'share'],
    ...rows.map(({ name, count: times, microseconds, bytes }) => [
      name,
      String(times),
      microseconds.toFixed(1),
      (microseconds / times).toFixed(2),
      bytes > 0 ? (bytes / 1e6).toFixed(1) : '',
      bytes > 0 ? (bytes / microseconds / 1000).toFixed(0) : '',
      `${((100 * microseconds) / total).toFixed(1)} %`,
    ]),
    ['sum', '', total.toFixed(1), '', '', '', ''],
  ]);
}
