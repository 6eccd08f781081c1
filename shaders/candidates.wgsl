// The best logits of an output in order and sums over all, in the slot of its sequence: for choices that the CPU makes, and
// for log probabilities.
const MOST_CANDIDATES = 64u;

struct Candidate {
  id: u32,
  logit: f32,
}

struct Candidates {
  count: u32,
  best: f32,           // the largest logit
  sum: f32,            // of exp(x), x = logit - best, over the whole vocabulary
  tempered_sum: f32,   // of exp(x / temperature)
  moment: f32,         // of exp(x / temperature) x / temperature
  chosen: f32,         // logit of the token that was chosen in the end; see report.wgsl
  pad_a: u32,
  pad_b: u32,
  list: array<Candidate, MOST_CANDIDATES>,
}
