/** What Dawn's Vulkan backend takes from the driver for a list of buffers. */
import { roundUp } from '../quant/layout.ts';

const MIB = 2 ** 20;
/** Buffers below this share blocks, in pieces of a power of two; larger ones get an allocation each. */
const SHARED_BELOW_BYTES = 4 * MIB;
const BLOCK_BYTES = 8 * MIB;
const PAGE_BYTES = 4096;
/** The buffer that a readback goes through, kept from the first one on; only long reads need a second. */
export const READ_SLICE_BYTES = MIB;
/** Drivers align buffers at least so. */
const SMALLEST_PIECE_BYTES = 16;

/** Dawn's rings for writeBuffer. */
const RING_BYTES = 4 * MIB;
/** Rings at once while much is uploaded: two batches under way, and the memory of earlier ones comes back late. */
const MOST_RINGS = 5;
/** The ring that Dawn keeps when uploads are over. */
export const IDLE_STAGING_BYTES = RING_BYTES;

/** Staging memory at once while so many bytes are uploaded. */
export function uploadStagingBytes(bytes: number): number {
  return Math.min(MOST_RINGS, Math.ceil(bytes / RING_BYTES)) * RING_BYTES;
}

/**
 * Device memory behind buffers of these sizes that are made in this order and are not mappable: Dawn's buddy allocator,
 * played through.
 */
export function allocatedBytes(sizes: Iterable<number>): number {
  const free = new Map<number, number>(); // piece size -> pieces that lie unused in blocks
  let total = 0;
  for (const size of sizes) {
    if (size >= SHARED_BELOW_BYTES) {
      total += roundUp(size, PAGE_BYTES);
      continue;
    }
    const wanted = Math.max(SMALLEST_PIECE_BYTES, 2 ** Math.ceil(Math.log2(size)));
    let piece = wanted;
    while (piece < BLOCK_BYTES && !free.get(piece)) piece *= 2;
    if (piece === BLOCK_BYTES) total += BLOCK_BYTES;
    else free.set(piece, free.get(piece)! - 1);
    // halved down to the size; each time the other half stays free
    for (; piece > wanted; piece /= 2) free.set(piece / 2, (free.get(piece / 2) ?? 0) + 1);
  }
  return total;
}

/** Device memory behind a mappable buffer, which never shares a block. */
export function allocatedMappableBytes(size: number): number {
  return roundUp(size, PAGE_BYTES);
}
