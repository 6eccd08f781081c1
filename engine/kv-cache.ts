/**
 * How keys and values lie on the device: for each layer one buffer, or two with q8, of rows
 * [slot][k, v][kvHead][position][rowBytes]. On the GPU kv-row.wgsl alone knows this.
 */
import type { LlamaConfig } from '../loaders/types.ts';
import { FirstlightError } from '../quant/errors.ts';
import { roundUp } from '../quant/layout.ts';
import type { Spec } from '../shaders/specialise.ts';

/** `q8`: int8 with an f16 scale for every block of 32, about half of `f16`. `f32` for exact arithmetic. */
export type KvFormat = 'f16' | 'q8' | 'f32';

export const KV_FORMATS: readonly KvFormat[] = ['f16', 'q8', 'f32'];

/** One of a layer's buffers. */
export interface KvPlane {
  /** Behind `layers.3.` in the plan's names. */
  readonly name: 'kv' | 'kvScales';
  /** The shader's variable. */
  readonly variable: 'kv' | 'kv_scales';
  /** Of one position of one head. */
  readonly rowBytes: number;
}

/**
 * Positions are allocated in multiples of this, so that each head's rows of any width begin at whole vectors of 16 bytes, and
 * attention on matrix units finds whole groups of keys.
 */
const POSITIONS_STEP = 64;

/** Element stride of a head: whole loads of eight. */
export function headStride(config: LlamaConfig): number {
  return roundUp(config.headDim, 8);
}

/** Elements of a head that share a scale: 32, or less where heads are not a multiple of that. */
function scaledBlock({ headDim }: LlamaConfig): number {
  let block = 32;
  while (headDim % block !== 0) block /= 2;
  return block;
}

/** The buffers of each layer. */
export function kvPlanes(config: LlamaConfig, kv: KvFormat): readonly KvPlane[] {
  const stride = headStride(config);
  if (kv !== 'q8') return [{ name: 'kv', variable: 'kv', rowBytes: stride * (kv === 'f16' ? 2 : 4) }];
  return [
    { name: 'kv', variable: 'kv', rowBytes: stride },
    { name: 'kvScales', variable: 'kv_scales', rowBytes: (stride / scaledBlock(config)) * 2 },
  ];
}

/** Positions that a slot gets room for when `positions` are wanted. */
export function kvCapacity(positions: number): number {
  return roundUp(positions, POSITIONS_STEP);
}

/** Bytes of a plane's buffer in each layer. */
export function kvPlaneBytes({ rowBytes }: KvPlane, config: LlamaConfig, slots: number, capacity: number): number {
  return slots * 2 * config.kvHeads * capacity * rowBytes;
}

/** Bytes of all rows of one sequence. */
export function kvRowsBytes(config: LlamaConfig, kv: KvFormat, positions: number): number {
  const rowBytes = kvPlanes(config, kv).reduce((sum, plane) => sum + plane.rowBytes, 0);
  return config.layers * 2 * config.kvHeads * positions * rowBytes;
}

/** What kernels that read or write the cache are specialised for. */
export function kvSpec(config: LlamaConfig, kv: KvFormat): Spec {
  const spec = { KV: kv, KV_HEADS: config.kvHeads, HEAD_STRIDE: headStride(config) };
  return kv === 'q8' ? { ...spec, KV_BLOCK: scaledBlock(config) } : spec;
}

/** The buffers of a layer (`layers.3`) by shader variable. */
export function kvBuffers(layer: string, config: LlamaConfig, kv: KvFormat): Readonly<Record<string, string>> {
  return Object.fromEntries(kvPlanes(config, kv).map(({ name, variable }) => [variable, `${layer}.${name}`]));
}

/** Throws `bad-argument` for a format that a model's heads do not allow. */
export function checkKv(kv: KvFormat, config: LlamaConfig, path: string): void {
  if (kv === 'q8' && config.headDim % 8 !== 0)
    throw new FirstlightError(
      'bad-argument',
      `a KV cache in q8 needs heads of a multiple of 8, but those of ${path} have ${config.headDim} elements: use f16`,
    );
}
