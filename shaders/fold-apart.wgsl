// Takes what feed-forward.wgsl has added into the residual stream, a share of it in each workgroup, while others add to that: sums do
// not depend on the order. The lower parts are brought back to what a summand may leave there.
//! param THREADS u32
//! param OUT_QUADS u32
// workgroups
//! param FOLDED_BY u32
@group(0) @binding(15) var<storage, read_write> added: array<i32>; // as the residual stream

const FOLDED = 4u * OUT_QUADS; // values
const FOLDED_EACH = (FOLDED + FOLDED_BY - 1u) / FOLDED_BY;

fn fold_added(group: u32, thread: u32) {
  for (var n = thread; n < FOLDED_EACH; n += THREADS) {
    let row = group * FOLDED_EACH + n;
    if (row < FOLDED) {
      let at = row / 32u * 64u + row % 32u;
      let low = added[at + 32u];
      let carry = carry_of(vec4<i32>(atomicLoad(&residual[at + 32u]) + low)).x;
      atomicAdd(&residual[at], added[at] + carry);
      atomicAdd(&residual[at + 32u], low - (carry << LOW_BITS));
      added[at] = 0i;
      added[at + 32u] = 0i;
    }
  }
}
