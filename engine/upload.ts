/**
 * Weights from the checkpoint to the device, slice by slice. Blocks of quantised types are read straight into mapped memory and
 * taken apart by the GPU, or only copied where the file has them ready; everything else is packed on the CPU. Several slices are on
 * their way at once, so that reading, packing and copying overlap.
 */
import { IDLE_STAGING_BYTES, uploadStagingBytes } from '../devices/allocation.ts';
import { createStaging, type Staging } from '../devices/staging.ts';
import type { Device } from '../devices/types.ts';
import type { Checkpoint } from '../loaders/types.ts';
import { assert, FirstlightError } from '../quant/errors.ts';
import { decodeRows, type FileType, rowBytes } from '../quant/file-types.ts';
import { blocksOf, isQuantised, QUANTISED, type QuantisedFormat, roundUp, rowWords, SCALES } from '../quant/layout.ts';
import { halfSplitRow } from '../quant/row-order.ts';
import type { Spec } from '../shaders/specialise.ts';
import {
  isConverted,
  isMapped,
  isRepacked,
  type PackedPiece,
  packedPieces,
  type ReadyPiece,
  SLICE_BYTES,
  type Slice,
  slicesOf,
  wholeHeads,
} from './slices.ts';
import { isStreamed } from './streaming.ts';
import { type Vector, vectorLength, type Weights } from './weights.ts';

/** Slices on their way at once. */
const SLICES = 3;
/** Bytes of the Slice struct in repack.wgsl. */
const SLICE_STRUCT_BYTES = 32;
const REPACK_THREADS = 64;

/** Device memory that a load takes at most besides the weights, when so many layers stay on the device. */
export function loadingBytes(weights: Weights, residentLayers: number = Number.POSITIVE_INFINITY): number {
  const resident = [...weights.matrices.values()].filter((matrix) => !isStreamed(matrix, residentLayers));
  const slices = resident.flatMap(slicesOf);
  const repacked = slices.filter(isMapped).length;
  const packed = slices.filter((slice) => !isMapped(slice));
  const packedBytes = packed.reduce((sum, { part, matrix, count }) => {
    return sum + count * rowWords(part.format, matrix.cols).codes * 4;
  }, 0);
  // vectors and small things take a ring
  return uploaderBytes(Math.min(repacked, SLICES)) + Math.max(uploadStagingBytes(packedBytes), IDLE_STAGING_BYTES);
}

/** Main memory for what the CPU converts of the layers that are streamed. */
export function packedHostBytes(weights: Weights, residentLayers: number): number {
  let bytes = 0;
  for (const matrix of weights.matrices.values()) {
    if (!isStreamed(matrix, residentLayers)) continue;
    for (const slice of slicesOf(matrix)) {
      if (!isConverted(slice)) continue;
      const words = rowWords(slice.part.format, matrix.cols);
      bytes += slice.count * (4 * words.codes + words.scales);
    }
  }
  return bytes;
}

/** Device memory of an uploader: a repacked slice lies in mapped memory and again as raw blocks. */
export function uploaderBytes(slices: number): number {
  return slices * 2 * SLICE_BYTES;
}

export interface UploadOptions {
  readonly find: (name: string) => GPUBuffer | undefined;
  readonly onBytes?: ((bytes: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Keeps what the CPU has converted, for slices that are brought again and again. */
  readonly packed?: Map<Slice, readonly PackedPiece[]> | undefined;
}

/** Brings slices to the device, several at once. */
export interface Uploader {
  /**
   * Resolves when all slices are on their way: whatever is submitted later finds them. The first failure ends it; slices on
   * their way are waited for, so that buffers may be freed.
   */
  bring(slices: readonly Slice[], options: UploadOptions): Promise<void>;
  /** Gives its own memory back. */
  close(): Promise<void>;
}

/** An uploader of so many slices at once. */
export function createUploader(device: Device, checkpoint: Checkpoint, count: number = SLICES): Uploader {
  const staging = createStaging(device, count, SLICE_BYTES);
  const raws = new Map<GPUBuffer, RawSlot>(); // by staging buffer
  return {
    async bring(slices, options) {
      const queue = [...slices];
      let failed = false;
      const work = async () => {
        for (let slice = queue.shift(); slice && !failed; slice = queue.shift()) {
          options.signal?.throwIfAborted();
          if (slice.ready) await copySlice(checkpoint, slice, slice.ready, staging, options);
          else if (isRepacked(slice)) await repackSlice(device, checkpoint, slice, staging, raws, options);
          else await packSlice(device, checkpoint, slice, options);
        }
      };
      const results = await Promise.allSettled(
        Array.from({ length: count }, () =>
          work().catch((error) => {
            failed = true;
            throw error;
          }),
        ),
      );
      const failures = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
      // one wait hears why, others only that their buffers are gone
      if (failures.length > 0) throw failures.find((error) => error instanceof FirstlightError) ?? failures[0];
    },
    async close() {
      for (const { raw, params } of raws.values()) {
        device.free(raw);
        device.free(params);
      }
      await staging.close();
    },
  };
}

/** Fills the buffers of all weights but those that are streamed. */
export async function uploadWeights(
  device: Device,
  checkpoint: Checkpoint,
  weights: Weights,
  options: UploadOptions,
  residentLayers: number = Number.POSITIVE_INFINITY,
): Promise<void> {
  const uploader = createUploader(device, checkpoint);
  try {
    const resident = [...weights.matrices.values()].filter((matrix) => !isStreamed(matrix, residentLayers));
    await uploader.bring(resident.flatMap(slicesOf), options);
    for (const { name, order } of weights.matrices.values()) {
      const buffer = order && options.find(`${name}.order`);
      if (buffer) await device.upload(buffer, 0, order);
      options.onBytes?.(buffer ? order.byteLength : 0);
    }
    for (const vector of weights.vectors.values()) {
      options.signal?.throwIfAborted();
      const buffer = options.find(vector.name);
      assert(buffer, `the plan lists ${vector.name}`);
      const values = await readVector(checkpoint, vector);
      await device.upload(buffer, 0, values);
      options.onBytes?.(values.byteLength);
    }
    await device.settle();
  } finally {
    await uploader.close();
  }
}

/** The variant of repack.wgsl that takes a file type apart. */
export function repackSpec(type: FileType, format: QuantisedFormat): Spec {
  const { codes, scales } = QUANTISED[format];
  const { blocks, offset } = SCALES[scales];
  const sameBlocks: Partial<Record<FileType, FileType>> = { IQ4_NL: 'Q4_0' };
  const raw = (sameBlocks[type] ?? type).toLowerCase();
  return {
    RAW: raw.startsWith('group4_') ? 'group4' : raw,
    CODE_BITS: codes === 'table' ? 4 : Number(codes),
    SCALE_BLOCKS: blocks,
    OWN: /^(super|halves)/.test(scales),
    PAIRED: offset !== 'centre',
    WIDE: scales === 'wide',
  };
}

interface RawSlot {
  readonly raw: GPUBuffer;
  readonly params: GPUBuffer;
}

async function repackSlice(
  device: Device,
  checkpoint: Checkpoint,
  slice: Slice,
  staging: Staging,
  raws: Map<GPUBuffer, RawSlot>,
  { find, onBytes }: UploadOptions,
): Promise<void> {
  const { matrix, part, section, count } = slice;
  const { tensor } = section;
  assert(isQuantised(part.format), 'only quantised types have blocks to take apart');
  const { pipeline, layout } = await device.pipeline('repack', repackSpec(tensor.type, part.format));
  const codes = find(`${part.name}.codes`);
  const scales = find(`${part.name}.scales`);
  assert(codes && scales, `the plan lists ${part.name}`);
  const { first, rows, lead } = wholeHeads(slice);
  const fileRowBytes = rowBytes(tensor.type, matrix.cols);
  const bytes = rows * fileRowBytes;
  const slot = await staging.take();
  try {
    await checkpoint.readRows(tensor.name, first, rows, slot.bytes);
  } catch (error) {
    slot.release();
    throw error;
  }
  slot.send((encoder, buffer) => {
    let own = raws.get(buffer);
    if (!own) {
      own = {
        raw: device.buffer('raw blocks', SLICE_BYTES, 'activations'),
        params: device.buffer('slice', SLICE_STRUCT_BYTES, 'state'),
      };
      raws.set(buffer, own);
    }
    const side = matrix.alternate ? 1 + matrix.sections.indexOf(section) : 0;
    const blocks = blocksOf(matrix.cols);
    device.gpu.queue.writeBuffer(
      own.params,
      0,
      Uint32Array.of(count, blocks, slice.target, lead, section.interleaveHead, section.ropeDim, side, fileRowBytes),
    );
    encoder.copyBufferToBuffer(buffer, 0, own.raw, 0, roundUp(bytes, 4));
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    const resources = [own.params, own.raw, codes, scales];
    pass.setBindGroup(
      0,
      device.gpu.createBindGroup({
        layout,
        entries: resources.map((resource, binding) => ({ binding, resource: { buffer: resource } })),
      }),
    );
    const groups = Math.ceil((Math.ceil(count / 4) * blocks) / REPACK_THREADS);
    const x = Math.min(groups, device.traits.limits.maxWorkgroupsPerDimension);
    pass.dispatchWorkgroups(x, Math.ceil(groups / x));
    pass.end();
  });
  const words = rowWords(part.format, matrix.cols);
  onBytes?.(count * (4 * words.codes + words.scales));
}

async function packSlice(
  device: Device,
  checkpoint: Checkpoint,
  slice: Slice,
  { find, onBytes, packed: kept }: UploadOptions,
): Promise<void> {
  const pieces = kept?.get(slice) ?? (await packedPieces(checkpoint, slice));
  if (isConverted(slice)) kept?.set(slice, pieces);
  for (const { plane, offset, data } of pieces) {
    const buffer = find(`${slice.part.name}.${plane}`);
    assert(buffer, `the plan lists ${slice.part.name}.${plane}`);
    await device.upload(buffer, offset, data);
    onBytes?.(data.byteLength);
  }
}

/** Reads what the file has as the device wants it. */
async function copySlice(
  { packed }: Checkpoint,
  { matrix, part }: Slice,
  { plane, offset, bytes }: ReadyPiece,
  staging: Staging,
  { find, onBytes }: UploadOptions,
): Promise<void> {
  const target = find(`${part.name}.${plane}`);
  assert(target && packed, `the plan lists ${part.name}.${plane}, and the file has it ready`);
  const slot = await staging.take();
  try {
    await packed.read(matrix.name, plane, part.firstRow, offset, bytes, slot.bytes);
  } catch (error) {
    slot.release();
    throw error;
  }
  slot.send((encoder, buffer) => encoder.copyBufferToBuffer(buffer, 0, target, offset, bytes));
  onBytes?.(bytes);
}

async function readVector(checkpoint: Checkpoint, vector: Vector): Promise<Float32Array> {
  const values = new Float32Array(vectorLength(vector));
  for (const { tensor, firstRow, interleaveHead, ropeDim } of vector.sections) {
    const raw = decodeRows(tensor.type, await checkpoint.readRows(tensor.name, 0, 1), 1, tensor.cols);
    for (let i = 0; i < tensor.cols; i++) {
      const head = interleaveHead > 0 ? i - (i % interleaveHead) : i;
      const value = raw[head + (interleaveHead > 0 ? halfSplitRow(i - head, ropeDim) : 0)] as number;
      values[firstRow + i] = value + vector.offset;
    }
  }
  return values;
}
