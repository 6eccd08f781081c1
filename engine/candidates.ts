/** From the best logits to a token: the CPU's side of sampling, on lists that the GPU made or on all logits. */
import { type CompleteSampling, uniformAt } from './sampler.ts';
import { type Candidates, MOST_CANDIDATES } from './state.ts';

/**
 * Chooses a token from logits, as chooseFrom. Sorts no more of them than it must.
 *
 * @param position of the token that is chosen: with the seed it decides the draw
 */
export function sampleOnCpu(logits: Float32Array, sampling: CompleteSampling, position: number): number {
  for (let count = MOST_CANDIDATES; ; count *= 16) {
    const candidates = rankLogits(
      logits,
      Math.max(count, Math.min(sampling.topK, logits.length)),
      sampling.temperature,
    );
    const id = chooseFrom(candidates, logits.length, sampling, position);
    if (id !== undefined) return id;
  }
}

/**
 * Temperature, then top-k, then top-p, then min-p, then typical (the order of Hugging Face transformers), then a draw by the
 * number that the kernels use for this seed and position. Undefined when the list is too short to tell: of `vocab` candidates
 * it never is.
 */
export function chooseFrom(
  candidates: Candidates,
  vocab: number,
  sampling: CompleteSampling,
  position: number,
): number | undefined {
  const { ids, logits, best } = candidates;
  const { temperature, topK, topP, minP, typicalP, seed } = sampling;
  if (temperature === 0 || topK === 1) return ids[0] as number;
  const wanted = topK === 0 ? vocab : Math.min(topK, vocab);
  const listed = Math.min(wanted, ids.length);
  const isCutByK = listed === wanted;
  if (!isCutByK && topK !== 0) return undefined; // the sums are over more than the k best
  const weights = new Float64Array(listed);
  let listedSum = 0;
  for (let i = 0; i < listed; i++) {
    weights[i] = Math.exp(((logits[i] as number) - best) / temperature);
    listedSum += weights[i] as number;
  }
  const total = isCutByK ? listedSum : candidates.temperedSum;

  let kept = 0;
  let mass = 0;
  for (; kept < listed; kept++) {
    const weight = weights[kept] as number;
    if (kept > 0 && (mass >= topP * total || weight < minP || weight === 0)) break;
    mass += weight;
  }
  // Cut somewhere in the list, or with nothing left behind it.
  const isCut = kept < listed || isCutByK || (topP < 1 && mass >= topP * total) || weights[listed - 1] === 0;
  if (!isCut && (typicalP === 1 || topP < 1 || minP > 0)) return undefined;
  if (typicalP < 1) {
    const whole = isCut ? undefined : { sum: total, moment: candidates.moment };
    return drawTypical(ids, weights.subarray(0, kept), whole, typicalP, uniformAt(seed, position, 0));
  }
  return draw(
    ids,
    weights,
    Array.from({ length: kept }, (_, i) => i),
    uniformAt(seed, position, 0),
  );
}

/**
 * Keeps the tokens whose surprise, -ln p, is nearest to the entropy, until they have `typicalP` of the probability (Meister et
 * al. 2022, Locally Typical Sampling).
 *
 * @param weights of the candidates, descending; `whole` has the sums over others too, undefined when there are none
 */
function drawTypical(
  ids: Uint32Array,
  weights: Float64Array,
  whole: { readonly sum: number; readonly moment: number } | undefined,
  typicalP: number,
  uniform: number,
): number | undefined {
  const sum = whole?.sum ?? weights.reduce((all, weight) => all + weight, 0);
  const moment = whole?.moment ?? weights.reduce((all, weight) => all + weight * Math.log(weight), 0);
  const logSum = Math.log(sum);
  const entropy = logSum - moment / sum;
  const surprise = (i: number) => logSum - Math.log(weights[i] as number);
  const far = Array.from(weights, (_, i) => Math.abs(surprise(i) - entropy));
  // Those that are not listed are less probable than the last: the further from the entropy, if that is beyond it.
  const last = weights.length - 1;
  const reach = whole === undefined ? Number.POSITIVE_INFINITY : surprise(last) > entropy ? (far[last] as number) : -1;
  const order = Array.from(weights.keys()).sort((a, b) => (far[a] as number) - (far[b] as number) || a - b);
  const kept: number[] = [];
  let mass = 0;
  for (const i of order) {
    if (kept.length > 0 && mass >= typicalP * sum) break;
    if ((far[i] as number) > reach) return undefined;
    kept.push(i);
    mass += weights[i] as number;
  }
  if (mass < typicalP * sum && whole !== undefined) return undefined;
  return draw(
    ids,
    weights,
    kept.sort((a, b) => a - b),
    uniform,
  );
}

/** Draws from the kept candidates in proportion to their weights. */
function draw(ids: Uint32Array, weights: Float64Array, kept: readonly number[], uniform: number): number {
  const mass = kept.reduce((sum, i) => sum + (weights[i] as number), 0);
  let left = uniform * mass;
  for (const i of kept) {
    left -= weights[i] as number;
    if (left < 0) return ids[i] as number;
  }
  return ids[kept.at(-1) as number] as number;
}

/** The `count` best of all logits, and the sums; the twin of rank.wgsl. */
export function rankLogits(logits: Float32Array, count: number, temperature: number): Candidates {
  let best = Number.NEGATIVE_INFINITY;
  for (const logit of logits) if (logit > best) best = logit;
  const inverse = 1 / Math.max(temperature, 1e-6);
  let sum = 0;
  let temperedSum = 0;
  let moment = 0;
  for (const logit of logits) {
    const x = logit - best;
    const weight = Math.exp(x * inverse);
    sum += Math.exp(x);
    temperedSum += weight;
    if (weight > 0) moment += weight * x * inverse;
  }
  const ids = bestIds(logits, Math.min(count, logits.length));
  return { ids, logits: Float32Array.from(ids, (id) => logits[id] as number), best, sum, temperedSum, moment };
}

/** Ids of the `count` largest in descending order, of equals the lower first. */
function bestIds(logits: Float32Array, count: number): Uint32Array {
  const descending = (a: number, b: number) => (logits[b] as number) - (logits[a] as number) || a - b;
  if (count === logits.length) return Uint32Array.from(logits.keys()).sort(descending);
  const least = nthLargest(logits, count);
  const above: number[] = [];
  const equal: number[] = [];
  for (let id = 0; id < logits.length; id++) {
    if ((logits[id] as number) > least) above.push(id);
    else if (logits[id] === least && equal.length < count) equal.push(id);
  }
  return Uint32Array.from([...above.sort(descending), ...equal].slice(0, count));
}

/** The value of the `count`-th largest, by quickselect. */
function nthLargest(values: Float32Array, count: number): number {
  const rest = values.slice();
  let low = 0;
  let high = rest.length - 1;
  const target = count - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const pivot = rest[middle] as number;
    let left = low;
    let right = high;
    while (left <= right) {
      while ((rest[left] as number) > pivot) left++;
      while ((rest[right] as number) < pivot) right--;
      if (left > right) break;
      const swapped = rest[left] as number;
      rest[left++] = rest[right] as number;
      rest[right--] = swapped;
    }
    if (target <= right) high = right;
    else if (target >= left) low = left;
    else break;
  }
  return rest[target] as number;
}
