/**
 * What a Steam Deck should reach with Llama-2-7B in 4 bits, step by step, from what its own compiler makes of the kernels.
 *
 *   npm run predict [-- --family VANGOGH]
 *
 * A step takes the longer of two times: its bytes over the memory's rate, and its vector instructions over the rate of the
 * vector units. Instructions are counted in the machine code: what stands outside the hottest
 * loop once a wave, the loop itself as often as it turns. What is assumed stands in ASSUMED; nothing here was run on a Deck.
 */
import { fileURLToPath } from 'node:url';
import { headStride } from '../engine/kv-cache.ts';
import { planDecode, planPrefill } from '../engine/plan.ts';
import { randomCheckpoint } from '../engine/shapes.ts';
import type { PlanOptions, Step } from '../engine/steps.ts';
import { describeWeights, outputMatrix } from '../engine/weights.ts';
import { blocksOf, packedBytes } from '../quant/layout.ts';
import { specialise } from '../shaders/specialise.ts';
import { type Compiled, compileKernels, DECK, hasDeckCompiler } from './deck.ts';

/** Van Gogh: 8 compute units of 64 lanes; LPDDR5-5500 on 128 bits. */
const LANES = 8 * 64;
const WAVE = 64;
const ASSUMED = {
  dramBytesPerSecond: 88e9,
  /** What llama.cpp reaches of another APU's memory in decode, launches and all (Radeon 8060S, its pull request 16900). */
  dramShare: 0.8,
  /** Of the vector units' peak where they decide: issue slots lost to waits, and to waves that end unevenly. */
  aluShare: 0.65,
};
const CLOCKS_GHZ = [1.6, 1.0] as const;

interface Cost {
  readonly name: string;
  readonly bytes: number;
  /** Lanes times vector instructions. */
  readonly laneInstructions: number;
  readonly count: number;
}

/** Waves of a step, and turns of its hottest loop in each, for one pass. */
function workOf({ kernel, spec, grid }: Step, columns: number, keys: number): { waves: number; turns: number } {
  const groups = grid.x * Math.ceil((grid.over === 'columns' ? columns : 1) / grid.each);
  const depth = typeof grid.z === 'number' ? grid.z : 1;
  const threads = Number(spec.THREADS ?? spec.TILE ?? 256);
  const waves = groups * depth * Math.ceil((kernel === 'gemm-tiles' ? 256 : threads) / WAVE);
  if (kernel === 'gemv-lanes')
    return { waves, turns: Math.ceil(Number(spec.BLOCKS) / (Number(spec.SG) * Number(spec.K_SPLIT))) };
  if (kernel === 'gemm-tiles') return { waves, turns: Number(spec.BLOCKS) };
  if (kernel === 'attention') return { waves, turns: keys / ((threads / Number(spec.LANES)) * Number(spec.KEYS)) };
  return { waves, turns: 1 };
}

/** Costs of a pass over `columns` tokens that see `keys` keys on average, steps of all layers together. */
async function costsOf(plan: PlanOptions, steps: readonly Step[], columns: number, keys: number, family: string) {
  const distinct = new Map<string, Step>();
  for (const step of steps) distinct.set(`${step.kernel} ${JSON.stringify(step.spec)}`, step);
  const kernels = [...distinct].map(([label, { kernel, spec }]) => ({ label, code: specialise(kernel, spec).code }));
  const compiled = new Map((await compileKernels(kernels, family)).map((row) => [row.label, row as Counted]));
  const bytesOf = new Map<string, number>();
  for (const matrix of plan.weights.matrices.values()) {
    for (const part of matrix.parts) {
      const { codes, scales } = packedBytes(part.format, part.rows, matrix.cols);
      bytesOf.set(part.name, codes + scales);
    }
  }
  const output = outputMatrix(plan.config, plan.weights).name;
  const cacheBytes = 2 * plan.config.kvHeads * headStride(plan.config) * 2; // of a key and its value in one layer, f16
  const costs = new Map<string, Cost>();
  for (const step of steps) {
    const row = compiled.get(`${step.kernel} ${JSON.stringify(step.spec)}`)!;
    const { waves, turns } = workOf(step, columns, keys);
    const loop = row.loop?.valu ?? 0;
    const instructions = waves * (row.all.valu - loop + loop * (row.loop ? turns : 0));
    const name = step.name.replace(/^layers\.\d+\./, '');
    const weights = bytesOf.get(step.name === 'logits' ? output : step.name) ?? 0;
    // each column reads the cache for itself, where caches do not help
    const cache = step.name.endsWith('.attention') ? keys * cacheBytes * (columns > 1 ? columns / 8 : 1) : 0;
    const inputs = step.spec.BLOCKS ? columns * Number(step.spec.BLOCKS) * 48 : 0;
    const before = costs.get(name) ?? { name, bytes: 0, laneInstructions: 0, count: 0 };
    costs.set(name, {
      name,
      bytes: before.bytes + (name === 'embed' ? blocksOf(plan.config.hidden) * 18 * columns : weights) + cache + inputs,
      laneInstructions: before.laneInstructions + instructions * WAVE,
      count: before.count + 1,
    });
  }
  return [...costs.values()];
}

type Counted = Compiled & { readonly all: { readonly valu: number } };

function secondsOf({ bytes, laneInstructions }: Cost, gigahertz: number) {
  const memory = bytes / (ASSUMED.dramBytesPerSecond * ASSUMED.dramShare);
  const alu = laneInstructions / (LANES * gigahertz * 1e9 * ASSUMED.aluShare);
  return { memory, alu, total: Math.max(memory, alu) };
}

function printTable(title: string, costs: readonly Cost[], tokens: number): void {
  console.log(
    `\n### ${title}\n\n| step | dispatches | MB | memory, ms | vector units at 1.6 GHz, ms | at 1.0 GHz, ms |`,
  );
  console.log('|---|---|---|---|---|---|');
  const ms = (seconds: number) => (1000 * seconds).toFixed(2);
  for (const cost of costs) {
    const [fast, slow] = CLOCKS_GHZ.map((clock) => secondsOf(cost, clock)) as [
      ReturnType<typeof secondsOf>,
      ReturnType<typeof secondsOf>,
    ];
    console.log(
      `| ${cost.name} | ${cost.count} | ${(cost.bytes / 1e6).toFixed(1)} | ${ms(fast.memory)} | ${ms(fast.alu)} | ${ms(slow.alu)} |`,
    );
  }
  for (const clock of CLOCKS_GHZ) {
    const parts = costs.map((cost) => secondsOf(cost, clock));
    const total = parts.reduce((sum, part) => sum + part.total, 0);
    const bound = parts.reduce((sum, { memory, alu, total }) => sum + (memory >= alu ? total : 0), 0);
    const share = ((100 * bound) / total).toFixed(0);
    console.log(`\n${clock} GHz: ${(tokens / total).toFixed(1)} tokens/s, ${share} % of the time bound by memory`);
  }
}

async function main(args: readonly string[]): Promise<number> {
  if (!hasDeckCompiler()) {
    console.error(
      'the compiler for the Deck is not beside this checkout (../shared/vangogh): nothing can be predicted',
    );
    return 1;
  }
  const family = args[0] === '--family' ? (args[1] ?? '') : 'VANGOGH';
  const checkpoint = randomCheckpoint('llama2-7b');
  const plan: PlanOptions = {
    config: checkpoint.config,
    weights: describeWeights(checkpoint, 'native', DECK.limits.maxBindingBytes),
    traits: DECK,
    preferences: {},
    kv: 'f16',
    context: 4096,
    chunk: 512,
    slots: 1,
  };
  const { dramBytesPerSecond, dramShare, aluShare } = ASSUMED;
  console.log(
    `Llama-2-7B in 4 bits on ${family}, predicted. Assumed: ${dramBytesPerSecond / 1e9} GB/s of memory, of which ` +
      `${100 * dramShare} % are reached; ${LANES} lanes, of whose instructions ${100 * aluShare} % are; ` +
      'f16 cache.',
  );
  const decode = planDecode(plan, 'greedy');
  for (const keys of [1, 512, 2048])
    printTable(`one token, ${keys} keys`, await costsOf(plan, decode, 1, keys, family), 1);
  const prompt = planPrefill(plan, 'many', 'greedy');
  printTable('a prompt of 512 tokens', await costsOf(plan, prompt, 512, 256, family), 512);
  return 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = await main(process.argv.slice(2));
