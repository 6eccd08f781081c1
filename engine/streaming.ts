/**
 * Models of which not all fits: the matrices of the first layers stay on the device, those of the others are brought there for
 * every pass, through two sets of buffers by turns. Which buffers that makes; layer-stream.ts fills them.
 */
import { packedBytes } from '../quant/layout.ts';
import type { Matrix, Part, Weights } from './weights.ts';

/** Sets of buffers: one is filled while the other is used. */
export const STREAM_SETS = 2;

/** The layer of a matrix, part, step or buffer by its name; undefined for those outside the layers. */
export function layerOf(name: string): number | undefined {
  const layer = /^layers\.(\d+)\./.exec(name)?.[1];
  return layer === undefined ? undefined : Number(layer);
}

/** Whether a matrix is streamed when so many layers stay on the device. */
export function isStreamed({ name }: Pick<Matrix, 'name'>, residentLayers: number): boolean {
  return (layerOf(name) ?? -1) >= residentLayers;
}

/** Which set a streamed layer uses. */
export function setOf(layer: number, residentLayers: number): number {
  return (layer - residentLayers) % STREAM_SETS;
}

/**
 * What stands for `layers.12.qkv/1` in its set. Layers of other formats have buffers of their own there, so that what one leaves
 * in padding is never read as another's.
 */
export function streamedPart({ name, format }: Part, residentLayers: number): string {
  const layer = layerOf(name) ?? 0;
  return `stream.${setOf(layer, residentLayers)}.${name.replace(/^layers\.\d+\./, '')}.${format}`;
}

/** Device bytes of a part. */
export function partBytes(part: Part, matrix: Matrix): { readonly codes: number; readonly scales: number } {
  return packedBytes(part.format, part.rows, matrix.cols);
}

/** Bytes that every pass brings to the device. */
export function streamedBytes(weights: Weights, residentLayers: number): number {
  let bytes = 0;
  for (const matrix of weights.matrices.values()) {
    if (!isStreamed(matrix, residentLayers)) continue;
    for (const part of matrix.parts) {
      const { codes, scales } = partBytes(part, matrix);
      bytes += codes + scales;
    }
  }
  return bytes;
}
