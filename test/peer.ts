/**
 * Times firstlight and llama.cpp on the same GPU and the same file, by turns, and prints the ratios as a Markdown table, or
 * everything as JSON. Both warm the GPU up before they measure; what counts are medians over all turns.
 *
 *   npm run bench:peer -- --peer PATH/llama-bench model.gguf [-p 512] [-n 128] [-d 0] [-r 3] [--turns 3] [--json]
 *
 * `--peer` is llama.cpp's llama-bench, or a program that prints one line of JSON with `runs: [{pp512: [...], tg128: [...]}]`,
 * the samples behind two summary figures. `--peer-args=...` are given to it as they are, such as `--peer-args='-p 2048 -n 512'`.
 *
 *   npm run bench:peer -- --peer PATH/llama-batched-bench model.gguf --streams 1,4,16,32 [-n 128] [-r 3] [--turns 3]
 *
 * times text generation by so many sequences at once, in tokens per second of all together, by the kernels of single sequences
 * and with `--fast-batch`. `--peer` is llama.cpp's llama-batched-bench then, or test/peer-streams.c, which prints the same lines.
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';

const run = promisify(execFile);

/** Tokens per second of each repetition, by llama-bench's name of the test. */
type Samples = Map<string, number[]>;

interface Wanted {
  readonly prompt: number;
  readonly tokens: number;
  readonly depth: number;
  readonly repetitions: number;
}

/** As a program prints it that measures both tests at once. */
interface OneLine {
  readonly model: string;
  readonly runs: readonly Readonly<Record<string, unknown>>[];
  readonly d: number;
}

/** An entry of llama-bench's `-o json`. */
interface BenchEntry {
  readonly n_prompt: number;
  readonly n_gen: number;
  readonly n_depth?: number;
  readonly samples_ts: readonly number[];
}

/** A line of llama-batched-bench's `--output-format jsonl`. */
interface BatchedLine {
  readonly tg: number;
  readonly pl: number;
  readonly speed_tg: number;
}

const nameOf = (kind: 'pp' | 'tg', tokens: number, depth: number) => `${kind}${tokens}${depth > 0 ? `@d${depth}` : ''}`;

/** What llama-batched-bench has printed: tokens per second of all streams together, by our names of the tests. */
export function readStreams(output: string): Samples {
  const samples: Samples = new Map();
  for (const text of output.split('\n').filter((line) => line.startsWith('{'))) {
    const { tg, pl, speed_tg: speed } = JSON.parse(text) as BatchedLine;
    add(samples, new Map([[`tg${tg}x${pl}`, [speed]]]));
  }
  if (samples.size === 0) throw new Error(`the peer printed no lines of llama-batched-bench: ${output.slice(0, 200)}`);
  return samples;
}

/** The same samples by names with something behind them. */
function renamed(samples: Samples, suffix: string): Samples {
  return new Map([...samples].map(([name, values]) => [name + suffix, values]));
}

/** What a peer has printed: llama-bench's JSON array, or the one line. */
export function readPeer(output: string, depth: number): Samples {
  const samples: Samples = new Map();
  const text = output.trim();
  if (text.startsWith('[')) {
    for (const { n_prompt, n_gen, n_depth = 0, samples_ts } of JSON.parse(text) as BenchEntry[])
      samples.set(n_gen > 0 ? nameOf('tg', n_gen, n_depth) : nameOf('pp', n_prompt, n_depth), [...samples_ts]);
    return samples;
  }
  const line = text.split('\n').find((one) => one.startsWith('{') && one.includes('"runs"'));
  if (!line) throw new Error(`the peer printed neither llama-bench's JSON nor a line with runs: ${text.slice(0, 200)}`);
  for (const one of (JSON.parse(line) as OneLine).runs) {
    for (const [name, figures] of Object.entries(one)) {
      if (!/^(pp|tg)\d+$/.test(name) || !Array.isArray(figures)) continue;
      samples.set(depth > 0 ? `${name}@d${depth}` : name, (figures as number[]).slice(2)); // behind mean and deviation
    }
  }
  return samples;
}

/** What `firstlight bench --json` has printed. */
export function readOurs(output: string): Samples {
  const { results } = JSON.parse(output) as { results: { name: string; tokensPerSecond: number[] }[] };
  return new Map(results.map(({ name, tokensPerSecond }) => [name, tokensPerSecond]));
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export interface Comparison {
  readonly test: string;
  readonly firstlight: number;
  readonly peer: number;
  readonly ratio: number;
}

/** Medians of what both have measured. */
export function compare(ours: Samples, peer: Samples): Comparison[] {
  return [...ours].flatMap(([test, samples]) => {
    const others = peer.get(test);
    if (!others || others.length === 0) return [];
    const [firstlight, their] = [median(samples), median(others)];
    return [{ test, firstlight, peer: their, ratio: firstlight / their }];
  });
}

function add(to: Samples, from: Samples): void {
  for (const [name, samples] of from) to.set(name, [...(to.get(name) ?? []), ...samples]);
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      peer: { type: 'string' },
      'peer-args': { type: 'string', default: '' },
      prompt: { type: 'string', short: 'p', default: '512' },
      tokens: { type: 'string', short: 'n', default: '128' },
      depth: { type: 'string', short: 'd', default: '0' },
      repetitions: { type: 'string', short: 'r', default: '3' },
      turns: { type: 'string', default: '3' },
      streams: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  });
  const [file] = positionals;
  if (!values.peer || !file)
    throw new Error('usage: bench:peer --peer PROGRAM FILE.gguf; see the head of test/peer.ts');
  const { peer: program } = values;
  const wanted: Wanted = {
    prompt: Number(values.prompt),
    tokens: Number(values.tokens),
    depth: Number(values.depth),
    repetitions: Number(values.repetitions),
  };
  const numbers = ['-p', values.prompt, '-n', values.tokens, '-d', values.depth, '-r', values.repetitions];
  const theirs = ['-fa', '1', '-r', values.repetitions, ...(wanted.depth > 0 ? ['-d', values.depth] : [])];
  const standard = /llama-bench$/.test(program);
  const peerArgs = standard ? ['-m', file, '-o', 'json', '-ngl', '99', '-fa', '1', ...numbers] : [file, ...theirs];
  const cli = fileURLToPath(new URL('../bin/firstlight.ts', import.meta.url));
  const ours: Samples = new Map();
  const peer: Samples = new Map();
  const extra = values['peer-args'].split(' ').filter(Boolean);
  const limits = { maxBuffer: 1 << 26 };
  const bench = async (...args: readonly string[]) =>
    readOurs((await run(process.execPath, ['--import', 'tsx', cli, 'bench', file, '--json', ...args], limits)).stdout);
  for (let turn = 0; turn < Number(values.turns); turn++) {
    if (values.streams !== undefined) {
      const { streams, tokens, repetitions } = values;
      const standard = /llama-batched-bench$/.test(program);
      const room = Math.max(...streams.split(',').map(Number)) * (Number(tokens) + 32);
      const format = ['-npp', '1', '-c', String(room), '--output-format', 'jsonl'];
      const theirs = ['-m', file, '-ngl', '99', '-fa', '1', '-npl', streams, '-ntg', tokens];
      const repeated = standard ? format : ['-r', repetitions];
      const told = readStreams((await run(program, [...theirs, ...repeated, ...extra], limits)).stdout);
      for (const flag of ['', '--fast-batch']) {
        const suffix = flag && ` ${flag}`;
        add(peer, renamed(told, suffix));
        const args = ['--streams', streams, '-n', tokens, '-r', repetitions, ...(flag ? [flag] : [])];
        add(ours, renamed(await bench(...args), suffix));
      }
      continue;
    }
    add(peer, readPeer((await run(program, [...peerArgs, ...extra], limits)).stdout, wanted.depth));
    add(ours, await bench(...numbers));
  }
  const table = compare(ours, peer);
  if (values.json) {
    console.log(JSON.stringify({ file, table, ours: Object.fromEntries(ours), peer: Object.fromEntries(peer) }));
    return;
  }
  console.log('| test | firstlight, tokens/s | llama.cpp, tokens/s | ratio |\n|---|---|---|---|');
  for (const { test, firstlight, peer: their, ratio } of table)
    console.log(`| ${test} | ${firstlight.toFixed(1)} | ${their.toFixed(1)} | ${ratio.toFixed(2)} |`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
