/**
 * Weights from the checkpoint to the device, slice by slice. Blocks of quantised types are read straight into mapped memory and
 * taken apart by the GPU; everything else is packed on the CPU. Several slices are
 * on their way at once, so that reading, packing and copying overlap.
 */
import { IDLE_STAGING_BYTES, uploadStagingBytes } from '../devices/allocation.ts';
import { createStaging, type Staging } from '../devices/staging.ts';
import type { Device } from '../devices/types.ts';
import type { Checkpoint, PackedWeights } from '../loaders/types.ts';
import { assert } from '../quant/errors.ts';
import { decodeRows, type FileType, rowBytes } from '../quant/file-types.ts';
import { blocksOf, isQuantised, QUANTISED, type QuantisedFormat, roundUp, rowWords, SCALES } from '../quant/layout.ts';
import { halfSplitRow } from '../quant/row-order.ts';
import type { Spec } from '../shaders/specialise.ts';
import {
  isReady,
  isRepacked,
  packedPieces,
  type ReadyPiece,
  readyPieces,
  SLICE_BYTES,
  type Slice,
  slicesOf,
  wholeHeads,
} from './slices.ts';
import { type Vector, vectorLength, type Weights } from './weights.ts';

/** Slices on their way at once. */
const SLICES = 3;
/** Bytes of the Slice struct in repack.wgsl. */
const SLICE_STRUCT_BYTES = 32;
const REPACK_THREADS = 64;

/** Device memory that a load takes at most besides the weights. */
export function loadingBytes(weights: Weights): number {
  const slices = [...weights.matrices.values()].flatMap(slicesOf);
  const mapped = (slice: Slice) => isRepacked(slice) || isReady(slice.matrix);
  const repacked = slices.filter(mapped).length;
  const packed = slices.filter((slice) => !mapped(slice));
  const packedBytes = packed.reduce((sum, { part, matrix, count }) => {
    return sum + count * rowWords(part.format, matrix.cols).codes * 4;
  }, 0);
  // a repacked slice lies in mapped memory and again as raw blocks; vectors and small things take a ring
  return Math.min(repacked, SLICES) * 2 * SLICE_BYTES + Math.max(uploadStagingBytes(packedBytes), IDLE_STAGING_BYTES);
}

export interface UploadOptions {
  readonly find: (name: string) => GPUBuffer | undefined;
  readonly onBytes: (bytes: number) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Fills all weight buffers. The first failure ends it; slices on their way are waited for, so that buffers may be freed. */
export async function uploadWeights(
  device: Device,
  checkpoint: Checkpoint,
  weights: Weights,
  options: UploadOptions,
): Promise<void> {
  const staging = createStaging(device, SLICES, SLICE_BYTES);
  const raws = new Map<GPUBuffer, RawSlot>(); // by staging buffer
  const { packed } = checkpoint;
  const matrices = [...weights.matrices.values()];
  const ready = packed ? matrices.filter(isReady).flatMap(readyPieces) : [];
  const queue = matrices.filter((matrix) => !packed || !isReady(matrix)).flatMap(slicesOf);
  let failed = false;
  const work = async () => {
    for (let piece = ready.shift(); packed && piece && !failed; piece = ready.shift()) {
      options.signal?.throwIfAborted();
      await copyPiece(packed, piece, staging, options);
    }
    for (let slice = queue.shift(); slice && !failed; slice = queue.shift()) {
      options.signal?.throwIfAborted();
      if (isRepacked(slice)) await repackSlice(device, checkpoint, slice, staging, raws, options);
      else await packSlice(device, checkpoint, slice, options);
    }
  };
  const results = await Promise.allSettled(
    Array.from({ length: SLICES }, () =>
      work().catch((error) => {
        failed = true;
        throw error;
      }),
    ),
  );
  try {
    const rejected = results.find((result) => result.status === 'rejected');
    if (rejected) throw rejected.reason;
    for (const vector of weights.vectors.values()) {
      options.signal?.throwIfAborted();
      const buffer = options.find(vector.name);
      assert(buffer, `the plan lists ${vector.name}`);
      const values = await readVector(checkpoint, vector);
      await device.upload(buffer, 0, values);
      options.onBytes(values.byteLength);
    }
    await device.settle();
  } finally {
    for (const { raw, params } of raws.values()) {
      device.free(raw);
      device.free(params);
    }
    await staging.close();
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
  await checkpoint.readRows(tensor.name, first, rows, slot.bytes);
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
  onBytes(count * (4 * words.codes + words.scales));
}

async function packSlice(
  device: Device,
  checkpoint: Checkpoint,
  slice: Slice,
  { find, onBytes }: UploadOptions,
): Promise<void> {
  for (const { plane, offset, data } of await packedPieces(checkpoint, slice)) {
    const buffer = find(`${slice.part.name}.${plane}`);
    assert(buffer, `the plan lists ${slice.part.name}.${plane}`);
    await device.upload(buffer, offset, data);
    onBytes(data.byteLength);
  }
}

/** Reads a piece of a plane that the file has as the device wants it. */
async function copyPiece(
  { read }: PackedWeights,
  piece: ReadyPiece,
  staging: Staging,
  { find, onBytes }: UploadOptions,
): Promise<void> {
  const { matrix, part, plane, offset, bytes } = piece;
  const target = find(`${part.name}.${plane}`);
  assert(target, `the plan lists ${part.name}.${plane}`);
  const slot = await staging.take();
  await read(matrix.name, plane, part.firstRow, offset, bytes, slot.bytes);
  slot.send((encoder, buffer) => encoder.copyBufferToBuffer(buffer, 0, target, offset, bytes));
  onBytes(bytes);
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
