/** A seeded source of numbers in [0, 1): mulberry32. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let word = Math.imul(state ^ (state >>> 15), state | 1);
    word = (word + Math.imul(word ^ (word >>> 7), word | 61)) ^ word;
    return ((word ^ (word >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Roughly normal values with the given standard deviation. */
export function randomValues(count: number, deviation: number, random: () => number): Float32Array {
  // The sum of four uniform numbers has variance 1/3.
  const one = () => (random() + random() + random() + random() - 2) * Math.sqrt(3) * deviation;
  return Float32Array.from({ length: count }, one);
}

/** A whole number from `low` to `high`, both included. */
export function randomInteger(low: number, high: number, random: () => number): number {
  return low + Math.floor(random() * (high - low + 1));
}
