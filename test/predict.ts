/**
 * What a Steam Deck should reach with Llama-2-7B in 4 bits, step by step, from what its own compiler makes of the kernels.
 *
 *   npm run predict [-- --family VANGOGH]
 *
 * A step takes the longer of two times: its bytes over the memory's rate, and its vector instructions over the rate of the
 * vector units. Instructions are counted in the machine code, each loop as often as it turns. What is assumed stands in
 * ASSUMED and is printed; nothing here was run on a Deck.
 */
import { fileURLToPath } from 'node:url';
import { CHUNKS } from '../engine/estimate.ts';
import { headStride } from '../engine/kv-cache.ts';
import { passSizes } from '../engine/pieces.ts';
import { planDecode, planPrefill } from '../engine/plan.ts';
import { randomCheckpoint } from '../engine/shapes.ts';
import type { PlanOptions, Step } from '../engine/steps.ts';
import { widthOf } from '../engine/variants.ts';
import { describeWeights, outputMatrix } from '../engine/weights.ts';
import { assert } from '../quant/errors.ts';
import { blocksOf, packedBytes } from '../quant/layout.ts';
import { specialise } from '../shaders/specialise.ts';
import { type Compiled, compileKernels, DECK, hasDeckCompiler, hottestTile } from './deck.ts';

/** Van Gogh: 8 compute units of 64 lanes; LPDDR5-5500 on 128 bits. */
const LANES = 8 * 64;
const ASSUMED = {
  dramBytesPerSecond: 88e9,
  /** What llama.cpp reaches of another APU's memory in decode, launches and all (Radeon 8060S, its pull request 16900). */
  dramShare: 0.8,
  /** Of the vector units' peak where they decide: issue slots lost to waits, and to waves that end unevenly. */
  aluShare: 0.65,
};
const CLOCKS_GHZ = [1.6, 1.0] as const;

/** A part of the forward pass: so many columns, which see so many keys on average. */
interface Pass {
  readonly steps: readonly Step[];
  readonly columns: number;
  readonly keys: number;
}

/** A step, of all layers and passes together. */
interface Cost {
  readonly name: string;
  readonly count: number;
  readonly bytes: number;
  /** Lanes times vector instructions. */
  readonly laneInstructions: number;
  readonly macs: number;
}

function groupsOf({ grid }: Step, columns: number): { readonly own: number; readonly columns: number } {
  const depth = typeof grid.z === 'number' ? grid.z : 1;
  return { own: grid.x * depth, columns: Math.ceil((grid.over === 'columns' ? columns : 1) / grid.each) };
}

/** Vector instructions of a wave: what stands outside of loops once, loops as often as they turn. */
function waveInstructions(step: Step, row: Compiled, keys: number): number {
  const { kernel, spec } = step;
  if (kernel === 'gemm-tiles') return tileInstructions(step, row);
  if (kernel === 'flash-tiles') return flashInstructions(step, row, keys);
  const turns =
    kernel === 'gemv-lanes'
      ? Math.ceil(Number(spec.BLOCKS) / (Number(spec.SG) * Number(spec.K_SPLIT)))
      : kernel === 'attention'
        ? keys / ((threadsOf(row) / Number(spec.LANES)) * Number(spec.KEYS))
        : 1;
  return row.all.valu + (turns - 1) * (row.loop?.valu ?? 0);
}

function threadsOf({ workgroup }: Compiled): number {
  return workgroup.reduce((product, count) => product * count, 1);
}

type Loops = Compiled['loops'];

/** Of gemm-tiles.wgsl: a loop over K, and the epilogues. */
function tileInstructions({ name, spec }: Step, { all, loops }: Compiled): number {
  const main = hottestTile(loops);
  assert(main, `${name} has a loop that multiplies`);
  const epilogues = (128 / Number(spec.TILE)) * (16 / 4);
  const ends = endsOf(name, loops.slice(loops.indexOf(main) + 1), Number(spec.COLS) / 16, epilogues);
  return all.valu - main.valu - ends.once + Number(spec.BLOCKS) * main.valu + ends.instructions;
}

/** Of flash-tiles.wgsl: a loop over blocks of 32 keys with four loops in it, in a loop over runs; and the outputs' blocks. */
function flashInstructions({ name, spec }: Step, { all, loops }: Compiled, keys: number): number {
  const inner = loops.filter(({ depth }) => depth === 3);
  const last = inner.at(-1);
  assert(last && inner.length === 4, `${name} has four loops for each block of keys`);
  const [block, runs, ...behind] = loops.slice(loops.indexOf(last) + 1);
  assert(block && runs, `${name} has a loop over blocks of keys`);
  const chunks = Number(spec.HEAD_DIM) / 8;
  const turns = [(32 * chunks) / 128, chunks, (32 * chunks) / 128, 32]; // keys, scores, values, sums
  const ofBlock = inner.reduce((sum, { valu }, i) => sum + ((turns[i] as number) - 1) * valu, block.valu);
  // a workgroup goes as far as its last column sees, half its columns beyond the average, and on to the end of a block
  const blocks = (keys + 32) / 32 + 0.5;
  const ends = endsOf(name, behind, 4, (16 * Number(spec.HEAD_DIM)) / 32 / 4);
  return all.valu - runs.valu - ends.once + blocks * ofBlock + ends.instructions;
}

/**
 * The end of both: steps of 16 columns, each with so many turns of four blocks at once, unrolled or in a loop of their own. A
 * barrier follows each block in the code, and two more bring what a step begins with.
 */
function endsOf(name: string, behind: Loops, steps: number, turnsOfStep: number) {
  const outer = behind.find(({ depth }) => depth === 1);
  const inner = behind.find(({ depth }) => depth === 2);
  assert(outer && behind.length <= 2, `${name} has a loop over steps at its end`);
  const turns = turnsOfStep / (inner ? inner.barrier : outer.barrier - 2);
  assert(Number.isInteger(turns) && (inner || turns === 1), `${name} has ${turnsOfStep} blocks in a step`);
  const ofStep = inner ? outer.valu + (turns - 1) * inner.valu : outer.valu;
  return { once: outer.valu, instructions: steps * ofStep };
}

/** What passes cost, the steps of all their layers together. */
async function costsOf(plan: PlanOptions, passes: readonly Pass[], family: string): Promise<readonly Cost[]> {
  const keyOf = ({ kernel, spec }: Step) => `${kernel} ${JSON.stringify(spec)}`;
  const distinct = new Map(passes.flatMap(({ steps }) => steps).map((step) => [keyOf(step), step]));
  const kernels = [...distinct].map(([label, { kernel, spec }]) => ({ label, code: specialise(kernel, spec).code }));
  const compiled = new Map((await compileKernels(kernels, family)).map((row) => [row.label, row]));
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
  for (const { steps, columns, keys } of passes) {
    for (const step of steps) {
      const row = compiled.get(keyOf(step));
      assert(row, `${step.name} was compiled`);
      const groups = groupsOf(step, columns);
      const waves = groups.own * groups.columns * Math.ceil(threadsOf(row) / row.wave);
      const name = step.name.replace(/^layers\.\d+\./, '');
      // every row of workgroups reads matrix or cache anew: neither stays in a cache of 1 MiB
      const weights = groups.columns * (bytesOf.get(step.name === 'logits' ? output : step.name) ?? 0);
      const cache = step.macsPerKey ? groups.columns * keys * cacheBytes : 0;
      const inputs = step.spec.BLOCKS ? columns * Number(step.spec.BLOCKS) * 48 : 0;
      const before = costs.get(name) ?? { name, count: 0, bytes: 0, laneInstructions: 0, macs: 0 };
      costs.set(name, {
        name,
        count: before.count + 1,
        bytes:
          before.bytes + (name === 'embed' ? blocksOf(plan.config.hidden) * 18 * columns : weights) + cache + inputs,
        laneInstructions: before.laneInstructions + waves * waveInstructions(step, row, keys) * row.wave,
        macs: before.macs + columns * ((step.macs ?? 0) + (step.macsPerKey ?? 0) * keys),
      });
    }
  }
  return [...costs.values()];
}

function secondsOf({ bytes, laneInstructions }: Cost, gigahertz: number) {
  const memory = bytes / (ASSUMED.dramBytesPerSecond * ASSUMED.dramShare);
  const alu = laneInstructions / (LANES * gigahertz * 1e9 * ASSUMED.aluShare);
  return { memory, alu, total: Math.max(memory, alu) };
}

function printTable(title: string, costs: readonly Cost[], tokens: number): void {
  console.log(
    `\n### ${title}\n\n| step | dispatches | MB | MAC per VALU | memory, ms | vector units at 1.6 GHz, ms | at 1.0 GHz, ms |`,
  );
  console.log('|---|---|---|---|---|---|---|');
  const ms = (seconds: number) => (1000 * seconds).toFixed(2);
  for (const cost of costs) {
    const [fast, slow] = CLOCKS_GHZ.map((clock) => secondsOf(cost, clock)) as [
      ReturnType<typeof secondsOf>,
      ReturnType<typeof secondsOf>,
    ];
    const macs = cost.macs > 0 ? (cost.macs / cost.laneInstructions).toFixed(2) : '';
    console.log(
      `| ${cost.name} | ${cost.count} | ${(cost.bytes / 1e6).toFixed(1)} | ${macs} | ${ms(fast.memory)} | ${ms(fast.alu)} | ${ms(slow.alu)} |`,
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

/** Passes over a prompt behind `depth` positions, as a session cuts them on an integrated GPU. */
function promptPasses(plan: PlanOptions, tokens: number, depth: number): readonly Pass[] {
  const sizes = passSizes(tokens, CHUNKS.integrated);
  let position = depth;
  return sizes.map((columns, i) => {
    const width = widthOf(plan.traits, columns, plan.preferences);
    const steps = planPrefill(plan, width, i === sizes.length - 1 ? 'greedy' : undefined);
    const keys = position + (columns + 1) / 2;
    position += columns;
    return { steps, columns, keys };
  });
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
    chunk: CHUNKS.integrated,
    slots: 1,
  };
  const { dramBytesPerSecond, dramShare, aluShare } = ASSUMED;
  console.log(
    `Llama-2-7B in 4 bits on ${family}, predicted. Assumed: ${dramBytesPerSecond / 1e9} GB/s of memory, of which ` +
      `${100 * dramShare} % are reached; ${LANES} lanes, of whose instructions ${100 * aluShare} % are, one each clock; ` +
      'memory and vector units at work at the same time; every row of workgroups reads its weights or keys from memory; ' +
      `f16 cache; prompts in passes of ${CHUNKS.integrated} tokens. Launches and what the CPU does are in these shares.`,
  );
  const decode = planDecode(plan, 'greedy');
  for (const keys of [1, 512, 2048])
    printTable(`one token, ${keys} keys`, await costsOf(plan, [{ steps: decode, columns: 1, keys }], family), 1);
  printTable('a prompt of 512 tokens', await costsOf(plan, promptPasses(plan, 512, 0), family), 512);
  printTable('512 tokens behind 3072', await costsOf(plan, promptPasses(plan, 512, 3072), family), 512);
  return 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = await main(process.argv.slice(2));
