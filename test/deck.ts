/**
 * The Steam Deck without a Steam Deck: compiles every kernel of Llama-2-7B's passes with the Deck's own compiler and compares
 * what came out with the checked-in figures. `npm run deck` prints the table and exits 1 when a kernel has become worse;
 * `npm run deck -- --update` checks in the present figures; `npm run deck -- --family NAVI31` only prints those of another GPU.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Traits } from '../devices/types.ts';
import { planDecode, planPrefill } from '../engine/plan.ts';
import { randomCheckpoint } from '../engine/shapes.ts';
import type { PlanOptions } from '../engine/steps.ts';
import { describeWeights } from '../engine/weights.ts';
import { type FileType, NAMED_TYPES } from '../quant/file-types.ts';
import { BLOCK, isQuantised } from '../quant/layout.ts';
import { nativeFormat } from '../quant/pack.ts';
import { type Spec, specialise } from '../shaders/specialise.ts';

const compilerPath = fileURLToPath(new URL('../../shared/vangogh/vangogh.mjs', import.meta.url));
const figuresPath = fileURLToPath(new URL('./deck.json', import.meta.url));

/** Van Gogh as RADV and Dawn describe it. */
export const DECK: Traits = {
  name: 'AMD Custom GPU 0405 (RADV VANGOGH)',
  driver: 'radv',
  vendor: 'amd',
  architecture: 'rdna-2',
  software: false,
  f16: true,
  subgroups: { min: 32, max: 64 },
  subgroupSizeControl: true,
  subgroupMatrix: [],
  packedDot: true,
  timestamps: true,
  limits: {
    maxBufferBytes: 2 ** 32 - 4,
    maxBindingBytes: 2 ** 32 - 4,
    maxWorkgroupThreads: 1024,
    maxWorkgroupBytes: 65536,
    maxWorkgroupsPerDimension: 65535,
    maxStorageBuffers: 16,
  },
};

export interface KernelFigures {
  /** Vector instructions of the hot loop per weight, for all columns together; undefined for kernels that are not products. */
  readonly valuPerWeight?: number | undefined;
  /** Multiply-adds of the hot loop for each of its vector instructions; undefined for kernels that are not tiled products. */
  readonly macsPerValu?: number | undefined;
  readonly vgprs: number;
  /** Subgroups that a SIMD can hold at once. */
  readonly waves: number;
  readonly spills: number;
}

export type Figures = Readonly<Record<string, KernelFigures>>;

/** What vangogh.mjs answers for a kernel, as far as it is used here. */
export interface Compiled {
  readonly label: string;
  readonly error?: string;
  readonly vgprs: number;
  readonly waves: number;
  readonly spills: number;
  /** Subgroup size. */
  readonly wave: number;
  /** Threads, in three dimensions. */
  readonly workgroup: readonly number[];
  readonly all: Counts;
  /** The hottest of the loops. */
  readonly loop: Counts | null;
  /** In the order of their ends, so that a loop's inner loops come before it; they are in its counts. */
  readonly loops: readonly (Counts & { readonly depth: number })[];
}

/** Machine instructions of a piece of code, each once. */
export interface Counts {
  readonly valu: number;
  readonly dot4: number;
  readonly barrier: number;
}

export function hasDeckCompiler(): boolean {
  return existsSync(compilerPath);
}

/** What the driver's compiler for this family makes of the kernels. Throws when one does not compile. */
export async function compileKernels(
  kernels: readonly { readonly label: string; readonly code: string }[],
  family: string,
): Promise<readonly Compiled[]> {
  const { compile }: { compile(kernels: unknown[], options: { family: string }): Compiled[] } = await import(
    pathToFileURL(compilerPath).href
  );
  const rows = compile(
    kernels.map(({ label, code }) => ({ label, code, entryPoint: 'main' })),
    { family },
  );
  for (const { label, error } of rows) if (error) throw new Error(`${label} does not compile for ${family}: ${error}`);
  return rows;
}

/** Rows that a subgroup of gemv-lanes keeps sums for. */
function rowsOfSubgroup({ TILE, K_SPLIT, SG, THREADS }: Spec): number {
  return (Number(TILE) * Number(K_SPLIT) * Number(SG)) / Number(THREADS);
}

function planOf(type: FileType): PlanOptions {
  const checkpoint = randomCheckpoint('llama2-7b', type);
  return {
    config: checkpoint.config,
    weights: describeWeights(checkpoint, 'native', DECK.limits.maxBindingBytes),
    traits: DECK,
    preferences: {},
    kv: 'f16',
    context: 4096,
    chunk: 32,
    slots: 1,
  };
}

/** The loop of a tiled product that multiplies. */
export function hottestTile(loops: Compiled['loops']): Compiled['loops'][number] | undefined {
  return loops.reduce<Compiled['loops'][number] | undefined>(
    (best, other) => (other.dot4 > (best?.dot4 ?? 0) ? other : best),
    undefined,
  );
}

/** Compiles the distinct kernels of decode, short context and split, and of prefill; of other types than Q4_0 one product. */
export async function compileDeck(family = 'VANGOGH'): Promise<Figures> {
  const plan = planOf('Q4_0');
  const kernels = new Map<string, { label: string; code: string; weightsPerTurn?: number; macsPerTurn?: number }>();
  for (const [suffix, steps] of [
    ['', planDecode(plan, 'greedy')],
    [' (split)', planDecode({ ...plan, preferences: { splits: 4 } }, 'top')],
    [' (few)', planPrefill(plan, 4, undefined)],
    [' (some)', planPrefill(plan, 'some', undefined)],
    [' (prefill)', planPrefill(plan, 'many', undefined)],
  ] as const) {
    for (const { name, kernel, spec, shape } of steps) {
      const key = `${kernel} ${JSON.stringify(spec)}`;
      if (kernels.has(key)) continue;
      const label = name.replace(/^layers\.\d+\./, '');
      const taken = [...kernels.values()].some((other) => other.label === label);
      kernels.set(key, {
        label: taken ? label + suffix : label,
        code: specialise(kernel, spec).code,
        ...(shape && kernel !== 'gemm-tiles' ? { weightsPerTurn: rowsOfSubgroup(spec) * BLOCK } : {}),
        // a thread of tile-i8.wgsl has four columns and as many rows as a fourth of the tile's columns
        ...(spec.TILES === 'i8' ? { macsPerTurn: Number(spec.COLS) * BLOCK } : {}),
      });
    }
  }
  for (const type of NAMED_TYPES) {
    if (type === 'Q4_0' || !isQuantised(nativeFormat(type))) continue;
    const { kernel, spec } = planDecode(planOf(type), 'none').find(({ name }) => name === 'layers.0.qkv')!;
    kernels.set(type, {
      label: `qkv of ${type}`,
      code: specialise(kernel, spec).code,
      weightsPerTurn: rowsOfSubgroup(spec) * BLOCK,
    });
  }
  const list = [...kernels.values()];
  const rows = await compileKernels(list, family);
  return Object.fromEntries(
    rows.map(({ label, vgprs, waves, spills, loop, loops }, i) => {
      const { weightsPerTurn, macsPerTurn } = list[i] ?? {};
      const tile = loops && hottestTile(loops);
      return [
        label,
        {
          ...(weightsPerTurn && loop ? { valuPerWeight: Number((loop.valu / weightsPerTurn).toFixed(3)) } : {}),
          ...(macsPerTurn && tile?.valu ? { macsPerValu: Number((macsPerTurn / tile.valu).toFixed(3)) } : {}),
          vgprs,
          waves,
          spills,
        },
      ];
    }),
  );
}

/** Registers may go up by this before it counts: allocation is in steps of eight. */
const VGPR_SLACK = 8;

/** What has become worse, in words; also kernels that one side lacks. */
export function compareFigures(now: Figures, before: Figures): string[] {
  const worse: string[] = [];
  for (const [label, figures] of Object.entries(now)) {
    const old = before[label];
    if (figures.spills > 0) worse.push(`${label} spills ${figures.spills} registers`);
    if (!old) worse.push(`${label} is not in test/deck.json: npm run deck -- --update`);
    else {
      if ((figures.valuPerWeight ?? 0) > (old.valuPerWeight ?? Number.POSITIVE_INFINITY))
        worse.push(`${label} needs ${figures.valuPerWeight} vector instructions a weight, before ${old.valuPerWeight}`);
      if ((figures.macsPerValu ?? 0) < (old.macsPerValu ?? 0))
        worse.push(`${label} does ${figures.macsPerValu} multiply-adds an instruction, before ${old.macsPerValu}`);
      if (figures.vgprs > old.vgprs + VGPR_SLACK)
        worse.push(`${label} takes ${figures.vgprs} registers, before ${old.vgprs}`);
      if (figures.waves < old.waves) worse.push(`${label} leaves room for ${figures.waves} waves, before ${old.waves}`);
    }
  }
  for (const label of Object.keys(before)) if (!now[label]) worse.push(`${label} is no longer in the plan`);
  return worse;
}

export function readFigures(): Figures {
  return JSON.parse(readFileSync(figuresPath, 'utf8'));
}

async function main(args: readonly string[]): Promise<number> {
  if (!hasDeckCompiler()) {
    console.error('the compiler for the Deck is not beside this checkout (../shared/vangogh): nothing was compared');
    return 1;
  }
  const [flag, family] = args;
  const figures = await compileDeck(flag === '--family' ? family : undefined);
  console.log('| kernel | VALU per weight | MAC per VALU | VGPRs | waves | spills |\n|---|---|---|---|---|---|');
  for (const [label, { valuPerWeight, macsPerValu, vgprs, waves, spills }] of Object.entries(figures))
    console.log(`| ${label} | ${valuPerWeight ?? ''} | ${macsPerValu ?? ''} | ${vgprs} | ${waves} | ${spills} |`);
  if (flag === '--family') return 0;
  if (flag === '--update') writeFileSync(figuresPath, `${JSON.stringify(figures, undefined, 2)}\n`);
  const worse = compareFigures(figures, readFigures());
  for (const line of worse) console.error(line);
  return worse.length > 0 ? 1 : 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = await main(process.argv.slice(2));
