/** Which variant of a kernel suits a device and a shape, before anything has been measured. */
import type { Traits } from '../devices/types.ts';
import type { LlamaConfig } from '../loaders/types.ts';
import { type Format, isQuantised, QUANTISED, type QuantisedFormat, roundUp, SCALES } from '../quant/layout.ts';
import type { ShaderName, Spec } from '../shaders/specialise.ts';

/**
 * The arithmetic inside a block of 32 products; sums across blocks are always f32.
 * `i8`: int8 activations, whole numbers. `mix`: f16 activations, f32 sums. `f32`: exact and portable.
 */
export type Arithmetic = 'i8' | 'mix' | 'f32';

export interface Variant {
  readonly kernel: ShaderName;
  readonly spec: Spec;
}

/** What a caller may force, for tests and measurements. */
export interface Preferences {
  /** Default: i8 where the device has packed dot products, else f32. `f32` is what `--exact` means. */
  readonly arithmetic?: Arithmetic | undefined;
  /** Default: `lanes` on GPUs with subgroups of a known size, else `rows`. */
  readonly gemv?: 'rows' | 'lanes' | undefined;
  /** Kernels for passes over many columns; default: matrix units where there are any, tiles on other GPUs. */
  readonly many?: 'gemv' | 'tiles' | 'matrix' | undefined;
  /** Parts of attention at long contexts; default by the device. */
  readonly splits?: number | undefined;
  /**
   * In sessions steps are merged: attention goes through the output projection, and the feed-forward part of a layer is one step;
   * default by the device, the shapes and the keys (projectsUpTo, chooseFeedForward). In batches they never are; with false a
   * session's numbers are theirs to the last bit, else within rounding.
   */
  readonly merged?: boolean | undefined;
  /** What has been measured on this device; default nothing. */
  readonly tuning?: Tuning | undefined;
}

/** The fastest cut of a matrix-vector product for each shape that has been measured, by `shapeKey`. */
export type Tuning = Readonly<Record<string, GemvCut>>;

/** How `gemv-lanes` is cut: subgroup size, rows that each subgroup keeps sums for, subgroups that share the same rows. */
export interface GemvCut {
  readonly subgroup: number;
  readonly rowsEach: number;
  readonly split: number;
}

/** The arithmetic for products with weights of these formats (all of one matrix, which shares its input). */
export function chooseArithmetic(
  traits: Traits,
  formats: readonly Format[],
  wanted: Arithmetic | undefined,
): Arithmetic {
  if (!formats.every(isQuantised)) return 'f32';
  if (wanted === 'mix') return traits.f16 ? 'mix' : 'f32';
  return wanted ?? (traits.packedDot ? 'i8' : 'f32');
}

/** The shader files that take a quantised format apart. */
export function codesSpec(format: QuantisedFormat): Spec {
  const { codes, scales } = QUANTISED[format];
  const groups: Spec = scales.startsWith('zero-')
    ? { SCALES: 'zero', GROUP_BLOCKS: SCALES[scales].blocks }
    : { SCALES: scales };
  return { CODES: codes, ...groups };
}

/** The shader files that multiply weights of a format with inputs in the form of an arithmetic. */
export function dotSpec(arithmetic: Arithmetic, format: Format): Spec {
  if (!isQuantised(format)) return { DOT: `f32-${format}` };
  // its nibbles become f16 without a conversion
  if (arithmetic === 'mix' && format === 'q4') return { DOT: 'mix-q4' };
  return { DOT: arithmetic, ...codesSpec(format), ...(arithmetic === 'i8' && { ACT: 'i8' }) };
}

/** The shader files that answer single weights of a format. */
export function weightSpec(format: Format): Spec {
  if (!isQuantised(format)) return { WEIGHT: format };
  return { WEIGHT: 'codes', ...codesSpec(format) };
}

/** The shader files that make f16 of a format's weights for the matrix units; undefined for formats whose range f16 lacks. */
export function halvesSpec(format: Format): Spec | undefined {
  if (format === 'f16') return { HALVES_OF: 'f16' };
  if (!isQuantised(format)) return undefined;
  const halved = SCALES[QUANTISED[format].scales].offset === 'centre' ? 'centre' : 'minimum';
  return { HALVES_OF: 'codes', ...codesSpec(format), HALVED: halved };
}

/** The subgroup size that kernels are compiled for, or undefined when it cannot be known beforehand. */
export function chooseSubgroup(traits: Traits): { readonly size: number; readonly fixed: boolean } | undefined {
  if (!traits.subgroups) return undefined;
  const { min, max } = traits.subgroups;
  if (min === max) return { size: min, fixed: false };
  if (!traits.subgroupSizeControl) return undefined;
  const wanted = traits.vendor === 'amd' ? 64 : 32; // measured on RDNA 2's compiler: fewer instructions per weight at 64
  return { size: Math.min(Math.max(wanted, min), max), fixed: true };
}

/** A product of `rows` output rows (padded), `tile` of them to a workgroup, over `blocks` blocks of 32 inputs. */
export interface ProductShape {
  readonly rows: number;
  readonly blocks: number;
  readonly tile: 32 | 64;
  /** Arithmetic and weight format, e.g. `i8-q4`. */
  readonly dot: string;
}

/** Name of a shape in a tuning. */
export function shapeKey({ rows, blocks, tile, dot }: ProductShape): string {
  return `${dot} ${rows}x${blocks * 32} by ${tile}`;
}

/** Whether products of single columns are those of `gemv-lanes`. */
export function usesLanes(traits: Traits, preferences: Preferences): boolean {
  const wanted = preferences.gemv ?? (traits.software ? 'rows' : 'lanes');
  return wanted === 'lanes' && (chooseSubgroup(traits)?.size ?? 0) >= 4;
}

/**
 * The kernel for a product of `columns` columns at once: the measured cut, else one that suits devices of this kind. Whatever the
 * number of columns, lanes and K are cut alike, so that each column's sums are those of a column alone, to the last bit.
 */
export function chooseGemv(traits: Traits, shape: ProductShape, columns: number, preferences: Preferences): Variant {
  if (!usesLanes(traits, preferences)) return { kernel: 'gemv-rows', spec: { TILE: shape.tile, COLS: columns } };
  const tuned = preferences.tuning?.[shapeKey(shape)]; // measured with one column
  const isKnown = tuned && listCuts(traits, shape).some((cut) => sameCut(cut, tuned));
  const cut = isKnown ? tuned : usualCut(traits, shape);
  return gemvLanes(traits, shape, columns, columns === 1 ? cut : cutForSeveral(traits, shape, cut));
}

/**
 * Several columns fill the registers: a subgroup has four rows then, a quad of scales, or as many as leave a workgroup so few threads
 * that a compute unit holds more than one.
 */
function cutForSeveral({ limits }: Traits, { tile }: ProductShape, cut: GemvCut): GemvCut {
  const mostThreads = Math.min(limits.maxWorkgroupThreads, 512);
  let rowsEach = 4;
  while ((tile / rowsEach) * cut.split * cut.subgroup > mostThreads && rowsEach < tile) rowsEach *= 2;
  return { ...cut, rowsEach };
}

/** The cut that suits devices of this kind, as far as that is known without measuring. */
export function usualCut(traits: Traits, shape: ProductShape): GemvCut {
  const size = chooseSubgroup(traits)?.size ?? 32;
  // Wide subgroups have four rows (a quad of scales) or eight; those of 32 two, so that more of them ask for weights at once. Of
  // gate and up they have four, or eight where workgroups are so many that one twice as large would wait for a free place (measured
  // on an H100: 21.4 instead of 20.1 us for the 22016 rows of Llama-2-7B, 26.0 instead of 27.4 for the 28672 of Llama-3.1-8B).
  const mostThreads = Math.min(traits.limits.maxWorkgroupThreads, 1024);
  const narrow = size === 32 && shape.tile === 32;
  const eight = size >= 64 || (size === 32 && shape.tile === 64 && shape.rows > MANY_ROWS);
  let rowsEach = eight ? 8 : narrow ? 2 : 4;
  while ((shape.tile / rowsEach) * size > mostThreads) rowsEach *= 2;
  const threads = (shape.tile / rowsEach) * size;
  // few output rows: each is split between subgroups, as long as a lane has about three blocks
  let split = 1;
  const least = rowsEach === 2 ? 6 : 3;
  while (shape.rows <= 8192 && split < 4 && shape.blocks >= least * split * size && 2 * split * threads <= mostThreads)
    split *= 2;
  return { subgroup: size, rowsEach, split };
}

/** Rows of gate and up from which on there are many workgroups. */
const MANY_ROWS = 24576;

/** Rows a subgroup and K split of the cuts that have won somewhere, likely ones first. */
const LIKELY_CUTS = [
  [2, 1],
  [4, 1],
  [2, 2],
  [4, 2],
  [8, 1],
  [4, 4],
  [8, 2],
] as const;

/** The cuts of `gemv-lanes` that a device can run for a shape and that are worth measuring. */
export function listCuts(traits: Traits, { tile, blocks }: ProductShape): readonly GemvCut[] {
  if (!traits.subgroups) return [];
  const { min, max } = traits.subgroups;
  if (min !== max && !traits.subgroupSizeControl) return [];
  const cuts: GemvCut[] = [];
  for (const [rowsEach, split] of LIKELY_CUTS) {
    for (const subgroup of [64, 32, 16, 8, 4]) {
      const threads = (tile / rowsEach) * split * subgroup;
      const fits =
        threads >= 32 &&
        threads <= traits.limits.maxWorkgroupThreads &&
        (split === 1 || split * subgroup <= 2 * blocks);
      if (subgroup >= min && subgroup <= max && fits) cuts.push({ subgroup, rowsEach, split });
    }
  }
  return cuts;
}

export function sameCut(a: GemvCut, b: GemvCut): boolean {
  return a.subgroup === b.subgroup && a.rowsEach === b.rowsEach && a.split === b.split;
}

function gemvLanes(traits: Traits, { tile }: ProductShape, columns: number, cut: GemvCut): Variant {
  return {
    kernel: 'gemv-lanes',
    spec: {
      TILE: tile,
      COLS: columns,
      SG: cut.subgroup,
      THREADS: (tile / cut.rowsEach) * cut.split * cut.subgroup,
      K_SPLIT: cut.split,
      SIZE: traits.subgroups?.min === traits.subgroups?.max ? 'given' : 'fixed',
      ...(columns > 1 && { COLUMNS_FIRST: true }),
    },
  };
}

/** How attention is cut: lanes that share a key, keys that each asks for at once, threads, heads that are ended at once. */
export function chooseAttention(
  traits: Traits,
  { headDim, heads, kvHeads }: Pick<LlamaConfig, 'headDim' | 'heads' | 'kvHeads'>,
): {
  readonly LANES: number;
  readonly SHARE: string;
  readonly MERGED: number;
  readonly KEYS: number;
  readonly THREADS: number;
  readonly TOGETHER: number;
} {
  const subgroup = chooseSubgroup(traits);
  const chunks = roundUp(headDim, 8) / 8;
  const group = heads / kvHeads;
  // Few lanes a key mean few shuffles, but a lane then holds more of every query head of the group: no more than one chunk
  // for several heads, and heads of 256 (Gemma) would take 256 registers with two.
  const wanted = chunks > 16 ? 32 : traits.vendor === 'nvidia' && group === 1 ? 8 : 16;
  const most = Math.min(subgroup?.size ?? traits.subgroups?.min ?? 1, wanted);
  let lanes = 1;
  while (lanes * 2 <= most && lanes < chunks) lanes *= 2;
  // all teams of a subgroup join by shuffles before workgroup memory
  const merged = lanes === 1 ? 1 : Math.min(Math.max(1, (subgroup?.size ?? lanes) / lanes), 32 / lanes);
  let threads = Math.min(traits.software ? Math.max(32, lanes * 4) : 256, traits.limits.maxWorkgroupThreads);
  // every team that is left leaves its heads in workgroup memory, which holds the outputs too: of all heads at once if it can
  const headBytes = (chunks * 8 + 2) * 4;
  const fits = (together: number) =>
    together * (threads / lanes / merged) * headBytes <= traits.limits.maxWorkgroupBytes / 2;
  while (threads > 128 && !fits(group)) threads /= 2;
  while (threads > 32 && !fits(1)) threads /= 2; // 32 are the fewest that can write a block
  let together = group;
  while (together > 1 && !fits(together)) together--;
  return {
    LANES: lanes,
    SHARE: lanes === 1 ? 'none' : 'lanes',
    MERGED: merged,
    KEYS: traits.software ? 1 : 2, // CPU drivers only compile longer
    THREADS: threads,
    TOGETHER: together,
  };
}

/** Into how many parts attention is cut: at most `SPLITS`, each of at least `PART_KEYS` keys. */
export interface AttentionParts {
  readonly SPLITS: number;
  readonly PART_KEYS: number;
}

/**
 * Parts for attention of so many workgroups (kv heads, mostly), so that they fill the GPU. WebGPU does not tell the number of
 * compute units, so it goes by vendor: many for discrete ones, 8 for the APUs that firstlight is for. Joining costs a little
 * for every part, more than 16 never pay; parts of fewer keys than given here do not either (measured on an H100).
 */
export function chooseParts(
  traits: Pick<Traits, 'software' | 'vendor'>,
  workgroups: number,
  wanted: number | undefined,
): AttentionParts {
  const PART_KEYS = workgroups >= 32 ? 64 : 32;
  if (wanted !== undefined) return { SPLITS: wanted, PART_KEYS };
  if (traits.software) return { SPLITS: 1, PART_KEYS };
  const most = traits.vendor === 'nvidia' ? 256 : 32;
  let splits = 1;
  while (2 * splits * workgroups <= most && splits < 16) splits *= 2;
  return { SPLITS: splits, PART_KEYS };
}

/** Parts into which attention over so many keys is cut; splits.wgsl counts alike. */
export function partsOf(keys: number, { SPLITS, PART_KEYS }: AttentionParts): number {
  return Math.ceil(keys / Math.max(PART_KEYS, Math.ceil(keys / SPLITS)));
}

/**
 * How many columns a pass has: so many to a workgroup of the decode kernels, or enough for kernels of their own, `some` for
 * one row of their smaller workgroups.
 */
export type Width = 1 | 2 | 4 | 'some' | 'many';

/** Columns from which on kernels for many of them are faster. */
const SOME_COLUMNS = 12;
/** Columns from which on the largest tiles are: of the matrix units, and those in workgroup memory. */
const MANY_COLUMNS = { matrix: 129, tiles: 33 };

/** Workgroup memory of the kernels for many columns: twice what WebGPU promises, and what all desktop GPUs have. */
const WIDE_BYTES = 32768;

/** Whether a pass has kernels of its own. */
export function isWide(width: Width): width is 'some' | 'many' {
  return width === 'some' || width === 'many';
}

/** The width of a pass over a prompt. */
export function widthOf(traits: Traits, columns: number, preferences: Preferences): Width {
  // CPU drivers win nothing by other kernels than those of decode, and would have to compile them
  const unwanted = preferences.many === 'gemv' || (traits.software && preferences.many === undefined);
  if (columns < SOME_COLUMNS || unwanted || traits.limits.maxWorkgroupBytes < WIDE_BYTES)
    return columnsFor(traits, columns);
  return columns < MANY_COLUMNS[hasMatrixUnits(traits) ? 'matrix' : 'tiles'] ? 'some' : 'many';
}

/** Columns that one workgroup handles in a pass of so many sequences, as far as that pays. */
export function columnsFor(traits: Pick<Traits, 'software'>, columns: number): 1 | 2 | 4 {
  if (traits.software || columns === 1) return 1;
  return columns === 2 ? 2 : 4;
}

/** Whether the matrix units multiply f16 into f32, in subgroups of 32. */
export function hasMatrixUnits({ subgroupMatrix, subgroups, subgroupSizeControl, f16 }: Traits): boolean {
  if (!f16 || !subgroups || subgroups.min > 32 || subgroups.max < 32) return false;
  if (subgroups.min !== subgroups.max && !subgroupSizeControl) return false;
  return subgroupMatrix.some(
    ({ m, n, k, component, result }) => m === 16 && n === 16 && k === 16 && component === 'f16' && result === 'f32',
  );
}

/** Columns and rows of a workgroup of `gemm-tiles`: RDNA 2's registers hold three subgroups of the larger tile, four of the smaller. */
export function tilesCut(
  traits: Traits,
  arithmetic: Arithmetic,
  width: Width,
): { readonly columns: 32 | 64; readonly rows: number } {
  if (arithmetic !== 'i8') return { columns: 64, rows: 64 };
  return { columns: width === 'some' && !hasMatrixUnits(traits) ? 32 : 64, rows: 128 };
}

/**
 * How `gemm-matrix` is cut: columns of a subgroup, threads of a workgroup. Measured on an H100 (rows 4096: 211 TFLOP/s with 32
 * columns, 166 with 64; rows 22016: 201 and 244); RDNA 3 has no registers for 64.
 */
export function matrixCut(
  { vendor }: Traits,
  rows: number,
  width: Width,
): { readonly team: 32 | 64; readonly threads: number } {
  return { team: vendor === 'nvidia' && rows >= 8192 && width === 'many' ? 64 : 32, threads: 128 };
}

/** Columns at once that weights of a format leave registers for: f32 weights with four columns of f32 activations spill. */
export function mostColumns(format: Format): 2 | 4 {
  return format === 'f32' ? 2 : 4;
}
