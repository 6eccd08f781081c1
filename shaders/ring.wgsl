// Tokens that were chosen on the GPU, [slot][RING], a token at the place of its position. The CPU reads them from here, and
// a later pass may: in `tokens` FROM_RING stands for the one that was chosen for this position.
const RING = 64u; // as in engine/plan.ts
const FROM_RING = 0xffffffffu;

fn ring_place(slot: u32, position: u32) -> u32 {
  return slot * RING + position % RING;
}
