// A token drawn from the TOP (at most 64) best after temperature, cut further by top-p and min-p.
//! include top random sampler
const CHOICE_CODE = 3u; // in a sampler
var<workgroup> chosen: u32;

fn choose(result: u32, slot: u32, position: u32, thread: u32) -> u32 {
  let count = sort_top(result, thread);
  if (thread == 0u) {
    chosen = draw(samplers[slot], position, count);
  }
  workgroupBarrier();
  return chosen;
}

// Temperature, then top-k, then top-p, then min-p, as Hugging Face orders them.
fn draw(sampler: Sampler, position: u32, count: u32) -> u32 {
  let inverse = 1.0 / sampler.temperature;
  let kept = min(sampler.top_k, count);
  var total = 0.0;
  for (var i = 0u; i < kept; i++) {
    total += exp((sorted_values[i] - sorted_values[0]) * inverse);
  }
  var mass = 0.0;
  var last = 0u;
  for (var i = 0u; i < kept; i++) {
    let weight = exp((sorted_values[i] - sorted_values[0]) * inverse);
    // a weight of 0 is a token that may not be chosen
    if (i > 0u && (mass >= sampler.top_p * total || weight < sampler.min_p || weight == 0.0)) {
      break;
    }
    mass += weight;
    last = i;
  }
  var left = uniform_at(sampler.seed, position, 0u) * mass;
  for (var i = 0u; i < last; i++) {
    left -= exp((sorted_values[i] - sorted_values[0]) * inverse);
    if (left < 0.0) {
      return sorted_ids[i];
    }
  }
  return sorted_ids[last];
}
