/** Where steps of a session's decode are merged, and how the merged ones are cut. */
import type { Traits } from '../devices/types.ts';
import type { LlamaConfig } from '../loaders/types.ts';
import { BLOCK, blocksOf } from '../quant/layout.ts';
import { chooseSubgroup } from './variants.ts';

/** Row quads of a block. */
const ROW_QUADS = BLOCK / 4;

/** Threads of a workgroup of attention-projected.wgsl, and its workgroups: about one for each compute unit of large GPUs. */
const PROJECTED = { threads: 512, workgroups: 128 };

/**
 * Keys up to which attention and the output projection are one step; 0: never. Each head's keys are read by several workgroups then,
 * so that long contexts do better with parts, the sooner where query heads share keys. Measured on an H100: 506 tokens/s instead of 479
 * at 1200 keys of Llama-2-7B, 401 instead of 395 at 3700; as fast at about 1800 of Llama-3.1-8B. Deck-sized GPUs are bound by memory,
 * where a dispatch less is nothing.
 */
export function projectsUpTo(
  { software, vendor }: Pick<Traits, 'software' | 'vendor'>,
  { heads, kvHeads, headDim }: Pick<LlamaConfig, 'heads' | 'kvHeads' | 'headDim'>,
  wanted: boolean | undefined,
): number {
  if (wanted !== undefined) return wanted ? Number.POSITIVE_INFINITY : 0;
  if (vendor !== 'nvidia' || software) return 0;
  return Math.floor(((heads === kvHeads ? 4096 : 1536) * 128) / headDim);
}

/** How attention with the output projection is cut: as in chooseAttention, and the shares of the rows; undefined where it cannot be. */
export function chooseProjected(
  traits: Traits,
  { headDim, heads }: Pick<LlamaConfig, 'headDim' | 'heads'>,
): Readonly<Record<'LANES' | 'MERGED' | 'KEYS' | 'THREADS' | 'TOGETHER' | 'ROW_SHARES', number>> | undefined {
  const size = chooseSubgroup(traits)?.size ?? 0;
  const blocks = headDim / 32;
  // a head's blocks are neighbouring threads, and eight of those make a block
  if (size < 8 || ![1, 2, 4, 8].includes(blocks) || traits.limits.maxWorkgroupThreads < PROJECTED.threads)
    return undefined;
  // two chunks of eight elements a lane: fewer shuffles a key than with one, and keys of two turns still fit the registers
  const lanes = Math.min(size, headDim / 16);
  const merged = Math.min(size / lanes, 32 / lanes);
  const outBytes = (PROJECTED.threads / lanes / merged) * (headDim + 2) * 4;
  if (outBytes > traits.limits.maxWorkgroupBytes * 0.75) return undefined; // the head and its blocks lie there too
  return {
    LANES: lanes,
    MERGED: merged,
    KEYS: traits.software ? 1 : 2,
    THREADS: PROJECTED.threads,
    TOGETHER: 1,
    ROW_SHARES: Math.max(1, Math.round(PROJECTED.workgroups / heads)),
  };
}

/** Workgroups of feed-forward.wgsl: no more than large GPUs have compute units, so that all run at once. */
const MOST_SLICES = 132;

/**
 * How the feed-forward part of a layer in one step is cut: the blocks between gate and down that a workgroup has, with a subgroup
 * for each of their row quads. Undefined where steps apart are faster, or where it cannot be. Slices are of 1, 2 or 4 blocks, so that
 * their columns of down are halves of memory's sectors, or whole ones: on an H100 a token of Llama-2-7B takes 1.75 ms with 4 blocks, 1.84
 * with 3 and 1.85 in steps apart.
 */
export function chooseFeedForward(
  traits: Traits,
  { feedForward, hidden }: Pick<LlamaConfig, 'feedForward' | 'hidden'>,
  wanted: boolean | undefined,
): Readonly<Record<'SLICE' | 'SG' | 'THREADS', number>> | undefined {
  if (!(wanted ?? (traits.vendor === 'nvidia' && !traits.software))) return undefined;
  const size = chooseSubgroup(traits)?.size ?? 0;
  const slice = [1, 2, 4].find((blocks) => blocksOf(feedForward) <= blocks * MOST_SLICES);
  if (slice === undefined || size < 8 || blocksOf(hidden) < slice) return undefined;
  const threads = slice * ROW_QUADS * size;
  return threads <= traits.limits.maxWorkgroupThreads ? { SLICE: slice, SG: size, THREADS: threads } : undefined;
}
