/** What Dawn's Vulkan backend takes from the driver for a list of buffers. */

const MIB = 2 ** 20;
/** Buffers below this share blocks, in pieces of a power of two; larger ones get an allocation each. */
const SHARED_BELOW_BYTES = 4 * MIB;
const BLOCK_BYTES = 8 * MIB;
const PAGE_BYTES = 4096;
/** The smallest piece: drivers align buffers at least so. */
const SMALLEST_PIECE_BYTES = 16;

/** Dawn's rings for writeBuffer. */
const RING_BYTES = 4 * MIB;
/** Rings at once while weights stream in: two batches under way, their memory coming back a batch later. */
export const UPLOAD_STAGING_BYTES = 5 * RING_BYTES;
/** What stays of them afterwards. */
export const IDLE_STAGING_BYTES = RING_BYTES;

/**
 * Bytes of device memory behind buffers of these sizes, created in this order and not mappable: Dawn's buddy allocator,
 * played through.
 */
export function allocatedBytes(sizes: Iterable<number>): number {
  const free = new Map<number, number>(); // piece size -> how many lie unused in blocks
  let total = 0;
  for (const size of sizes) {
    if (size >= SHARED_BELOW_BYTES) {
      total += Math.ceil(size / PAGE_BYTES) * PAGE_BYTES;
      continue;
    }
    const wanted = Math.max(SMALLEST_PIECE_BYTES, 2 ** Math.ceil(Math.log2(size)));
    let piece = wanted;
    while (piece < BLOCK_BYTES && !free.get(piece)) piece *= 2;
    if (piece === BLOCK_BYTES) total += BLOCK_BYTES;
    else free.set(piece, free.get(piece)! - 1);
    // halve it down to the size; the other half stays free each time
    for (; piece > wanted; piece /= 2) free.set(piece / 2, (free.get(piece / 2) ?? 0) + 1);
  }
  return total;
}
