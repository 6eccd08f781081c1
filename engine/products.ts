/** The products of a pass: which kernel multiplies which matrix, and in which form a matrix wants its input. */
import type { Traits } from '../devices/types.ts';
import { assert } from '../quant/errors.ts';
import { BLOCK, blocksOf, isQuantised } from '../quant/layout.ts';
import type { Spec } from '../shaders/specialise.ts';
import type { PlanOptions, Step } from './steps.ts';
import {
  type Arithmetic,
  chooseArithmetic,
  chooseGemv,
  chooseSubgroup,
  codesSpec,
  dotSpec,
  halvesSpec,
  hasMatrixUnits,
  isWide,
  matrixCut,
  mostColumns,
  type ProductShape,
  tilesCut,
  usesLanes,
  type Width,
  weightSpec,
} from './variants.ts';
import type { Matrix } from './weights.ts';

/** Which kernels: those of single columns, tiles in workgroup memory, or matrix units. */
export type Way = 'gemv' | 'tiles' | 'matrix';

/** The arithmetic of a matrix in passes of single columns, and in tiles. */
export function matrixArithmetic({ traits, preferences, config }: PlanOptions, matrix: Matrix): Arithmetic {
  const formats = matrix.parts.map((part) => part.format);
  const arithmetic = chooseArithmetic(traits, formats, preferences.arithmetic);
  // Gemma's residual stream exceeds what f16 holds
  return arithmetic === 'mix' && config.embeddingScale !== 1 ? 'f32' : arithmetic;
}

/**
 * Whether steps of one column may be merged around each layer's matrices of these names: by kernels of int8 and lanes, whose workgroups
 * make their input from the residual stream. `suits` says what else a matrix must be.
 */
export function canMerge(
  options: PlanOptions,
  names: readonly string[],
  suits: (matrix: Matrix, name: string) => boolean,
): boolean {
  const { config, weights, traits, preferences } = options;
  if (config.norms !== 'before' || !usesLanes(traits, preferences)) return false;
  // the input lies beside a workgroup's other results
  if (blocksOf(config.hidden) * (BLOCK + 16) > traits.limits.maxWorkgroupBytes / 2) return false;
  return Array.from({ length: config.layers }, (_, layer) => `layers.${layer}`).every((at) =>
    names.every((name) => {
      const matrix = weights.matrices.get(`${at}.${name}`);
      assert(matrix, `no matrix ${at}.${name}`);
      return !matrix.order && matrixArithmetic(options, matrix) === 'i8' && suits(matrix, name);
    }),
  );
}

/** How a matrix is multiplied in passes of a width. */
export function wayOf({ traits, preferences }: PlanOptions, matrix: Matrix, width: Width): Way {
  if (!isWide(width)) return 'gemv';
  const { arithmetic, many } = preferences;
  if (matrix.order) return 'tiles'; // what gathers their inputs writes blocks
  const asHalves = matrix.parts.every((part) => halvesSpec(part.format) !== undefined);
  return many !== 'tiles' && arithmetic !== 'f32' && asHalves && hasMatrixUnits(traits) ? 'matrix' : 'tiles';
}

/** The form in which a matrix wants its input blocks written by whatever makes them: f32 where they are gathered first. */
export function storeSpec(options: PlanOptions, matrix: Matrix, width: Width): Spec {
  return matrix.order ? { STORE: 'f32', Y_BLOCKS: blocksOf(matrix.cols) } : inputSpec(options, matrix, width);
}

/** The form in which the product itself reads them. */
function inputSpec(options: PlanOptions, matrix: Matrix, width: Width): Spec {
  const Y_BLOCKS = blocksOf(matrix.cols);
  const arithmetic = matrixArithmetic(options, matrix);
  const way = wayOf(options, matrix, width);
  if (way === 'matrix') return { STORE: 'tile', ROUNDED: arithmetic === 'i8', Y_BLOCKS };
  if (arithmetic === 'f32' || (arithmetic === 'mix' && way === 'tiles')) return { STORE: 'f32', Y_BLOCKS };
  if (arithmetic === 'mix') return { STORE: 'f16', Y_BLOCKS };
  const subgroup = options.traits.software ? undefined : chooseSubgroup(options.traits);
  return { STORE: subgroup && subgroup.size >= 32 ? 'i8-lanes' : 'i8', Y_BLOCKS };
}

/** Buffers of a matrix part by shader variable. */
export function partBuffers(part: string): Record<string, string> {
  return { codes: `${part}.codes`, scales: `${part}.scales` };
}

/** Where a product takes its input from: the buffers, and what to tell the kernel. */
export interface Input {
  readonly buffers: Readonly<Record<string, string>>;
  readonly spec: Spec;
}

/** Activation blocks that another step has left. */
export function blockInput(name: string): Input {
  return { buffers: { x_codes: `${name}.codes`, x_meta: `${name}.meta` }, spec: {} };
}

/** The steps of a product: one for each part of the matrix. `spec` and `buffers` are those of epilogue and norm. */
export function productSteps(
  options: PlanOptions,
  matrix: Matrix,
  name: string,
  input: Input,
  width: Width,
  spec: Spec,
  buffers: Record<string, string>,
): Step[] {
  const tile = matrix.alternate ? 64 : 32;
  const blocks = blocksOf(matrix.cols);
  const arithmetic = matrixArithmetic(options, matrix);
  const way = wayOf(options, matrix, width);
  const outputs = spec.EPILOGUE === 'logits';
  const read = matrix.order ? blockInput('ordered') : input;
  const gather: Step = {
    name: `${name}Order`,
    kernel: 'gather',
    spec: { BLOCKS: blocks, ...inputSpec(options, matrix, width) },
    buffers: {
      state: 'state',
      order: `${matrix.name}.order`,
      ...input.buffers,
      y_codes: 'ordered.codes',
      y_meta: 'ordered.meta',
    },
    grid: { x: blocks, over: 'columns', each: 1, z: 1 },
  };
  const products = matrix.parts.map((part): Step => {
    const shape: ProductShape = { rows: part.rows, blocks, tile, dot: `${arithmetic}-${part.format}` };
    const cut = cutOf(options, shape, part.format, way, width, spec);
    return {
      name: name + part.name.slice(matrix.name.length), // `layers.0.qkv/1`, `logits` for `output`
      kernel: cut.kernel,
      spec: { ...spec, ...cut.spec, ...read.spec, BLOCKS: blocks, OUTPUTS: outputs, FIRST_ROW: part.firstRow },
      buffers: {
        ...partBuffers(part.name),
        state: 'state',
        ...read.buffers,
        ...buffers,
      },
      shape,
      grid: {
        x: Math.ceil(part.rows / cut.rows),
        columnsFirst: cut.spec.COLUMNS_FIRST === true,
        over: outputs ? 'outputs' : 'columns',
        each: cut.columns,
        z: 1,
      },
      macs: part.rows * blocks * BLOCK,
    };
  });
  return matrix.order ? [gather, ...products] : products;
}

interface Cut {
  readonly kernel: Step['kernel'];
  readonly spec: Spec;
  /** Of a workgroup. */
  readonly rows: number;
  readonly columns: number;
}

function cutOf(
  { traits, preferences }: PlanOptions,
  shape: ProductShape,
  format: Matrix['parts'][number]['format'],
  way: Way,
  width: Width,
  spec: Spec,
): Cut {
  const { rows, tile } = shape;
  const i8 = shape.dot.startsWith('i8');
  if (way === 'matrix') {
    const { team, threads } = matrixCut(traits, rows, width);
    return {
      kernel: 'gemm-matrix',
      spec: {
        ...halvesSpec(format),
        TILE: tile,
        ROWS: rows,
        COLUMNS: team,
        SG: 32,
        THREADS: threads,
        SIZE: sizeFile(traits),
        SHARED: sharesMemory(spec),
      },
      rows: 64,
      columns: (team * threads) / 32,
    };
  }
  if (way === 'tiles') {
    const sizes = tilesCut(traits, i8 ? 'i8' : 'f32', width);
    const files =
      i8 && isQuantised(format)
        ? { TILES: 'i8', ...codesSpec(format), FUSED: traits.vendor === 'amd' }
        : { TILES: 'f32', ...weightSpec(format) };
    return { kernel: 'gemm-tiles', spec: { ...files, TILE: tile, ROWS: rows, COLS: sizes.columns }, ...sizes };
  }
  const columns = Math.min(isWide(width) ? 1 : width, mostColumns(format));
  const variant = chooseGemv(traits, shape, columns, preferences);
  const arithmetic = shape.dot.slice(0, shape.dot.indexOf('-')) as Arithmetic;
  return { ...variant, spec: { ...variant.spec, ...dotSpec(arithmetic, format) }, rows: tile, columns };
}

/** Which of size-*.wgsl: whether a kernel must ask for its subgroup size. */
export function sizeFile(traits: Traits): 'given' | 'fixed' {
  return traits.subgroups?.min === traits.subgroups?.max ? 'given' : 'fixed';
}

/** Whether what an epilogue writes to goes through workgroup memory, which calls in sequence share. */
function sharesMemory({ STORE, KV }: Spec): boolean {
  const alone = ['tile', 'none', 'i8-lanes'];
  return KV === 'q8' || (STORE !== undefined && !alone.includes(String(STORE)));
}

/** Bytes of activation blocks in their widest form, and of what stands beside them. */
export function blockBytes(columns: number, width: number): { readonly codes: number; readonly meta: number } {
  // f32 is the widest; tiles of f16 are padded to pairs of blocks
  const blocks = blocksOf(width);
  return { codes: columns * (blocks + (blocks % 2)) * BLOCK * 4, meta: columns * blocks * 16 };
}
